"""A small world to search whole: one content, two sessions, three drives, two sources, and what each knows of the rest.

Nothing here touches a disk. What medback does is put down as rules over a few facts, so that every order of steps up to
a depth can be tried. The content may lie on a drive at a current path (of one source) or in `.medback-old/`. A session
knows what it saw last; a drive's context says, for each source, which state of it was written there last. A session DB
and a drive may be put back as they were before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

NOWHERE, OLD = -1, -2  # else: at a current path of the source with this number
Section = tuple[int, bool]  # as of which change of the source it is, and whether it names the content


class Mind(NamedTuple):
    """A session: what it knows of its sources, and where it believes the content to lie."""

    sections: tuple[Section | None, ...]  # by source; None: not a source of this session
    believes: tuple[int, ...]  # by drive
    was: Mind | None = None  # an older copy of its DB


class Disk(NamedTuple):
    """A drive: where the content lies, and what its context says of each source."""

    lies: int = NOWHERE
    sections: tuple[Section | None, ...] = (None, None)
    was: Disk | None = None  # an older image of it


class World(NamedTuple):
    """`sources`: how often each was changed, and whether it holds the content now."""

    sources: tuple[Section, ...]
    minds: tuple[Mind, ...]
    disks: tuple[Disk, ...]
    safe: tuple[bool, ...]  # by source: it holds the content, and was backed up


class Rule(NamedTuple):
    """When a copy may be removed. Each part can be switched off, to see what it is for."""

    witness: bool = True  # another copy, seen now on another drive, at a current path
    not_old: bool = True  # what lies in .medback-old/ is no witness
    told: bool = True  # the witness' own drive names the content for all who are known to name it
    wanted: int = 1


Step = tuple[str, ...]


def begin(known: tuple[tuple[int, ...], ...], drives: int = 3) -> World:
    """Sources that all hold the content, on no drive yet; `known[n]`: the sources of the session n."""
    sources = 1 + max(number for those in known for number in those)
    minds = tuple(
        Mind(tuple((0, True) if number in those else None for number in range(sources)), (NOWHERE,) * drives)
        for those in known
    )
    disks = (Disk(sections=(None,) * sources),) * drives
    return World(((0, True),) * sources, minds, disks, (False,) * sources)


def steps(world: World, rule: Rule) -> Iterator[tuple[Step, World, bool]]:
    """Everything that can happen next: (what, the world after it, whether medback removed a copy)."""
    for number, (changes, holds) in enumerate(world.sources):
        if holds:
            yield (
                ("edit", f"source {number}"),
                world._replace(sources=_put(world.sources, number, (changes + 1, False))),
                False,
            )
    for who, mind in enumerate(world.minds):
        name = f"session {who}"
        seen = tuple(None if s is None else world.sources[n] for n, s in enumerate(mind.sections))
        yield (name, "scans"), _mind(world, who, mind._replace(sections=seen)), False
        yield (name, "is copied"), _mind(world, who, mind._replace(was=mind._replace(was=None))), False
        if mind.was is not None:
            yield (name, "is as it was"), _mind(world, who, mind.was), False
        for drive in range(len(world.disks)):
            yield (name, "looks at", str(drive)), _mind(world, who, _looked(mind, world, (drive,))), False
            yield from _backs_up(world, who, drive, name)
            others = [other for other in range(len(world.disks)) if other != drive]
            for count in range(len(others) + 1):
                for also in combinations(others, count):
                    after = _reclaimed(world, who, drive, also, rule)
                    if after is not None:
                        yield (name, "frees", str(drive), "with", str(also)), after, True
    for drive, disk in enumerate(world.disks):
        yield ("drive", str(drive), "is copied"), _disk(world, drive, disk._replace(was=disk._replace(was=None))), False
        if disk.was is not None:
            yield ("drive", str(drive), "is as it was"), _disk(world, drive, disk.was), False


def is_lost(world: World) -> bool:
    """Whether no drive has the content, though a source has it that was backed up."""
    return any(world.safe) and all(disk.lies == NOWHERE for disk in world.disks)


def _settled(before: World, after: World, *, by_hand: bool) -> World:
    """The world after a step with its `safe` in line: once a source's content lies at a current path of a drive whose
    context says that this source has it, that is so until the source no longer has it, or hands put a drive back."""
    safe = []
    for number, (_, holds) in enumerate(after.sources):
        told = any(d.lies >= 0 and (s := d.sections[number]) is not None and s[1] for d in after.disks)
        safe.append(holds and (told or (before.safe[number] and not by_hand)))
    return after._replace(safe=tuple(safe))


def _put(row: tuple, number: int, value: object) -> tuple:
    return (*row[:number], value, *row[number + 1 :])


def _mind(world: World, who: int, mind: Mind) -> World:
    return world._replace(minds=_put(world.minds, who, mind))


def _disk(world: World, drive: int, disk: Disk) -> World:
    return world._replace(disks=_put(world.disks, drive, disk))


def _looked(mind: Mind, world: World, drives: tuple[int, ...]) -> Mind:
    believes = mind.believes
    for drive in drives:
        believes = _put(believes, drive, world.disks[drive].lies)
    return mind._replace(believes=believes)


def _newest(one: Section | None, other: Section | None) -> Section | None:
    return max((s for s in (one, other) if s is not None), default=None)


def _written(mind: Mind, disk: Disk) -> Disk:
    """The session's context on a drive: a section that is newer stays, and one of a source it does not know."""
    return disk._replace(sections=tuple(map(_newest, disk.sections, mind.sections)))


def _backs_up(world: World, who: int, drive: int, name: str) -> Iterator[tuple[Step, World, bool]]:
    """It looks, scans, moves what no source of it has out of the way, copies (or has no room), writes its context."""
    scanned = tuple(None if s is None else world.sources[n] for n, s in enumerate(world.minds[who].sections))
    mind = _looked(world.minds[who]._replace(sections=scanned), world, (drive,))
    disk = world.disks[drive]
    holders = [n for n, section in enumerate(mind.sections) if section is not None and section[1]]
    if disk.lies >= 0 and mind.sections[disk.lies] is not None and disk.lies not in holders:
        disk = disk._replace(lies=holders[0] if holders else OLD)
    elif disk.lies == OLD and holders:
        disk = disk._replace(lies=holders[0])
    for lies in {disk.lies, holders[0]} if holders and disk.lies == NOWHERE else {disk.lies}:
        after = _written(mind, disk._replace(lies=lies))
        told = _mind(world, who, mind._replace(believes=_put(mind.believes, drive, lies)))
        yield (name, "backs up onto", str(drive)), _disk(told, drive, after), False


def _reclaimed(world: World, who: int, drive: int, also: tuple[int, ...], rule: Rule) -> World | None:
    """The world after a copy was removed; None where none may be."""
    mind = _looked(world.minds[who], world, (drive, *also))
    victim = world.disks[drive]
    if victim.lies == NOWHERE:
        return None
    named = [section is not None and section[1] for section in mind.sections]
    elsewhere = sum(lies != NOWHERE for other, lies in enumerate(mind.believes) if other != drive)
    if victim.lies != OLD and (not any(named) or elsewhere < rule.wanted):
        return None  # no older version, and no surplus
    if any(named) and elsewhere < rule.wanted:
        return None
    newest: tuple[Section | None, ...] = (None,) * len(named)
    for plugged in (drive, *also) if rule.witness else (drive,):
        newest = tuple(map(_newest, newest, world.disks[plugged].sections))
    if rule.witness:
        namers = [n for n, section in enumerate(newest) if named[n] or (section is not None and section[1])]
        if namers and not any(_is_witness(world.disks[other], namers, rule) for other in also):
            return None
    elif not any(named):  # the rule of before: only sections of sources this session does not know, on this drive
        foreign = any(s is not None and s[1] and mind.sections[n] is None for n, s in enumerate(newest))
        if foreign and not elsewhere:
            return None
    gone = _written(mind, victim._replace(lies=NOWHERE))
    return _disk(_mind(world, who, mind._replace(believes=_put(mind.believes, drive, NOWHERE))), drive, gone)


def _is_witness(disk: Disk, namers: list[int], rule: Rule) -> bool:
    if disk.lies == NOWHERE or (rule.not_old and disk.lies == OLD):
        return False
    return not rule.told or all((section := disk.sections[n]) is not None and section[1] for n in namers)


# --- the search ----------------------------------------------------------------------------------------------------


def _ranked(world: World) -> World:
    """The same world with small numbers in place of how often a source was changed, drives in an order of their own."""

    def stamps(number: int) -> Iterator[int]:
        yield world.sources[number][0]
        for one in (*world.minds, *world.disks):
            for each in (one, one.was):
                if each is not None and (section := each.sections[number]) is not None:
                    yield section[0]

    ranks = [{stamp: rank for rank, stamp in enumerate(sorted(set(stamps(n))))} for n in range(len(world.sources))]

    def small(one: Any) -> Any:
        sections = tuple(None if s is None else (ranks[n][s[0]], s[1]) for n, s in enumerate(one.sections))
        return one._replace(sections=sections, was=None if one.was is None else small(one.was))

    sources = tuple((ranks[n][changes], holds) for n, (changes, holds) in enumerate(world.sources))
    disks = [small(disk) for disk in world.disks]
    minds = [small(mind) for mind in world.minds]

    def key(drive: int) -> str:
        seen = [m.believes[drive] for m in minds] + [m.was.believes[drive] if m.was else None for m in minds]
        return repr((disks[drive], seen))

    order = sorted(range(len(disks)), key=key)

    def turned(mind: Mind) -> Mind:
        believes = tuple(mind.believes[drive] for drive in order)
        return mind._replace(believes=believes, was=None if mind.was is None else turned(mind.was))

    return World(sources, tuple(turned(mind) for mind in minds), tuple(disks[drive] for drive in order), world.safe)


def search(
    first: World, rule: Rule, depth: int, *, without: Callable[[Step], bool] = lambda step: False
) -> tuple[list[Step] | None, int]:
    """The shortest way to lose the content by a removal of medback's own, None where there is none up to a depth; and
    how many worlds were looked at. Steps that `without` says are left out."""
    first = _ranked(first)
    seen: dict[World, tuple[World, Step] | None] = {first: None}
    edge = [first]
    for _ in range(depth):
        beyond = []
        for world in edge:
            for step, after, removed in steps(world, rule):
                if without(step):
                    continue
                after = _settled(world, after, by_hand=step[0] == "drive")
                if removed and is_lost(after):
                    return [*_way(seen, world), step], len(seen)
                after = _ranked(after)
                if after not in seen:
                    seen[after] = world, step
                    beyond.append(after)
        edge = beyond
    return None, len(seen)


def _way(seen: dict[World, tuple[World, Step] | None], world: World) -> list[Step]:
    way: list[Step] = []
    while (before := seen[world]) is not None:
        world, step = before
        way.insert(0, step)
    return way
