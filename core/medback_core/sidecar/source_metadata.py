"""`.medback-source.xml`: what makes the session DB disposable — the source, every known target, the sibling sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model import WANTED_DEFAULT, Rule, State, TargetState
from ..names import check_relative
from . import values
from .checks import ATTRIBUTES
from .history import ToldEvent, history_lines, parse_history
from .metadata import Elements, document, element_line, parse_target_state, state_line, unknown_of
from .records import NOTHING, Extra, valid_id

_ROOT = "medback-source"
_KNOWN = ("identity", "source", "exclude", "target", "sibling", "state", "mount", "rule", "gap", "event")
_GAPS_MAX = 1000  # so many are written; the rest is counted


@dataclass(frozen=True, slots=True)
class TargetFact:
    """What a source knows of a target. Of two facts the higher `rev` is true, on a tie the worse state."""

    id: str
    label: str
    state: TargetState = TargetState.ACTIVE
    capacity: int | None = None  # bytes medback may fill at most
    rev: int = 1
    fs_uuid: str | None = None
    extra: Extra = NOTHING
    path: bytes | None = None  # where it was last seen: an empty directory there is a drive that is not plugged in
    n: int = 0  # what the sidecars of this source say of copies there is as of this state of the drive; 0: not said
    stamp: str = ""
    disk: str | None = None  # what people call the disk it lies on
    place: str | None = None  # where people say it is kept


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another source of the same session."""

    id: str
    alias: str
    path: bytes
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class MountFact:
    """A file system that is mounted inside the source and belongs to it."""

    path: bytes  # relative
    fs_uuid: str = ""  # "" where any will do
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class RuleFact:
    """What is wanted at and below a directory of the source, and what a later version says of it."""

    rule: Rule
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class GapFact:
    """A place that the last scan did not look at."""

    path: bytes  # relative, b"" the source itself
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """A source's own facts. `id` is "" where it could not be read; `damage` names what was dropped."""

    id: str
    alias: str
    wanted: int = WANTED_DEFAULT
    excludes: tuple[str, ...] = ()
    rev: int = 1
    targets: tuple[TargetFact, ...] = ()
    siblings: tuple[Sibling, ...] = ()
    extra: Extra = NOTHING
    source_extra: Extra = NOTHING  # of the <source> element
    now: State | None = None  # of the source's tree; None: only the versions before wrote there
    state_extra: Extra = NOTHING  # of the <state> element
    damage: tuple[str, ...] = field(default=(), compare=False)
    one_file_system: bool | None = None  # None: from before medback asked
    mounts: tuple[MountFact, ...] = ()
    gaps: tuple[GapFact, ...] = ()
    elsewhere: int = 0
    place: str | None = None  # where people say it is kept
    rules: tuple[RuleFact, ...] = ()
    history: tuple[ToldEvent, ...] = ()  # what happened to it, and to the targets


def parse_source_metadata(data: bytes) -> SourceMetadata:
    """What can be read and has a right check. Never raises; what is dropped is named in `damage`.

    Without a readable id the `id` is "": such a file no longer says which source it is of.
    """
    elements = Elements(data, _ROOT, _KNOWN)
    identifier = elements.identifier("source")
    alias, wanted, rev, source_extra = "", None, None, NOTHING
    one_file_system = place = None
    elsewhere = 0
    source = elements.one("source")
    if source is not None:
        alias = source.get("alias", "")
        wanted = values.parse_number(source.get("wanted"))
        rev = values.parse_number(source.get("rev"))
        one_file_system = {"yes": True, "no": False}.get(source.get("one_file_system", ""))
        elsewhere, place = values.parse_number(source.get("wanted_elsewhere")) or 0, source.get("where")
        source_extra = unknown_of(source, ATTRIBUTES["source"])
    if wanted is None or rev is None or not alias:
        elements.unreadable("source")
    targets: list[TargetFact] = []
    siblings: list[Sibling] = []
    for element in elements.all("target"):
        fact = TargetFact(
            element.get("id", ""),
            element.get("label", ""),
            parse_target_state(element.get("state")),
            values.parse_number(element.get("capacity")),
            values.parse_number(element.get("rev")) or 0,
            element.get("fs_uuid"),
            unknown_of(element, ATTRIBUTES["target"]),
            values.exact_bytes(element.get("path"), element.get("path64")),
            values.parse_count(element.get("n")),
            values.parse_stamp(element.get("stamp")),
            element.get("disk"),
            element.get("where"),
        )
        if valid_id(fact.id):
            targets.append(fact)
        else:
            elements.unreadable("target")
    for element in elements.all("sibling"):
        path = values.exact_bytes(element.get("path"), element.get("path64"))
        if valid_id(element.get("id", "")) and path and b"\0" not in path:
            extra = unknown_of(element, ATTRIBUTES["sibling"])
            siblings.append(Sibling(element.get("id", ""), element.get("alias", ""), path, extra))
        else:
            elements.unreadable("sibling")
    mounts: list[MountFact] = []
    gaps: list[GapFact] = []
    for element in elements.all("mount"):
        path = values.exact_bytes(element.get("path"), element.get("path64"))
        if path and check_relative(path) is None:
            mounts.append(MountFact(path, element.get("fs_uuid", ""), unknown_of(element, ATTRIBUTES["mount"])))
        else:
            elements.unreadable("mount")
    rules: list[RuleFact] = []
    for element in elements.all("rule"):
        path = values.exact_bytes(element.get("path"), element.get("path64"))
        copies, away = values.parse_number(element.get("copies")), values.parse_number(element.get("elsewhere"))
        number = values.parse_number(element.get("rev"))
        if path and check_relative(path) is None and number is not None:
            rules.append(RuleFact(Rule(path, copies, away, number), unknown_of(element, ATTRIBUTES["rule"])))
        else:
            elements.unreadable("rule")
    for element in elements.all("gap"):
        path = values.exact_bytes(element.get("path"), element.get("path64"))
        since = values.parse_date(element.get("since"))
        if path is not None and (not path or check_relative(path) is None) and since is not None:
            gaps.append(GapFact(path, element.get("reason", ""), since))
        else:
            elements.unreadable("gap")
    history = parse_history(elements)
    return SourceMetadata(
        id=identifier,
        alias=alias,
        wanted=WANTED_DEFAULT if wanted is None else wanted,
        excludes=tuple(element.get("pattern", "") for element in elements.all("exclude")),
        rev=rev or 0,
        targets=tuple(targets),
        siblings=tuple(siblings),
        extra=elements.extra,
        source_extra=source_extra,
        now=elements.state(),
        state_extra=elements.extra_of("state"),
        damage=tuple(elements.damage),
        one_file_system=one_file_system,
        mounts=tuple(mounts),
        gaps=tuple(gaps),
        elsewhere=elsewhere,
        place=place,
        rules=tuple(rules),
        history=history,
    )


def render_source_metadata(metadata: SourceMetadata) -> bytes:
    """The file's bytes; targets and siblings sorted by id, so that equal facts give equal bytes."""
    asked = {True: "yes", False: "no", None: None}[metadata.one_file_system]
    said: dict[str, object] = {name: getattr(metadata, name) for name in ("id", "alias", "wanted", "rev")}
    said |= {"one_file_system": asked, "wanted_elsewhere": metadata.elsewhere or None, "where": metadata.place}
    lines = [element_line("identity", {"id": metadata.id}), element_line("source", said, metadata.source_extra)]
    lines += [element_line("exclude", {"pattern": pattern}) for pattern in metadata.excludes]
    for fact in sorted(metadata.targets, key=lambda fact: fact.id):
        names = ("id", "label", "state", "rev", "capacity", "fs_uuid", "disk")
        said = {**{name: getattr(fact, name) for name in names}, "where": fact.place}
        said |= values.pair("path", fact.path) if fact.path is not None else {}
        said |= {"n": fact.n, "stamp": fact.stamp} if fact.n and fact.stamp else {}
        lines.append(element_line("target", said, fact.extra))
    for sibling in sorted(metadata.siblings, key=lambda sibling: sibling.id):
        said = {"id": sibling.id, "alias": sibling.alias, **values.pair("path", sibling.path)}
        lines.append(element_line("sibling", said, sibling.extra))
    lines += state_line(metadata.now, metadata.state_extra)
    for told in sorted(metadata.rules, key=lambda told: told.rule.path):
        rule = told.rule
        said = {"copies": rule.copies, "elsewhere": rule.elsewhere, **values.pair("path", rule.path), "rev": rule.rev}
        lines.append(element_line("rule", said, told.extra))
    for mount in sorted(metadata.mounts, key=lambda mount: mount.path):
        lines.append(element_line("mount", {**values.pair("path", mount.path), "fs_uuid": mount.fs_uuid}, mount.extra))
    gaps = sorted(metadata.gaps, key=lambda gap: gap.path)
    for gap in gaps[:_GAPS_MAX]:
        lines.append(_gap_line(gap.path, gap.reason, gap.since))
    if len(gaps) > _GAPS_MAX:
        oldest = min(gap.since for gap in gaps[_GAPS_MAX:])
        lines.append(_gap_line(b"", f"{len(gaps) - _GAPS_MAX:,} further places could not be looked at", oldest))
    return document(_ROOT, [*lines, *history_lines(metadata.history)], metadata.extra)


def _gap_line(path: bytes, reason: str, since: int) -> str:
    date = values.format_date(since) or ""
    return element_line("gap", {**values.pair("path", path), "reason": reason, "since": date})
