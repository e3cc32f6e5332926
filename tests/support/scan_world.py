"""A source in a temporary directory, its session, what a scan made of it: for tests of scan, sources, rebuild."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from medback_core.cli.outcome import why
from medback_core import model
from medback_core.scanning import sources
from medback_core.session import open_session
from medback_core.session.copies import Copy, copies_of, record_copies
from medback_core.session.files import FileRow, find_file, join
from support.stored import all_files
from medback_core.session.sources import list_sources
from medback_core.session.targets import save_target, target_by_key
from medback_core.model import DamageFound, Event, Excluded, ScanSummary, Skipped, Source, Standing, UpdateSummary
from medback_core.session import Session
from medback_core.sidecar.reading import parse
from medback_core.sidecar.records import Sidecar
from medback_core.sources.sidecars import flush_sources

E = TypeVar("E", bound=Event)

OLD = 1_700_000_000_000_000_000  # a file time of long ago, so that no edit falls into the same instant


class World:
    """`src` is the source, `session` the open session; `events` are those of the last operation."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.src = base / "photos"
        self.src.mkdir()
        self.session: Session = open_session(base / "db")
        self.events: list[Event] = []

    # --- files -----------------------------------------------------------------------------------------------------

    def write(self, path: str, content: bytes | str, *, mtime_ns: int = OLD) -> Path:
        data = content if isinstance(content, bytes) else content.encode()
        file = self.src / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, ns=(mtime_ns, mtime_ns))
        return file

    def fill(self, names: Iterable[str]) -> None:
        for name in names:
            self.write(name, f"content of {name}")

    def rewrite_keeping_time(self, path: str, content: bytes) -> None:
        file = self.src / path
        before = file.stat()
        assert len(content) == before.st_size
        with open(file, "r+b") as stream:
            stream.write(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    def copy_sidecar(self) -> None:
        """The sidecar of the root becomes a copy of itself, with the time it had."""
        sidecar = self.src / ".medback.xml"
        shutil.copy2(sidecar, self.base / "copied")
        (self.base / "copied").rename(sidecar)

    def sidecar(self, directory: str = "") -> Sidecar:
        return parse((self.src / directory / ".medback.xml").read_bytes())

    # --- operations ------------------------------------------------------------------------------------------------

    def run(self, events: Iterator[Event]) -> Event:
        self.events = []
        for event in events:
            self.events.append(event)
        return self.events[-1]

    def add(self, path: Path | None = None, **options) -> ScanSummary:
        summary = self.run(sources.add_source(self.session, os.fsencode(path or self.src), **options))
        assert isinstance(summary, ScanSummary)
        return summary

    def update_all(self, **options) -> UpdateSummary:
        summary = self.run(sources.update(self.session, **options))
        assert isinstance(summary, UpdateSummary)
        return summary

    def update(self, **options) -> ScanSummary:
        """The summary of the first source; it must not have been refused."""
        summary = self.update_all(**options)
        assert not summary.refused, self.events
        return summary.scans[0]

    def refusal(self, **options) -> model.SourceRefused:
        summary = self.update_all(**options)
        assert summary.refused
        return self.of(model.SourceRefused)[0]

    def told(self, kind: type[Skipped | Excluded | DamageFound]) -> list[tuple[bytes, str]]:
        """(path below the source, reason) of these events, each of which says which source it is of."""
        top = os.fsencode(self.src) + b"/"
        assert all(event.path.startswith(top) for event in self.of(kind))
        return [(event.path.removeprefix(top), why(event)) for event in self.of(kind)]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def lose_db(self) -> None:
        """Delete the session DB and open a new one in its place."""
        self.session.close()
        for name in ("db", "db-wal", "db-shm", "db.sources"):
            with suppress(FileNotFoundError):
                (self.base / name).unlink()
        self.session = open_session(self.base / "db")

    # --- what is on record -----------------------------------------------------------------------------------------

    @property
    def source(self) -> Source:
        return list_sources(self.session)[0]

    def files(self, source: Source | None = None) -> dict[str, tuple[int, str, int, int]]:
        """Path -> size, md5, mtime, trouble."""
        rows = all_files(self.session, (source or self.source).key)
        return {
            os.fsdecode(join(directory, row.name)): (row.size, row.md5.hex(), row.mtime_ns, row.trouble)
            for directory, row in rows
        }

    def names(self, source: Source | None = None) -> set[str]:
        return set(self.files(source))

    def row(self, path: str) -> FileRow:
        row = find_file(self.session, self.source.key, os.fsencode(path))
        assert row is not None
        return row

    def introduce(self, tid: str) -> int:
        """A known, active target with this id; its key."""
        return save_target(self.session, model.Target(-1, tid, tid.title(), created=1)).key

    def back_up(self, path: str, tid: str, standing: Standing = Standing.VERIFIED) -> None:
        """Record a copy of what lies at a path, as a backup would."""
        key = self.introduce(tid)
        copy = Copy(self.row(path).identity, key, standing, b"x/" + os.fsencode(path), 0, 1_700_000_000, True)
        with self.session.transaction():
            record_copies(self.session, [copy])

    def flush(self) -> None:
        self.events = list(flush_sources(self.session))

    def targets_of(self, path: str) -> dict[str, Standing]:
        copies = copies_of(self.session, self.row(path).identity)
        return {target_by_key(self.session, copy.target).id: copy.standing for copy in copies}
