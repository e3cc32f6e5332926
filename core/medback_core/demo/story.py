"""Tell the whole story of medback in a small real world: back up, change, lose a drive, plan, restore, compare."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import TypeVar

from medback_core import disk, names
from medback_core.backing_up.back_up import back_up
from medback_core.coverage.places import three_two_one
from medback_core.coverage.totals import coverage
from medback_core.coverage.what_if import what_if, what_if_places
from medback_core.demo.world import DemoTarget, DemoWorld, open_place, write_world
from medback_core.drives.open import open_drive, set_target
from medback_core.model import (
    Answers,
    BackupSummary,
    Count,
    Event,
    RestoreSummary,
    ScanSummary,
    Summary,
    TargetState,
    Warned,
)
from medback_core.presenting.next_drive import next_drive, next_words
from medback_core.presenting.places import three_two_one_words
from medback_core.presenting.units import counted, plural, size
from medback_core.presenting.units import name as shown
from medback_core.restoring.plan import PlanSummary, restore_plan
from medback_core.restoring.restore import restore
from medback_core.scanning.sources import add_source, update
from medback_core.session import Session, open_session
from medback_core.session.targets import find_target

S = TypeVar("S", bound=Summary)
Story = Generator[str | Event, None, None]

_CHUNK = 1 << 20


class DemoChecked(Summary):
    """Whether all that was restored equals the original, byte for byte."""

    equal: bool
    files: int
    bytes: int
    differing: tuple[bytes, ...] = ()


def build_demo(directory: Path) -> DemoWorld:
    """Two sources of real files, scanned; three targets, the first filled by a real backup. Raises Refused."""
    return disk.ended(_build(directory))


def demo_story(directory: Path) -> Iterator[str | Event]:
    """The whole story in a new world in `directory`: lines to print, and the events of what is done; the last one is
    a DemoChecked. Raises Refused."""
    world = yield from _build(directory)
    with disk.Root(os.fsencode(world.directory)) as root, open_session(world.session_path) as session:
        yield from _second_drive(session, world)
        yield from _life_goes_on(session, root)
        yield from _third_drive(session, world)
        yield from _a_drive_dies(session, root, world)
        yield from _the_house_burns(session, world)
        yield from _restore_elsewhere(session, root)
        yield from _restore_in_place(session, root)
        yield from _it_really_burns(session, root, world)


def _build(directory: Path) -> Generator[str | Event, None, DemoWorld]:
    with open_place(directory) as root:
        yield f"A small world in {shown(root.path)}: real files, and three drives too small for all of them."
        world = write_world(root)
        with open_session(world.session_path) as session:
            for path in world.sources:
                yield f"$ medback add-src {shown(path)}"
                scan = yield from _follow(add_source(session, path), ScanSummary)
                yield (
                    f"  {shown(scan.source.alias)}: {scan.files:,} files, {size(scan.bytes)}, "
                    f"each hashed once, a .medback.xml in each of {scan.directories:,} directories"
                )
            for target in world.targets:
                with open_drive(
                    session,
                    target.path,
                    write=True,
                    answers=Answers(create=True),
                    label=target.label,
                    capacity=target.capacity,
                ):
                    pass  # being opened makes it a target
                set_target(session, target.label, disk_name=target.label)
            yield f"Three drives of {size(world.targets[0].capacity)}. (Here they are directories on one disk.)"
            yield from _back_up(session, world.targets[0])
        return world


def _second_drive(session: Session, world: DemoWorld) -> Story:
    # Less than it could hold, so that there is room for what will change.
    yield from _back_up(session, world.targets[1], limit=world.targets[1].capacity * 3 // 4)
    yield from _stats(session)


def _life_goes_on(session: Session, root: disk.Root) -> Story:
    readme = b"home/library/README.txt"
    text = root.read_whole(readme, 1 << 20)
    disk.write_whole(root, readme, text + b"A line written after the first backup.\n")
    disk.write_whole(root, b"home/pictures/2024/notes.txt", b"Lisbon: take the 28 tram early in the morning.\n")
    disk.move(root, b"home/pictures/2022/oslo", b"home/pictures/archive/oslo 2022")
    gone = b"home/pictures/2023/harbour/IMG_0006.png"
    status = root.stat(gone)
    assert status is not None
    disk.remove(root, gone, expect=status)
    yield "Life goes on: one file is written to, one is new, an album is moved, a picture is deleted."
    yield "$ medback update"
    scans: list[ScanSummary] = []
    for event in update(session):
        if isinstance(event, ScanSummary):
            scans.append(event)
        yield from _passed_on(event)
    for scan in scans:
        yield (
            f"  {shown(scan.source.alias)}: {scan.added} added, {scan.changed} changed, "
            f"{scan.moved} moved, {scan.removed} removed; {size(scan.hashed_bytes)} read"
        )


def _third_drive(session: Session, world: DemoWorld) -> Story:
    yield from _back_up(session, world.targets[2])
    yield from _back_up(session, world.targets[1])
    yield from _stats(session)


def _a_drive_dies(session: Session, root: disk.Root, world: DemoWorld) -> Story:
    first = world.targets[0]
    loss = what_if(session, [find_target(session, first.label)])
    yield f"$ medback what-if '{first.label}'"
    lost = counted(loss.lost) if loss.lost.files else "nothing"
    yield f"  {lost} would be lost, {counted(loss.weakened)} would have a copy less than wanted"
    rel = os.path.relpath(first.path, root.path)
    disk.move(root, rel, b"bottom-of-the-sea")
    yield f"{first.label} falls into the sea."
    yield f"$ medback set-target '{first.label}' --state lost"
    set_target(session, first.label, state=TargetState.LOST)
    yield from _stats(session)


def _the_house_burns(session: Session, world: DemoWorld) -> Story:
    """One drive goes to the office: what a fire at home would take, and what comes back."""
    away = world.targets[2]
    yield f"{away.label} goes to the office. What if the house burns?"
    yield f"$ medback set-target '{away.label}' --place office"
    set_target(session, away.label, place="office")
    yield "$ medback stats"
    yield f"  {three_two_one_words(three_two_one(session))}"
    yield "$ medback what-if --place home"
    loss = what_if_places(session, ["home"])
    yield f"  lost for good: {counted(loss.lost)}"
    for target, brings in loss.by:
        yield f"  comes back from {target.name}: {counted(brings)}"


def _restore_elsewhere(session: Session, root: disk.Root) -> Story:
    fresh = os.path.join(root.path, b"restored")
    root.make_directories(b"restored")
    plan = yield from _plan(session, ["--all"], all_of_it=True)
    yield "All of it, to another place, in the order of the plan:"
    for step in plan.steps:
        yield from _restore(session, step.target.name, fresh)
    yield from _compared(root, [(b"home/library", b"restored/library"), (b"home/pictures", b"restored/pictures")])


def _restore_in_place(session: Session, root: disk.Root) -> Story:
    yield "All of home/pictures is deleted, with what medback wrote there."
    _remove_tree(root, b"home/pictures")
    plan = yield from _plan(session, [], all_of_it=False)
    for step in plan.steps:
        yield from _restore(session, step.target.name, None)
    yield from _compared(root, [(b"restored/pictures", b"home/pictures"), (b"restored/library", b"home/library")])


def _it_really_burns(session: Session, root: disk.Root, world: DemoWorld) -> Story:
    """Both sources, the drives at home and the session are gone. A new machine has the drive from the office alone: all
    that had a copy there comes back, and what was told to be lost is what is missing."""
    away = world.targets[2]
    lost = {f"{file.source}/".encode() + file.path for file in what_if_places(session, ["home"]).lost_files}
    for rel in (b"home/library", b"home/pictures", os.path.relpath(world.targets[1].path, root.path)):
        _remove_tree(root, rel)
    yield f"The house burns: both sources, {world.targets[1].label} and the session are gone."
    yield f"{away.label} was at the office. A new machine has it alone:"
    root.make_directories(b"after-the-fire")
    with open_session(Path(world.directory) / "new-machine") as fresh:
        yield from _restore(fresh, names.text(away.path), os.path.join(root.path, b"after-the-fire"))
    yield from _compared(
        root,
        [(b"restored/library", b"after-the-fire/library"), (b"restored/pictures", b"after-the-fire/pictures")],
        lost={b"after-the-fire/" + path for path in lost},
    )


# --- one step each ---------------------------------------------------------------------------------------------------


def _follow(events: Iterator[Event], kind: type[S]) -> Generator[Event, None, S]:
    """Pass on what an operation tells; its summary."""
    found: S | None = None
    for event in events:
        if isinstance(event, kind):
            found = event
        yield from _passed_on(event)
    assert found is not None
    return found


def _passed_on(event: Event) -> Iterator[Event]:
    # All drives of a demo lie on one disk, which is said once.
    if not isinstance(event, Summary) and not (isinstance(event, Warned) and event.what in ("same-disk", "one-disk")):
        yield event


def _back_up(session: Session, target: DemoTarget, limit: int | None = None) -> Story:
    yield f"$ medback target {shown(target.path)} --no-fill" + (f" --limit {limit}" if limit else "")
    done = yield from _follow(back_up(session, target.path, limit=limit, fill=False), BackupSummary)
    yield (
        f"  {target.label}: {counted(Count(done.copied, done.copied_bytes))} copied and read back equal"
        + (f", {done.already_there:,} already there" if done.already_there else "")
        + (f"; {counted(Count(done.remaining, done.remaining_bytes))} still need a drive" if done.remaining else "")
        + ("; nothing is left to do" if not done.remaining else "")
    )
    yield from advice(session, but=done.target.key)


def advice(session: Session, *, but: int | None = None) -> Iterator[str]:
    """Which drive is next, while something is not safe."""
    answer = next_drive(session, but=but)
    if answer.unsafe.files:
        yield f"  next: {next_words(answer, otherwise='plug in a new drive')}"


def _stats(session: Session) -> Iterator[str]:
    found = coverage(session)
    yield "$ medback stats"
    parts = [
        f"{copies} cop{'y' if copies == 1 else 'ies'}: {counted(count)}"
        for copies, count in sorted(found.by_copies.items())
        if count.files
    ]
    yield f"  {'; '.join(parts)}"


def _plan(session: Session, words: list[str], *, all_of_it: bool) -> Generator[str | Event, None, PlanSummary]:
    yield " ".join(["$ medback plan", *words])
    plan = yield from _follow(restore_plan(session, all_of_it=all_of_it), PlanSummary)
    for number, step in enumerate(plan.steps, 1):
        left = f"{counted(step.remaining)} still missing" if step.remaining.files else "nothing missing any more"
        yield f"  {number}. plug in {step.target.name}: brings {counted(step.brings)}, then {left}"
    if plan.unreachable.files:
        yield f"  {counted(plan.unreachable)} are on no drive"
    return plan


def _restore(session: Session, word: str, to: bytes | None) -> Story:
    yield f"$ medback restore '{word}'" + (f" --to {shown(to)}" if to is not None else "")
    done = yield from _follow(restore(session, word, to=to), RestoreSummary)
    yield (
        f"  {counted(Count(done.restored, done.restored_bytes))} restored, {done.already_right:,} already right, "
        f"{done.missing:,} still missing"
    )


def _compared(root: disk.Root, pairs: list[tuple[bytes, bytes]], lost: Collection[bytes] = ()) -> Iterator[str | Event]:
    """Compare trees, every byte of every file; says so and ends with a DemoChecked. `lost`: files of the copies that
    must not be there."""
    files = size = 0
    differing: list[bytes] = []
    for original, copy in pairs:
        theirs = dict(_tree(root, copy))
        for rel, status in _tree(root, original):
            found = theirs.pop(rel, None)
            if copy + b"/" + rel in lost:
                differing += [] if found is None else [copy + b"/" + rel]
                continue
            if stat.S_ISREG(status.st_mode):
                files, size = files + 1, size + status.st_size
            if found is None or not _same(root, original + b"/" + rel, status, copy + b"/" + rel, found):
                differing.append(copy + b"/" + rel)
        differing += [copy + b"/" + rel for rel in theirs]
    checked = DemoChecked(not differing, files, size, tuple(differing))
    places = " and ".join(shown(copy) for _, copy in pairs)
    if checked.equal:
        yield f"Compared: all {counted(Count(files, size))} in {places} equal the original, byte for byte."
        if lost:
            yield f"Lost, as the what-if said: {plural(len(lost), 'file')}, which had no copy elsewhere."
    else:
        yield f"Compared: {len(differing)} of {files} in {places} DIFFER: " + ", ".join(map(shown, differing[:10]))
    yield checked


def _tree(root: disk.Root, top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Files and links below, but for what medback wrote: (path relative to `top`, stat)."""
    for here, entries, failure in root.walk(top):
        if failure is not None:
            raise failure
        for name, status in entries.items():
            if isinstance(status, OSError):
                raise status
            if not stat.S_ISDIR(status.st_mode) and not name.startswith(b".medback"):
                yield (here + b"/" + name)[len(top) + 1 :], status


def _same(root: disk.Root, one: bytes, one_status: os.stat_result, two: bytes, two_status: os.stat_result) -> bool:
    if stat.S_IFMT(one_status.st_mode) != stat.S_IFMT(two_status.st_mode):
        return False
    if stat.S_ISLNK(one_status.st_mode):
        return root.readlink(one) == root.readlink(two)
    if (one_status.st_size, one_status.st_mtime_ns) != (two_status.st_size, two_status.st_mtime_ns):
        return False
    with os.fdopen(root.open_file(one)[0], "rb") as first, os.fdopen(root.open_file(two)[0], "rb") as second:
        while True:
            chunk = first.read(_CHUNK)
            if chunk != second.read(_CHUNK):
                return False
            if not chunk:
                return True


def remove_world(directory: Path) -> None:
    """Remove the directory a demo was built in, whole or begun: only for one that was made for the demo alone."""
    path = os.path.abspath(os.fsencode(directory))
    if not os.path.isdir(path):
        return
    with disk.Root(os.path.dirname(path)) as root:
        _remove_tree(root, os.path.basename(path))


def _remove_tree(root: disk.Root, rel: bytes) -> None:
    for name, status in list(root.scan(rel)):
        if isinstance(status, OSError):
            raise status
        if stat.S_ISDIR(status.st_mode):
            _remove_tree(root, rel + b"/" + name)
        else:
            disk.remove(root, rel + b"/" + name, expect=status)
    disk.remove_empty_directory(root, rel)
