"""The commands about targets as such: targets, set-target."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from medback_core import names
from medback_core.errors import UsageError
from medback_core.model import OnPlug, Target, TargetState, Warned, iso_date
from medback_core.presenting.places import at, shelf_words
from medback_core.presenting.plugging import health_words, locked_words
from medback_core.presenting.refusals import way_out
from medback_core.presenting.units import ago, listed, size
from medback_core.presenting.units import name as shown
from medback_core.settings.sizes import Size

from .options import SIZE, complete_targets
from .running import Run, command
from .safety import say_what_is_unsafe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medback_core.session import Session


def target_json(target: Target) -> dict[str, Any]:
    return {
        "id": target.id,
        "label": target.label,
        "path": None if target.path is None else names.text(target.path),
        "state": target.state.value,
    }


def listed_targets(session: Session, listed: Sequence[Target], locked: Collection[str]) -> list[dict[str, Any]]:
    """Targets as `targets` lists them. `locked`: the ids of those that are here and locked."""
    from medback_core.coverage.shelf_room import room_seen
    from medback_core.session.candidates import known_extent
    from medback_core.session.copies import bytes_on, held_by_target
    from medback_core.session.counting import NOTHING
    from medback_core.session.needs import places
    from medback_core.session.targets import lost_together

    held, on_it = held_by_target(session), bytes_on(session, [target.key for target in listed])
    known, kept, together = known_extent(session), places(session), lost_together(session)
    return [
        {
            **target_json(target),
            "files": held.get(target.key, NOTHING).files,
            "bytes": held.get(target.key, NOTHING).bytes,
            "capacity": target.capacity,
            "free_bytes": target.free_bytes,
            "room_bytes": None if target.free_bytes is None else room_seen(session, target, known, on_it).content,
            "disk": target.disk,
            "place": kept.called(target),
            "dies_with": [other.id for other in together.get(target.key, ())],
            "on_plug": target.on_plug,
            "luks": target.luks,
            "locked": target.id in locked,
            "health": target.health or "unknown",
            "health_at": iso_date(target.health_at),
            "last_seen": iso_date(target.seen_at),
            "last_verified": iso_date(target.verified_at),
        }
        for target in listed
    ]


@command("targets")
def targets(run: Run) -> None:
    """List the targets.

    State, where and when last seen, what they hold, and last verified: when the copy with the oldest check was read.
    """
    from medback_core.coverage.places import place_shelves
    from medback_core.disk import FAILING
    from medback_core.drives.drive import locked_here
    from medback_core.session.targets import disk_groups, list_targets

    with run.session() as session:
        found = list_targets(session)
        locked = locked_here(found)
        rows = listed_targets(session, found, locked)
        run.outcome.result["targets"] = rows
        if not rows:
            run.answer_line("no targets yet; plug in a drive and run `medback target PATH`")
            return
        run.table(
            [
                "label",
                "id",
                "state",
                ("files", "right"),
                ("bytes", "right"),
                ("room", "right"),
                "seen",
                "verified",
                "path",
            ],
            [
                [
                    target.label,
                    target.id,
                    row["state"],
                    f"{row['files']:,}",
                    size(row["bytes"]),
                    "" if row["room_bytes"] is None else size(row["room_bytes"]),
                    ago(target.seen_at),
                    ago(target.verified_at),
                    row["path"] or "",
                ]
                for row, target in zip(rows, found, strict=True)
            ],
        )
        for row, target in zip(rows, found, strict=True):
            if row["locked"]:
                run.say(locked_words(target.name, locked[target.id]))
            if target.health == FAILING:
                way = f". {way_out(Warned('disk-failing', target=target.name))}" if target.counts else ""
                run.say(f"{shown(target.name)}: {health_words(target)}{way}")
        for group in disk_groups(session):
            run.say(f"{listed([one.name for one in group])} are on one disk: if that disk fails, all of them are lost")
        for shelf in place_shelves(session):
            run.say(shelf_words(shelf))


@command("set-target")
@click.argument("word", metavar="ID-or-LABEL", shell_complete=complete_targets)
@click.option(
    "--state",
    type=click.Choice([state.value for state in TargetState]),
    help="active: its copies count. retired: they don't, nothing is written to it. suspect: not trusted. lost: gone.",
)
@click.option("--label", metavar="NAME", help="What people call it.")
@click.option(
    "--capacity", type=SIZE, metavar="SIZE", help="Fill at most this much of the drive; 100%: all of it again."
)
@click.option(
    "--on-plug",
    type=click.Choice([one.value for one in OnPlug]),
    help="What `medback watch` does when it is plugged in: back up onto it, verify it, or nothing.",
)
@click.option(
    "--disk",
    "disk_name",
    metavar="NAME",
    help="The disk it lies on. Same NAME: one disk, other NAME: another. '': as detected.",
)
@click.option("--place", metavar="PLACE", help="Where it is kept: home, office, …; '': where this machine is.")
def set_target(
    run: Run,
    word: str,
    state: str | None,
    capacity: Size | None,
    on_plug: str | None,
    **said: Any,
) -> None:
    """Change a target: state, label, capacity, the disk it lies on, where it is kept, what it does when plugged in."""
    if all(one is None for one in (state, capacity, on_plug, *said.values())):
        raise UsageError("usage/nothing-to-set-target")
    from medback_core.drives import open as operation
    from medback_core.drives.drive import locked_here

    with run.session() as session:
        limit = None
        unlimited = capacity is not None and capacity.of_drive and capacity.amount >= 100
        if capacity is not None and not unlimited:
            path = operation.resolve_target(session, word)[1] if capacity.of_drive else None
            if capacity.of_drive and path is None:
                raise UsageError("usage/share-of-absent-drive")
            limit = capacity.bytes_on(path or b"")
        changed = operation.set_target(
            session,
            word,
            state=None if state is None else TargetState(state),
            capacity=limit,
            unlimited=unlimited,
            on_plug=None if on_plug is None else OnPlug(on_plug),
            **said,
        )
        run.outcome.result["target"] = listed_targets(session, [changed], locked_here([changed]))[0]
        run.say(
            f"{shown(changed.name)} ({changed.id}) is {changed.state.value}"
            + (f", fills at most {size(changed.capacity)}" if changed.capacity is not None else "")
            + (f", on the disk {shown(changed.disk)}" if changed.disk else "")
            + (f", kept {at(changed.place)}" if changed.place is not None else "")
            + (f", when plugged in: {changed.on_plug.value}" if changed.on_plug is not None else "")
        )
        if state is not None or said["place"] is not None:
            say_what_is_unsafe(run, session)


def plugged_in(session: Session, path: bytes) -> Target | None:
    """The target this path is known as, for reporting on a run that ended early."""
    from medback_core.drives.open import identity_at
    from medback_core.session.targets import target_by_id

    identity = identity_at(os.path.abspath(path))
    return None if identity is None or not identity.id else target_by_id(session, identity.id)


COMMANDS = [targets, set_target]
