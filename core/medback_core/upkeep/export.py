"""Write what is known of a source or a target as a manifest that other programs check."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from medback_core import __version__, disk, model, names
from medback_core.drives.open import resolve_target
from medback_core.errors import NeedsAnswer, Refused
from medback_core.manifests.entry import Entry
from medback_core.manifests.writing import render_manifest
from medback_core.model import NO_ANSWERS, Answers, Event, ExportSummary, Reason, Skipped, Source, Target
from medback_core.session import Session
from medback_core.session.exported import ExportRow, copies_in_order, files_in_order
from medback_core.session.sources import list_sources


def export(
    session: Session,
    word: str,
    form: str,
    *,
    to: bytes | None = None,
    write: Callable[[bytes], object] | None = None,
    answers: Answers = NO_ANSWERS,
) -> Iterator[Event]:
    """Write the manifest of a source or a target (`word`: alias, label, id or directory); ends with an ExportSummary.

    Paths are relative to the source or the drive; medback's own files are left out, and nothing is read but the
    session DB. `form`: one of manifests.FORMATS. Either `to`, a file that is written as a whole or not at all, or
    `write`, called with one chunk after another. What the format can't write is Skipped. Raises Refused; NeedsAnswer
    ("replace-file", which `answers.replace` answers) where there is a file.
    """
    thing = _named(session, word)
    tally = _Tally()
    skipped: list[Event] = []
    rows = files_in_order(session, thing.key) if isinstance(thing, Source) else copies_in_order(session, thing.key)
    top = thing.path or b"" if isinstance(thing, Source) or thing.path else names.from_text(thing.name)

    def left_out(path: bytes, reason: Reason) -> None:
        skipped.append(Skipped(os.path.join(top, path), reason))
        tally.leave_out()

    chunks = render_manifest(
        form, tally.counted(rows), name=top, version=__version__, date=model.now(), left_out=left_out
    )
    if write is not None:
        for chunk in chunks:
            write(chunk)
    else:
        assert to is not None
        write_file(to, chunks, replace=answers.replace)
    yield from skipped
    yield ExportSummary(b"" if to is None else to, tally.files, tally.bytes, tally.left_out)


class _Tally:
    """What is listed, counted as a format takes one file after the other."""

    def __init__(self) -> None:
        self.files = self.bytes = self.left_out = self._size = 0

    def leave_out(self) -> None:
        """The file that was taken last is not listed."""
        self.files, self.bytes, self.left_out = self.files - 1, self.bytes - self._size, self.left_out + 1

    def counted(self, rows: Iterator[ExportRow]) -> Iterator[Entry]:
        for row in rows:
            self._size = row.size
            self.files += 1
            self.bytes += row.size
            digests = {"md5": row.md5} if row.blake3 is None else {"md5": row.md5, "blake3": row.blake3}
            yield Entry(row.path, row.size, row.mtime_ns, digests, row.verified)


def _named(session: Session, word: str) -> Source | Target:
    """The source or target a word names. Raises Refused for none, and for one of each."""
    path = os.path.abspath(names.from_text(word))
    sources = [
        source
        for source in list_sources(session)
        if names.utf8(word) in (source.alias, source.id) or source.path == path
    ]
    try:
        target, there = resolve_target(session, word)
    except Refused as refusal:
        if sources:
            return sources[0]
        if refusal.kind != "no-such-target":
            raise  # more than one is called so, or it is a path
        raise Refused("no-such-source-or-target", name=word) from refusal
    if sources and (target is None or there == path):
        return sources[0]
    if sources and target is not None:
        raise Refused("ambiguous/source-and-target", name=word)
    if target is None:
        raise Refused("unknown-target", name=word)
    return target


def write_file(path: bytes, chunks: Iterator[bytes], *, replace: bool) -> None:
    """Put a file where a person wants it: durable, whole or not at all. Raises Refused; NeedsAnswer ("replace-file")
    where there is one, unless `replace` says that it may go."""
    where = os.path.realpath(path)
    parent, name = os.path.split(where)
    if model.is_metadata(name):
        raise Refused("bad-path/own-name", path=path)
    try:
        if os.path.lexists(where) and not stat.S_ISREG(os.stat(where).st_mode):
            raise Refused("bad-path/no-ordinary-file", path=path)
        if not replace and os.path.lexists(where):
            raise NeedsAnswer("replace-file", path=path)
        with disk.Root(parent) as root, disk.Group(root, group_sync=False) as group:
            group.stage_stream(name, chunks)
            group.publish_all()
    except OSError as error:
        raise Refused("not-writable", path=path, error=error.strerror) from error
