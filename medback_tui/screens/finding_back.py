"""Bring single files back from the drives that are plugged in, deleted ones and older versions too."""

from __future__ import annotations

from collections.abc import Sequence

from medback_core.coverage.where_is import FileWhereabouts
from medback_core.presenting.units import name, plural
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source
from medback_tui.jobs import operations
from medback_tui.reading.state import SharedApp


def bring_back(app: SharedApp, files: Sequence[FileWhereabouts]) -> int:
    """Queue a restore of each file from a drive that is here; say which drive to plug in where none is. Returns how
    many were queued."""
    here, queued = app.drives.here, 0
    away: list[FileWhereabouts] = []
    for file in files:
        if not _is_latest(app, file):
            where = next((copy for copy in file.copies if copy.path is not None), None)
            lies = f" This one lies on {name(where.target.name)}: {name(where.path or b'')}." if where else ""
            _say(app, f"Only the latest older version of {name(file.path)} can be brought back.{lies}")
            continue
        copy = next((copy for copy in file.copies if copy.target.key in here), None)
        if copy is None:
            away.append(file)
            continue
        job = operations.restore(
            here[copy.target.key],
            copy.target.name,
            source=file.source,
            path=file.path,
            deleted=file.gone,
            conflict="rename" if file.replaced else "skip",
        )
        if app.queue.queued(job.command) is None:
            app.submit(job)
        queued += 1
    if away:
        _say_away(app, away)
    return queued


def _is_latest(app: SharedApp, file: FileWhereabouts) -> bool:
    if not file.gone or app.reader is None:
        return True
    first = next(list_gone(app.reader, find_source(app.reader, file.source).key, file.path), None)
    return first is None or first.content == file.content


def _say_away(app: SharedApp, files: Sequence[FileWhereabouts]) -> None:
    first = files[0]
    drives = " or ".join(name(copy.target.name) for copy in first.copies)
    what = name(first.path) if len(files) == 1 else f"{plural(len(files), 'file')}, {name(first.path)} among them,"
    if not drives:
        _say(app, f"{what}: no drive has a copy.")
    else:
        _say(app, f"{what}: plug in {drives} first.")


def _say(app: SharedApp, words: str) -> None:
    app.notify(words, severity="warning", timeout=8)
