"""The jobs that keep copies good: verify, repair, reclaim, prove. As in `operations`, the core is imported on start."""

from __future__ import annotations

from collections.abc import Iterator

from medback_core import model
from medback_core.presenting.units import command, name
from medback_core.session import Session
from medback_tui.jobs.operations import name_of_path, options
from medback_tui.jobs.queue import Job
from medback_tui.jobs.recipe import resumable

DAY = 86_400


@resumable
def verify(path: bytes, called: str, *, older_than: int | None = None, max_bytes: int | None = None) -> Job:
    """Read again what lies on a drive or in a source, the longest unchecked first; `older_than` in seconds."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.upkeep import verify_target as core

        return core.verify(session, path, older_than=older_than, max_bytes=max_bytes)

    older = None if older_than is None else f"{older_than // DAY}d"
    line = command("verify", path, *options(older_than=older, max_bytes=max_bytes))
    details: dict[str, object] = {"path": path}
    return Job(f"verify {name(called)}", line, start, kind="verify", details=details)


@resumable
def repair(path: bytes, called: str, *, dry_run: bool = False) -> Job:
    """Put good copies back where damage was found, on a drive or in a source."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.upkeep import repair as core

        return core.repair(session, path, dry_run=dry_run)

    title = f"look at what can be repaired on {name(called)}" if dry_run else f"repair {name(called)}"
    words = command("repair", path, *options(dry_run=dry_run))
    details: dict[str, object] = {"path": path, "called": called}
    return Job(title, words, start, kind="repair", details=details, quiet=dry_run)


def reclaim(path: bytes, called: str, *, old: bool, surplus: bool, dry_run: bool = False) -> Job:
    """Free older versions, or copies beyond the wanted number."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.upkeep import reclaim as core

        return core.reclaim(session, name_of_path(path), old=old, surplus=surplus, dry_run=dry_run)

    title = f"look at what can be freed on {name(called)}" if dry_run else f"free room on {name(called)}"
    words = command("reclaim", path, *options(old=old, surplus=surplus, dry_run=dry_run))
    return Job(title, words, start, kind="reclaim", details={"path": path}, quiet=dry_run)


@resumable
def prove(alias: str) -> Job:
    """Compare byte by byte what goes by one size and MD5."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.upkeep import prove as core

        return core.prove(session, source=alias)

    return Job(f"prove {name(alias)}", command("prove", "--source", alias), start, kind="prove")
