"""The sidecars of the sources, written from the DB in group commits: nothing a sidecar alone knew is lost."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from medback_core import disk, model, names
from medback_core.errors import Refused
from medback_core.model import FAMILY_SIDECAR_NAME, SIDECAR_NAME, Event, Progress, Source, Warned
from medback_core.session import Session
from medback_core.session.digests import own_digests
from medback_core.session.directories import subdirectories
from medback_core.session.files import DirectoryRow, SidecarStat, dirty_directories, join, links_in, mark_sidecar
from medback_core.session.history import note_safety
from medback_core.session.placements import placement_by_id
from medback_core.session.rollup import refresh_oldest
from medback_core.session.scanning import record_rows
from medback_core.session.sources import had_metadata, list_sources, metadata_is_dirty
from medback_core.session.states import is_changed
from medback_core.session.targets import list_targets
from medback_core.sidecar.reading import parse, parse_family
from medback_core.sidecar.records import (
    SIDECAR_LIMIT,
    Bd,
    DirRecord,
    FileRecord,
    LinkRecord,
    Place,
    Sidecar,
)
from medback_core.sidecar.writing import render, with_copies
from medback_core.sources.identity import is_told, read_metadata, stands, was_scanned, write_metadata
from medback_core.sources.nested import away_from

_BATCH = 1000
_EMPTY = render(Sidecar())


class Unwritten(NamedTuple):
    """A sidecar that could not be written; its directory stays dirty."""

    rel: bytes
    error: OSError


class Copies:
    """Turns the placement of a content into what a sidecar says of its copies."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ids = {target.key: target.id for target in list_targets(session, unknown=True)}
        self._made: dict[int, tuple[Bd, ...]] = {}

    def of(self, placement_id: int) -> tuple[Bd, ...]:
        """The copies of a content with this placement."""
        bds = self._made.get(placement_id)
        if bds is None:
            held = placement_by_id(self._session, placement_id)
            made = [Bd(self._ids[target], standing) for target, standing in held.members]
            bds = self._made[placement_id] = tuple(sorted(made, key=lambda bd: bd.target))
        return bds


def render_sidecar(
    session: Session, directory: int, old: Sidecar | None, copies: Copies, remains: Callable[[bytes], bool]
) -> bytes:
    """A directory's sidecar as the DB has it, with the tags and unknown things of the one that is there.

    A record the DB has no row for stays while its file does (`remains`): it was skipped, or is excluded now.
    """
    sidecar = _as_known(session, directory, copies)
    if old is not None:
        _keep_all(sidecar, old, remains)
    return render(sidecar)


def _as_known(session: Session, directory: int, copies: Copies) -> Sidecar:
    """A directory's sidecar as the DB has it."""
    files: dict[bytes, FileRecord] = {}
    twins = own_digests(session, directory)
    for name, size, mtime_ns, md5, mode, trouble, placed, read_at, blake3 in record_rows(session, directory):
        record = files[name] = FileRecord(name, size, mtime_ns, md5, mode, copies.of(placed), (), None, read_at)
        record.blake3 = twins.get(name, blake3) if twins else blake3
        if trouble:
            record.damaged = model.now()
    links = {name: LinkRecord(name, goal) for name, goal in links_in(session, directory).items()}
    dirs: dict[bytes | Place, DirRecord] = {}
    for below in subdirectories(session, directory):
        if below.mode is not None and below.mtime_ns is not None:
            name = below.path.rpartition(b"/")[2]
            dirs[name] = DirRecord(name, below.mode, below.mtime_ns)
    return Sidecar(files, links, dirs)


def _keep_all(sidecar: Sidecar, old: Sidecar, remains: Callable[[bytes], bool]) -> None:
    """Carry over what only the sidecar that is there knows."""
    for name, record in old.files.items():
        if name in sidecar.files:
            _keep(sidecar.files[name], record)
        elif remains(name):
            sidecar.files[name] = record
    for name, link in sidecar.links.items():
        if name in old.links:
            link.extra = old.links[name].extra
    for name, below in sidecar.dirs.items():
        if name in old.dirs:
            below.extra = old.dirs[name].extra
    sidecar.extra = old.extra


def _keep(record: FileRecord, old: FileRecord) -> None:
    """Carry over what only the sidecar knows."""
    record.tags = old.tags
    record.extra = old.extra
    if record.blake3 is None and (old.size, old.md5) == (record.size, record.md5):
        record.blake3 = old.blake3
    if record.verified is None and (old.size, old.md5) == (record.size, record.md5):
        record.verified = old.verified
    if record.damaged is not None and old.damaged is not None:
        record.damaged = old.damaged
    if any(bd.extra for bd in old.bds):
        extras = {bd.target: bd.extra for bd in old.bds}
        record.bds = tuple(Bd(bd.target, bd.standing, extras.get(bd.target, ())) for bd in record.bds)


def file_remains(root: disk.Root, rel: bytes) -> Callable[[bytes], bool]:
    """Whether a name in this directory is a regular file; what can't be looked at counts as one."""

    def remains(name: bytes) -> bool:
        try:
            status = root.stat(join(rel, name))
        except OSError:
            return True
        return status is not None and stat.S_ISREG(status.st_mode)

    return remains


def put_sidecars(session: Session, root: disk.Root, sidecars: Iterable[tuple[int, bytes, bytes]]) -> list[Unwritten]:
    """Write (directory key, its path, bytes) in one group commit and remember them as written.

    A directory that is gone is passed over, never made again. What can't be written stays dirty and is returned.
    """
    failed: list[Unwritten] = []
    staged: dict[bytes, tuple[int, bytes]] = {}
    try:
        with disk.Group(root) as group:
            for key, rel, data in sidecars:
                path = join(rel, SIDECAR_NAME)
                try:
                    root.open_directory(rel)
                    group.stage_bytes(path, data)
                    staged[path] = key, rel
                except FileNotFoundError:
                    continue
                except OSError as error:
                    failed.append(Unwritten(rel, error))
            for entry, error in group.publish():
                if error is not None:
                    failed.append(Unwritten(staged.pop(entry.rel)[1], error))
    except OSError as error:  # the drive could not make them durable: none counts as written
        return [*failed, *(Unwritten(rel, error) for _, rel in staged.values())]
    with session.transaction():
        for path, (key, rel) in staged.items():
            try:
                status = root.stat(path)
            except OSError as error:
                failed.append(Unwritten(rel, error))
                continue
            if status is not None:
                mark_sidecar(session, key, SidecarStat.of(status))
    return failed


def _new_bytes(session: Session, root: disk.Root, row: DirectoryRow, copies: Copies) -> bytes | None:
    """What a directory's sidecar should be; None if it was changed since we read it: the next scan will read it
    first. Raises OSError."""
    root.open_directory(row.path)
    status = root.stat(join(row.path, SIDECAR_NAME))
    now = SidecarStat.of(status) if status is not None else None
    if now is not None and now != row.sidecar:
        return None
    sidecar = _as_known(session, row.key, copies)
    old = None
    if status is not None:
        data = root.read_whole(join(row.path, SIDECAR_NAME), SIDECAR_LIMIT)
        if (new := with_copies(data, sidecar)) is not None:
            return new
        old = parse(data)
    else:
        with suppress(FileNotFoundError):
            old = parse_family(root.read_whole(join(row.path, FAMILY_SIDECAR_NAME), SIDECAR_LIMIT))
    if old is not None and old.damage and not old.family:
        return None
    if old is not None:
        _keep_all(sidecar, old, file_remains(root, row.path))
    return render(sidecar)


def _says(root: disk.Root, row: DirectoryRow, data: bytes) -> bool:
    """Whether a directory's sidecar, unchanged since we read it, says exactly this."""
    if row.sidecar is None or row.sidecar.size != len(data):
        return False
    try:
        return root.read_whole(join(row.path, SIDECAR_NAME), len(data)) == data
    except OSError:
        return False


def flush_source(session: Session, source: Source) -> Iterator[Event]:
    """Write the dirty sidecars and the metadata of one source, if it is there. The caller holds the session's lock."""
    dirty = dirty_directories(session, source.key)
    if not dirty and not metadata_is_dirty(session, source.key) and not is_changed(session, source.id):
        return
    try:
        root = disk.Root(source.path, across=True)
    except OSError:
        return  # not there now: they stay dirty
    with root:
        try:
            metadata = read_metadata(root)
            if not stands(session, source, root, metadata):
                return
            if metadata is not None and not was_scanned(session, source):
                return  # only heard of here: this session has read none of its records
            if metadata is None and not had_metadata(session, source.key):
                return  # its last scan could write nothing there, and said so: the next one tries again
            with disk.lock_drive(root):
                for place in away_from(session, source, root):  # nothing goes into what lies underneath
                    dirty = [row for row in dirty if names.below(row.path, place) is None]
                yield from _flush(session, root, source, dirty)
        except Refused as refusal:
            yield Warned("records-not-written", source=source.alias, because=refusal)


def _flush(session: Session, root: disk.Root, source: Source, dirty: list[DirectoryRow]) -> Iterator[Event]:
    if not is_told(session, source, read_metadata(root)):
        dirty = []  # another session wrote here since: the next scan reads what it wrote before anything is replaced
    failed: list[Unwritten] = []
    try:
        if is_changed(session, source.id):
            write_metadata(session, root, source)  # before the first sidecar: see `begin_change` of a drive
    except OSError as error:
        failed.append(Unwritten(b"", error))
    for start in range(0, len(dirty), _BATCH):
        copies = Copies(session)
        wanted: list[tuple[int, bytes, bytes]] = []
        for row in dirty[start : start + _BATCH]:
            try:
                data = _new_bytes(session, root, row, copies)
            except (FileNotFoundError, NotADirectoryError):
                continue  # moved or gone since it was scanned: the next scan will see it
            except OSError as error:
                failed.append(Unwritten(row.path, error))
                continue
            if data == _EMPTY and row.sidecar is None:
                mark_sidecar(session, row.key, None)  # nothing to say, and perhaps a mount point: left as it is
            elif data is not None and _says(root, row, data):
                mark_sidecar(session, row.key, row.sidecar)  # an update that was refused, say, has changed nothing
            elif data is not None:
                wanted.append((row.key, row.path, data))
        if wanted:
            failed += put_sidecars(session, root, wanted)
        if len(dirty) > _BATCH:
            done = min(start + _BATCH, len(dirty))
            yield Progress("writing records", done, files_total=len(dirty))
    told = not failed and not dirty_directories(session, source.key)
    if metadata_is_dirty(session, source.key) or dirty:
        try:
            write_metadata(session, root, source, copies=told)
        except OSError as error:
            failed.append(Unwritten(b"", error))
    if failed:
        yield unwritten_warning(source, failed)


def unwritten_warning(source: Source, failed: list[Unwritten]) -> Warned:
    """What to say of sidecars that could not be written."""
    error = failed[0].error
    return Warned("records-in-session", records=len(failed), source=source.alias, error=error.strerror or str(error))


def flush_sources(session: Session) -> Iterator[Event]:
    """Write every dirty sidecar and metadata file of the sources that are there; bring the oldest checks and the
    history of what is safe up to date.

    The caller holds the session's lock and none of a source. What can't be written stays dirty, with one Warned a
    source. Called at the end of every operation that changes copies, and every ten minutes in long ones.
    """
    with session.transaction() as db:
        refresh_oldest(db)
        note_safety(session)
    for source in list_sources(session):
        yield from flush_source(session, source)


def mounted_sources(session: Session) -> list[Source]:
    """The sources that are there now: the path exists and is this source by its metadata file."""
    found = []
    for source in list_sources(session):
        try:
            with disk.Root(source.path) as root:
                if stands(session, source, root, read_metadata(root)):
                    found.append(source)
        except OSError:
            continue  # not there
    return found
