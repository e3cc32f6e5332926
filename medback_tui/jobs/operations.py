"""Every change the app can make, as a job: what it is called, the same on the command line, and the core's operation.

The operations are imported when a job starts: the first frame doesn't wait for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from medback_core import model
from medback_core.model import TargetState
from medback_core.presenting.places import at
from medback_core.presenting.units import command, name, plural, size
from medback_core.session import Session
from medback_tui.jobs.queue import Job
from medback_tui.jobs.recipe import resumable

if TYPE_CHECKING:
    from medback_core.drives.story import Story


def options(**given: bytes | str | int | None) -> list[bytes | str]:
    """The options of a command line for what is given: `--to DIR` for `to=b"DIR"`, `--deleted` for `deleted=True`."""
    words: list[bytes | str] = []
    for option, value in given.items():
        if value is None or value is False:
            continue
        words.append(f"--{option.replace('_', '-')}")
        if value is not True:
            words.append(str(value) if isinstance(value, int) else value)
    return words


def _once(change: Callable[[], object]) -> Iterator[model.Event]:
    """A change without events, as an operation."""
    change()
    yield from ()


@resumable
def add_source(path: bytes, *, alias: str | None = None, copies: int | None = None) -> Job:
    """Register and scan a directory."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.scanning import sources

        return sources.add_source(session, path, alias=alias, copies=copies)

    line = command("add-src", path, *options(alias=alias, copies=copies))
    return Job(f"add {name(os.path.basename(path) or path)}", line, start, kind="add-src")


@resumable
def update(aliases: Sequence[str] = (), *, answers: model.Answers = model.NO_ANSWERS) -> Job:
    """Scan sources again; all of them without names."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.scanning import sources

        return sources.update(session, aliases, answers=answers)

    accepted = options(accept_deletions=answers.deletions, accept_changes=answers.changes)
    title = f"update {', '.join(name(alias) for alias in aliases)}" if aliases else "update all sources"
    details: dict[str, object] = {"aliases": tuple(aliases)}
    return Job(title, command("update", *aliases, *accepted), start, kind="update", details=details)


def change_source(
    source: model.Source,
    *,
    alias: str | None = None,
    path: bytes | None = None,
    copies: int | None = None,
    excludes: Sequence[str] | None = None,
    place: str | None = None,
    elsewhere: int | None = None,
    had_rules: Sequence[model.Rule] = (),
    rules: Sequence[model.Rule] | None = None,
) -> Job:
    """Change what is set of a source: what is given and differs. `excludes`, `rules`: all there shall be; `place`: ""
    for none; `had_rules`: the rules it has now."""
    new_alias = alias if alias != source.alias else None
    new_path = path if path != source.path else None
    new_copies = copies if copies != source.wanted else None
    wanted = source.excludes if excludes is None else tuple(excludes)
    added = [pattern for pattern in wanted if pattern not in source.excludes]
    dropped = [pattern for pattern in source.excludes if pattern not in wanted]
    new_place = place if place is not None and place != (source.place or "") else None
    new_elsewhere = elsewhere if elsewhere != source.elsewhere else None
    had = {rule.path: rule for rule in had_rules}
    shall = had if rules is None else {rule.path: rule for rule in rules}
    changed_rules = [rule for rule in shall.values() if not _says_the_same(rule, had.get(rule.path))]
    # A rule is dropped first where one of its two numbers is no longer said: giving the other would keep it.
    forgotten = sorted(path for path, rule in had.items() if path not in shall or _says_less(shall[path], rule))

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.scanning import sources

        def change() -> None:
            changed = sources.change_source(
                session, source.alias, new_alias=new_alias, path=new_path, copies=new_copies, add_excludes=added,
                drop_excludes=dropped, place=new_place, elsewhere=new_elsewhere, drop_rules=forgotten,
            )  # fmt: skip
            for rule in changed_rules:
                sources.change_source(
                    session, changed.alias, below=rule.path, copies=rule.copies, elsewhere=rule.elsewhere
                )

        return _once(change)

    changes = options(alias=new_alias, path=new_path, copies=new_copies)
    for pattern in added:
        changes += options(exclude=pattern)
    for pattern in dropped:
        changes += options(no_exclude=pattern)
    changes += options(elsewhere=new_elsewhere, place=new_place)
    for path_of_rule in forgotten:
        changes += options(no_below=path_of_rule)
    words: list[str] = []
    if new_alias is not None:
        words.append(f"now called {name(new_alias)}")
    if new_path is not None:
        words.append(f"now at {name(new_path)}")
    if new_copies is not None:
        words.append(f"{plural(new_copies, 'copy', 'copies')} wanted")
    if added or dropped:
        words.append("other files left out")
    if new_elsewhere is not None:
        words.append(f"{new_elsewhere} of the copies elsewhere")
    if new_place is not None:
        words.append(f"kept {at(new_place)}" if new_place else "kept at no named place")
    if changed_rules or forgotten:
        words.append("other rules for directories")
    calls = [command("set-source", source.alias, *changes)] if changes else []
    for rule in changed_rules:
        numbers = options(below=rule.path, copies=rule.copies, elsewhere=rule.elsewhere)
        calls.append(command("set-source", new_alias or source.alias, *numbers))
    after = replace(
        source, alias=new_alias or source.alias, path=new_path or source.path, wanted=new_copies or source.wanted,
        excludes=wanted, elsewhere=source.elsewhere if elsewhere is None else elsewhere,
        place=source.place if place is None else place or None,
    )  # fmt: skip

    def undo() -> Job:
        return change_source(
            after, alias=source.alias, path=source.path, copies=source.wanted, excludes=source.excludes,
            place=source.place or "", elsewhere=source.elsewhere,
            had_rules=[*shall.values()], rules=[*had.values()],
        )  # fmt: skip

    title = f"{name(source.alias)}: {', '.join(words) or 'nothing changed'}"
    rescan = bool(added or dropped)
    return Job(title, " && ".join(calls), start, kind="set-source", rescan=rescan, undo=undo if words else None)


def _says_the_same(rule: model.Rule, was: model.Rule | None) -> bool:
    return was is not None and (rule.copies, rule.elsewhere) == (was.copies, was.elsewhere)


def _says_less(rule: model.Rule, was: model.Rule) -> bool:
    return (rule.copies is None and was.copies is not None) or (rule.elsewhere is None and was.elsewhere is not None)


def forget_source(alias: str, path: bytes | None = None) -> Job:
    """Forget a source. No file is touched. With its path it can be taken back: its metadata there says all of it."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.scanning import sources

        return _once(lambda: sources.forget_source(session, alias))

    undo = None if path is None else partial(add_source, path)
    return Job(f"forget {name(alias)}", command("remove-src", alias), start, kind="remove-src", undo=undo)


def rebuild() -> Job:
    """A new session from the sidecars of the sources listed beside it."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.upkeep import rebuild as core

        return core.rebuild(session, ())

    return Job("rebuild the session", command("rebuild"), start, kind="rebuild")


def set_target(
    target: model.Target,
    *,
    state: TargetState | None = None,
    label: str | None = None,
    capacity: int | None = None,
    unlimited: bool = False,
    place: str | None = None,
) -> Job:
    """Change what people say of a drive. `unlimited`: it is all for medback; `place`: "" for where this machine is."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.drives import open as targets

        return _once(
            lambda: targets.set_target(
                session, target.id, state=state, label=label, capacity=capacity, unlimited=unlimited, place=place
            )
        )

    words = []
    if state is not None:
        words.append(f"now {state}")
    if label is not None:
        words.append(f"now called {name(label)}")
    if capacity is not None:
        words.append(f"at most {size(capacity)} of it for medback")
    if unlimited:
        words.append("all of it for medback")
    if place is not None:
        words.append(f"kept {at(place)}" if place else "kept where this machine is")
    changed = replace(target, label=target.label if label is None else label)
    limits = capacity is not None or unlimited

    def undo() -> Job:
        return set_target(
            changed,
            state=target.state if state is not None else None,
            label=target.label if label is not None else None,
            capacity=target.capacity if limits else None,
            unlimited=limits and target.capacity is None,
            place=target.place or "" if place is not None else None,
        )  # fmt: skip

    title = f"{name(target.name)}: {', '.join(words)}"
    room = "100%" if unlimited else capacity
    line = command("set-target", target.id, *options(state=state, label=label, capacity=room, place=place))
    return Job(title, line, start, kind="set-target", undo=undo)


@resumable
def back_up(
    path: bytes,
    called: str,
    *,
    answers: model.Answers = model.NO_ANSWERS,
    label: str | None = None,
    capacity: int | None = None,
    dry_run: bool = False,
) -> Job:
    """Copy the best files onto the drive at `path` until all is safe or the drive is full. Files that have their wanted
    copies already are not copied once more (`--no-fill`)."""

    details: dict[str, object] = {
        "path": path, "called": called, "answers": answers, "label": label, "capacity": capacity
    }  # fmt: skip
    enough = Event()

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.backing_up import back_up as backup
        from medback_core.presenting.next_drive import next_drive

        for event in backup.back_up(
            session,
            path,
            answers=answers,
            label=label,
            capacity=capacity,
            fill=False,
            dry_run=dry_run,
            enough=enough.is_set,
        ):
            if isinstance(event, model.BackupSummary) and event.remaining and not event.stopped:
                job.next = next_drive(session, but=event.target.key)
            yield event

    line = command("target", path, *options(
        init=answers.create, label=label, capacity=capacity, new_id=answers.new_id, same_drive=answers.same_drive,
        dry_run=dry_run, no_fill=True,
    ))  # fmt: skip
    title = f"preview of {name(called)}" if dry_run else f"target {name(called)}"
    job = Job(title, line, start, kind="target", details=details, quiet=dry_run, enough=None if dry_run else enough)
    return job


@resumable
def discover(path: bytes, called: str, *, answers: model.Answers = model.NO_ANSWERS, label: str | None = None) -> Job:
    """Adopt what already lies on a drive."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.backing_up import discover as core

        return core.discover(session, path, answers=answers, label=label)

    line = command("discover", path, *options(init=answers.create, label=label or None))
    details: dict[str, object] = {"path": path, "called": called}
    return Job(f"discover {name(called)}", line, start, kind="discover", details=details)


@resumable
def restore(
    drive: bytes,
    called: str,
    *,
    source: str | None = None,
    path: bytes | None = None,
    to: bytes | None = None,
    conflict: str = "skip",
    answers: model.Answers = model.NO_ANSWERS,
    deleted: bool = False,
) -> Job:
    """Copy back from a drive what is missing: all, of one source, or at and below one path; with `deleted` what is gone
    from there instead."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.restoring import restore as core

        return core.restore(
            session, name_of_path(drive), source=source, path=path, to=to, conflict=conflict, answers=answers,
            deleted=deleted,
        )  # fmt: skip

    words = options(
        source=source, path=path or None, to=to, conflict=None if conflict == "skip" else conflict,
        in_place=answers.in_place, deleted=deleted,
    )  # fmt: skip
    details: dict[str, object] = {
        "drive": drive, "called": called, "source": source, "path": path, "to": to, "conflict": conflict,
        "deleted": deleted,
    }  # fmt: skip
    what = f" ({name(path)})" if path else f" ({name(source)})" if source else ""
    title = f"restore from {name(called)}{what}"
    return Job(title, command("restore", drive, *words), start, kind="restore", details=details)


def name_of_path(path: bytes) -> str:
    """A path as the TARGET word of the core."""
    from medback_core import names

    return names.text(path)


def refuse_told(stories: Sequence[Story]) -> Job:
    """What these drives remember is not wanted here."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.restoring import told

        return _once(lambda: told.refuse(session, stories))

    called = ", ".join(name(story.label) for story in stories)
    return Job(f"what {called} remembers is not wanted", command("restore-status", "--done"), start, kind="told")


@resumable
def load_context(path: bytes) -> Job:
    """Read a restore context: what it names is expected from now on."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.contexts import load as contexts

        return contexts.add_restore_context(session, path)

    title = f"load {name(os.path.basename(path))}"
    return Job(title, command("add-restore-context", path), start, kind="add-restore-context")


def write_context(path: bytes) -> Job:
    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.contexts import write as contexts

        def write() -> Iterator[model.Event]:
            yield contexts.write_restore(session, path)

        return write()

    return Job(f"write {name(os.path.basename(path))}", command("write-restore", path), start, kind="write-restore")


def restore_status(*, source: str | None = None, path: bytes | None = None, to: bytes | None = None) -> Job:
    """Look at every destination and list what is not there yet, or there with other content."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.restoring import status as restoring_status

        return restoring_status.restore_status(session, source=source, path=path, to=to)

    line = command("restore-status", *options(unrestored=True, to=to))
    return Job("what is not restored yet", line, start, kind="restore-status", quiet=True)


def finish_restore() -> Job:
    """Drop what an imported context expects."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.restoring import status as restoring_status

        return _once(lambda: restoring_status.finish_restore(session))

    return Job("end the restore", command("restore-status", "--done"), start, kind="restore-status")


def eject(path: bytes, called: str) -> Job:
    """Unmount a drive, and power it off where that can be done."""

    def start(session: Session) -> Iterator[model.Event]:
        from medback_core.drives import eject as core

        return core.eject(session, name_of_path(path))

    return Job(f"eject {name(called)}", command("eject", path), start, kind="eject")
