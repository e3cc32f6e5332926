"""Compare a directory with a manifest that medback or another program wrote."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

from medback_core import disk
from medback_core.errors import Refused
from medback_core.manifests.entry import Entry
from medback_core.manifests.reading import EITHER, LIMIT, Manifest, NotAManifest, read_manifest
from medback_core.model import (
    EXPLANATION,
    TARGET_IDENTITY_NAME,
    DamageFound,
    Event,
    FileDone,
    NotListed,
    Reason,
    Skipped,
    VerifySummary,
    is_metadata,
)
from medback_core.pace import reporting
from medback_core.session.files import join
from medback_core.upkeep.reread import Ticker

_CHUNK = 1 << 20


def verify_against(path: bytes, manifest: bytes) -> Iterator[Event]:
    """Read each file the manifest (a path) names below the directory `path`; ends with a VerifySummary.

    NotListed are the files below it that the manifest does not name, `new` their number. A file whose content differs
    is damaged where the manifest has its time and that is as it was, else changed. A list of BagIt is of the directory
    `data` where `path` is the bag. Nothing is written. Raises Refused.
    """
    entries, of_a_bag = _read(manifest, path)
    if of_a_bag and os.path.lexists(os.path.join(path, b"bagit.txt")):
        path = os.path.join(path, b"data")
    with disk.Root(path) as root:
        counts: Counter[str] = Counter()  # what the VerifySummary says
        ticker = Ticker("verifying", len(entries), sum(entry.size or 0 for entry in entries))
        for entry in entries:
            yield from _check(root, entry, counts, ticker)
        yield from _count_new(root, {entry.path for entry in entries}, _sight(manifest), counts)
    yield VerifySummary(**counts)


def _read(manifest: bytes, path: bytes) -> Manifest:
    try:
        status = os.stat(manifest)
        if not stat.S_ISREG(status.st_mode):  # a FIFO would be waited for
            raise Refused("no-manifest/no-file", path=manifest)
        if status.st_size > LIMIT:
            raise Refused("no-manifest/too-large", path=manifest)
        with open(manifest, "rb") as stream:
            found = read_manifest(stream.read(LIMIT), path)
    except OSError as error:
        raise Refused("no-such-path/unreadable", path=manifest, error=error.strerror) from error
    except NotAManifest as error:
        raise Refused("no-manifest", path=manifest, error=str(error)) from error
    if not found.entries:
        raise Refused("empty-manifest", path=manifest)
    for entry in found.entries:
        if not any(name in _MAKERS for name in entry.digests):
            raise Refused("no-manifest/digest", path=manifest, entry=entry.path)
    return found


def _check(root: disk.Root, entry: Entry, counts: Counter[str], ticker: Ticker) -> Iterator[Event]:
    where = join(root.path, entry.path)
    try:
        if root.stat(entry.path) is None:
            counts["missing"] += 1
            yield DamageFound(where, Reason("missing"), "missing")
            return
        fd, status = root.open_file(entry.path)
        made = yield from reporting(_digests(fd, entry.digests), ticker.pace, lambda done: ticker.event(done, where))
    except OSError as error:
        counts["unreadable"] += 1
        yield DamageFound(where, Reason.system(error), "unreadable")
        return
    ticker.files, ticker.bytes = ticker.files + 1, ticker.bytes + status.st_size
    counts.update(checked=1, checked_bytes=status.st_size)
    right = all(entry.digests[name] in found for name, found in made.items())
    if right and entry.size in (None, status.st_size):
        counts["same"] += 1
        yield FileDone("verified", where, status.st_size)
    elif entry.mtime_ns is not None and _same_time(entry, status.st_mtime_ns):
        counts["damaged"] += 1
        yield DamageFound(where, Reason("not-as-listed/damaged"))
    else:
        counts["changed"] += 1
        yield DamageFound(where, Reason("not-as-listed"), "changed")


def _same_time(entry: Entry, mtime_ns: int) -> bool:
    assert entry.mtime_ns is not None
    return entry.mtime_ns == (mtime_ns if entry.exact else mtime_ns // 10**9 * 10**9)


def _digests(fd: int, wanted: Collection[str]) -> Generator[int, None, dict[str, list[bytes]]]:
    """Read a file whole; for each algorithm wanted, the digests that may stand for it. Yields the bytes done."""
    made: dict[str, list[Any]] = {name: [make() for make in _MAKERS[name]] for name in wanted if name in _MAKERS}
    done = 0
    with os.fdopen(fd, "rb") as stream:
        while piece := stream.read(_CHUNK):
            for digests in made.values():
                for digest in digests:
                    digest.update(piece)
            done += len(piece)
            yield done
    return {name: [digest.digest() for digest in digests] for name, digests in made.items()}


def _count_new(
    root: disk.Root, told: Collection[bytes], manifest: tuple[int, int], counts: Counter[str]
) -> Iterator[Event]:
    is_drive = False
    for here, entries, failure in root.walk():
        if failure is not None:
            yield Skipped(join(root.path, here), Reason.system(failure))
        for name in [name for name in entries if is_metadata(name)]:
            is_drive = is_drive or (not here and name == TARGET_IDENTITY_NAME)
            del entries[name]
        for name, status in entries.items():
            if not isinstance(status, os.stat_result) or not stat.S_ISREG(status.st_mode):
                continue
            path = join(here, name)
            if path in told or (status.st_dev, status.st_ino) == manifest or (is_drive and path in EXPLANATION):
                continue
            counts["new"] += 1
            yield NotListed(join(root.path, path))


def _sight(path: bytes) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)


def _blake3() -> Any:
    from blake3 import blake3

    return blake3()


_MAKERS: dict[str, tuple[Callable[[], Any], ...]] = {
    "md5": (_md5,),
    "sha1": (_sha1,),
    "sha256": (hashlib.sha256,),
    "blake3": (_blake3,),
    EITHER: (hashlib.sha256, _blake3),
}
