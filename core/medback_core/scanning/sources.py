"""Add, change and forget sources, and scan them again."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Unpack

from medback_core import disk, names
from medback_core.errors import Refused, UsageError
from medback_core.model import (
    HOME,
    NO_ANSWERS,
    TARGET_IDENTITY_NAME,
    WANTED_DEFAULT,
    WANTED_MAX,
    Event,
    Rule,
    ScanSummary,
    Source,
    SourceRefused,
    UpdateSummary,
    Warned,
    folded_place,
    is_metadata,
)
from medback_core.scanning.scan_source import ScanWishes, before_settling, settle_source, start_run, walk_source
from medback_core.scanning.walk import Walk
from medback_core.session import Session
from medback_core.session.gaps import nested_mounts, save_nested
from medback_core.session.needs import list_rules, machine_place, named_places, save_rules, spelled, wants_of
from medback_core.session.source_list import left_out, write_source_list
from medback_core.session.sources import (
    find_source,
    free_alias,
    insert_source,
    list_sources,
    mark_metadata,
    new_id,
    remove_source,
    save_source,
    source_by_id,
    source_by_key,
)
from medback_core.session.targets import list_targets, save_target
from medback_core.session.tree import directory_key
from medback_core.sidecar.source_metadata import SourceMetadata
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import metadata_at, take_up, write_metadata
from medback_core.sources.nested import PSEUDO
from medback_core.sources.remembered import remembered_as
from medback_core.sources.sidecars import flush_sources, mounted_sources


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of a source; None where nothing is said."""

    alias: str | None = None
    copies: int | None = None
    excludes: tuple[str, ...] = ()  # to be left out as well
    one_file_system: bool | None = None
    elsewhere: int | None = None  # so many of the copies
    place: str | None = None  # "": at home
    default_copies: int = WANTED_DEFAULT  # of a new source for which no number was given, and none is in its metadata


_NOTHING = Said()
_ALIAS_MAX = 200  # bytes: it becomes the name of a folder on every target


def add_source(
    session: Session,
    path: bytes,
    *,
    alias: str | None = None,
    copies: int | None = None,
    default_copies: int = WANTED_DEFAULT,
    excludes: Sequence[str] = (),
    one_file_system: bool | None = None,
    include_mounts: Sequence[bytes] = (),
    elsewhere: int | None = None,
    place: str | None = None,
    workers: int = 2,
) -> Iterator[Event]:
    """Register a directory as a source and scan it; one that is known is scanned again. Ends with a ScanSummary.

    `one_file_system` (None: as it was; a new source: no): nothing that is mounted inside is read, but for
    `include_mounts`, absolute paths. `place`: where it is kept; `elsewhere`: so many of the copies at another place.

    What its `.medback-source.xml` says is taken up: id, alias, wanted copies, excludes, targets. Raises Refused for a
    path that is missing, no directory, or overlaps a source or a target, and for what `update` refuses; UsageError for
    an alias, a number or a pattern that can't be one, or a mount that lies elsewhere.
    """
    _check(alias, copies, excludes, elsewhere)
    path = os.path.abspath(path)
    with disk.lock_session(os.fsencode(session.path)):
        said = Said(alias, copies, tuple(excludes), one_file_system, elsewhere, place, default_copies)
        source = yield from _registered(session, path, said)
        source = _with_mounts(session, source, include_mounts)
        run = start_run(session)
        walked = yield from walk_source(session, source, run, workers=workers)
        yield from before_settling(session, [walked])
        summary = yield from settle_source(session, walked, run)
        yield from flush_sources(session)
        yield summary


def _registered(session: Session, path: bytes, said: Said) -> Generator[Event, None, Source]:
    """The row of the source at a path, made where it is new."""
    real = _real_directory(path)
    for source in list_sources(session):
        if disk.is_same_directory(source.path, path):
            if os.path.realpath(source.path) != real:
                yield Warned("is-source", path=path, source=source.alias, where=source.path)
            return _changed(session, source, said)
    refuse_overlap(session, path)
    kind = disk.describe(path).kind
    if kind in PSEUDO:
        raise Refused("pseudo-file-system", path=path, kind=kind)
    metadata = metadata_at(path)
    if metadata is not None and metadata.id:
        known = source_by_id(session, metadata.id)
        if known is not None and _stands_at(known):
            yield Warned("copy-of-source", path=path, source=known.alias, where=known.path)
            metadata = replace(metadata, id="")
        elif known is not None:
            _refuse_alias(session, said.alias, but=known.key)
            yield Warned("source-moved", source=known.alias, old=known.path, path=path)
            save_source(session, replace(known, path=path))
            known = source_by_key(session, known.key)
            return _changed(session, known, said)
    if (metadata is None or not metadata.id) and (told := remembered_as(session, path)) is not None:
        yield Warned("source-remembered", path=path, source=told.alias)
        metadata = told if metadata is None else replace(told, targets=metadata.targets, siblings=metadata.siblings)
    _refuse_alias(session, said.alias)
    source = enter_source(session, path, said, metadata=metadata)
    if metadata is not None:
        take_up(session, source, metadata)
        for sibling in metadata.siblings:
            if source_by_id(session, sibling.id) is None and os.path.isdir(sibling.path):
                yield Warned("sibling", source=source.alias, sibling=sibling.alias or sibling.id, path=sibling.path)
    return source


def enter_source(
    session: Session, path: bytes, said: Said = _NOTHING, *, metadata: SourceMetadata | None = None
) -> Source:
    """The row of a new source: what is said, else what its metadata file says (without an id there: a fresh one), else
    where this machine is, if anybody ever named a place."""
    own = metadata is not None and metadata.id != ""
    was = Source(0, new_id(), default_alias(path), path, said.default_copies, one_file_system=False)
    if metadata is not None:
        was = replace(was, wanted=metadata.wanted, excludes=metadata.excludes, elsewhere=metadata.elsewhere)
    if metadata is not None and own:
        was = replace(
            was,
            id=metadata.id,
            alias=metadata.alias or was.alias,
            rev=max(metadata.rev, 1),
            one_file_system=metadata.one_file_system,
            place=metadata.place,
        )
    elif named_places(session):
        was = replace(was, place=spelled(session, machine_place(session)))
    row = _with(session, was, said)
    row = replace(row, alias=free_alias(session, row.alias), rev=was.rev + int(own and row != was))
    _check_numbers(row.wanted, row.elsewhere)
    source = insert_source(session, row)
    mark_metadata(session, None, dirty=True)  # the others learn of a new sibling
    return source


def default_alias(path: bytes) -> str:
    """What a source is called unless told otherwise: its base name, made harmless."""
    base = names.display_name(os.path.basename(path)).strip() or "root"
    while len(os.fsencode(base)) > _ALIAS_MAX:
        base = base[:-1]
    return "source" if is_metadata(names.from_text(base)) else base


def change_source(
    session: Session,
    alias: str,
    *,
    new_alias: str | None = None,
    path: bytes | None = None,
    copies: int | None = None,
    add_excludes: Sequence[str] = (),
    drop_excludes: Sequence[str] = (),
    one_file_system: bool | None = None,
    include_mounts: Sequence[bytes] = (),
    drop_mounts: Sequence[bytes] = (),
    elsewhere: int | None = None,
    place: str | None = None,
    below: bytes | None = None,
    drop_rules: Sequence[bytes] = (),
) -> Source:
    """Change what is set of a source; its files are looked at by the next update. Raises Refused (no such source, an
    alias that is taken, a path that is not this source), UsageError.

    Mounts are absolute paths. One that is included belongs to the source, whichever file system is there next; of one
    that is dropped only what lies there then is believed. With `below` (a path inside, relative to the source)
    `copies` and `elsewhere` are a rule for all files there; `drop_rules` are paths whose rule is dropped.
    """
    _check(new_alias, copies, add_excludes, elsewhere)
    with disk.lock_session(os.fsencode(session.path)):
        source = find_source(session, alias)
        if path is not None:
            path = os.path.abspath(path)
            _real_directory(path)
            refuse_overlap(session, path, but=source.key)
            metadata = metadata_at(path)
            if source.scanned_at is not None and (metadata is None or metadata.id != source.id):
                raise Refused("not-this-source", path=path, source=source.alias)
            save_source(session, replace(source, path=path))
            source = source_by_key(session, source.key)
        said = Said(new_alias, copies, tuple(add_excludes), one_file_system, elsewhere, place)
        if below is not None:
            said = replace(said, copies=None, elsewhere=None)
        source = _changed(session, source, said, drop_excludes=drop_excludes)
        _rule(session, source, below, copies, elsewhere, drop_rules)
        source = _with_mounts(session, source, include_mounts, drop_mounts)
        for _ in flush_sources(session):
            pass  # what can't be written now stays dirty, and the next operation says so
        return source


def forget_source(session: Session, alias: str) -> Source:
    """Forget a source; no file is touched, and no copy becomes disposable. Raises Refused (no such source)."""
    with disk.lock_session(os.fsencode(session.path)):
        source = find_source(session, alias)
        remove_source(session, source.key)
        for sibling in mounted_sources(session):
            # The others name it as a sibling, and would keep doing so: a source that is away must not be forgotten.
            with suppress(OSError), disk.Root(sibling.path) as root:
                write_metadata(session, root, sibling, forgotten=source.id)
        return source


def update(session: Session, aliases: Sequence[str] = (), **how: Unpack[ScanWishes]) -> Iterator[Event]:
    """Scan the named sources again, or all. Each source's ScanSummary comes as it is settled, a refused one gives a
    SourceRefused and the others go on; the last event is an UpdateSummary. Raises Refused for an unknown alias.

    All are walked before anything is believed gone from any: a file moved from one to the other keeps its copies.
    """
    with disk.lock_session(os.fsencode(session.path)):
        if not aliases:
            yield from take_up_left_out(session)
        sources = [find_source(session, alias) for alias in aliases] if aliases else list_sources(session)
        yield from update_sources(session, sources, **how)


def take_up_left_out(session: Session) -> Iterator[Event]:
    """Register the sources that were away when a lost session was rebuilt, where they are back. Call under the
    session's lock."""
    for path in left_out(session):
        metadata = metadata_at(path)
        if metadata is None:
            continue  # still away: every opening of the session says so
        if metadata.id and source_by_id(session, metadata.id) is not None:
            write_source_list(session, dropped=[path])  # it was taken up under another path
            continue
        try:
            source = yield from _registered(session, path, _NOTHING)
        except Refused as refusal:
            yield Warned("left-out", path=path, because=refusal)
            continue
        yield Warned("source-back", source=source.alias)


def forget_left_out(session: Session, path: bytes) -> bool:
    """Forget a source that was away when a lost session was rebuilt; False if there was none at this path."""
    with disk.lock_session(os.fsencode(session.path)):
        if path not in left_out(session):
            return False
        write_source_list(session, dropped=[path])
        return True


def update_sources(session: Session, sources: Sequence[Source], **how: Unpack[ScanWishes]) -> Iterator[Event]:
    """`update` for an operation that holds the session's lock (and none of a source's drive) already."""
    Patterns(how.get("accept", ()))
    run = start_run(session)
    walked: list[Walk] = []
    scans: list[ScanSummary] = []
    refused: list[str] = []
    for source in {source.key: source for source in sources}.values():
        try:
            walked.append((yield from walk_source(session, source, run, **how)))
        except Refused as refusal:
            refused.append(source.alias)
            yield SourceRefused(source.alias, refusal)
    yield from before_settling(session, walked)
    for one in walked:
        try:
            summary = yield from settle_source(session, one, run, how.get("answers", NO_ANSWERS))
            scans.append(summary)
            yield summary
        except Refused as refusal:
            refused.append(one.source.alias)
            yield SourceRefused(one.source.alias, refusal)
    yield from flush_sources(session)
    yield UpdateSummary(tuple(scans), tuple(refused))


# --- what is checked -----------------------------------------------------------------------------------------------


def _check(alias: str | None, copies: int | None, excludes: Collection[str], elsewhere: int | None = None) -> None:
    if alias is not None:
        reason = names.check_component(alias.encode("utf-8", "replace"))
        if reason is None and (names.display_name(alias) != alias or is_metadata(alias.encode("utf-8", "replace"))):
            reason = "it has characters that can't be shown, or begins like a name of medback's own files"
        if reason is None and len(alias.encode()) > _ALIAS_MAX:
            reason = f"it is longer than {_ALIAS_MAX} bytes"
        if reason is not None:
            raise UsageError("usage/alias", alias=alias, reason=reason)
    if copies is not None and not 1 <= copies <= WANTED_MAX:
        raise UsageError("usage/copies", most=WANTED_MAX)
    if elsewhere is not None and not 0 <= elsewhere <= WANTED_MAX:
        raise UsageError("usage/elsewhere", most=WANTED_MAX)
    Patterns(excludes)


def _check_numbers(copies: int, elsewhere: int) -> None:
    if elsewhere > copies:
        raise UsageError("usage/too-many-elsewhere", copies=copies, elsewhere=elsewhere)


def _real_directory(path: bytes) -> bytes:
    if not os.path.lexists(path):
        raise Refused("missing", path=path)
    if not os.path.isdir(path):
        raise Refused("not-a-directory", path=path)
    return os.path.realpath(path)


def refuse_overlap(session: Session, path: bytes, *, but: int | None = None) -> None:
    """Raise Refused when a directory lies in, around or at a source or a target, by whatever path."""
    for source in list_sources(session):
        way = disk.lies(path, source.path) if source.key != but else None
        if way is not None and way is not disk.Lies.SHARES:
            raise Refused(f"overlap/{way.value}-source", path=path, source=source.alias)
    for target in list_targets(session):
        if target.path is None or not os.path.lexists(target.path):
            continue
        way = disk.lies(path, target.path)
        if way is not None and way is not disk.Lies.SHARES:
            raise Refused(f"overlap/{way.value}-target", path=path, where=target.path, target=target.name)
    for here in names.and_above(os.path.realpath(path)):
        if os.path.lexists(os.path.join(here, TARGET_IDENTITY_NAME)):
            raise Refused("overlap/on-a-target", path=path, where=here)


def _stands_at(source: Source) -> bool:
    """Whether a source is still where it was."""
    metadata = metadata_at(source.path)
    return metadata is not None and metadata.id == source.id


def _refuse_alias(session: Session, alias: str | None, *, but: int | None = None) -> None:
    if alias is not None and free_alias(session, alias, but=but) != alias:
        raise Refused("alias-taken", alias=alias)


def _with(session: Session, source: Source, said: Said, drop_excludes: Sequence[str] = ()) -> Source:
    """The source as a person says it is."""
    one, kept = said.one_file_system, [pattern for pattern in source.excludes if pattern not in drop_excludes]
    return replace(
        source,
        alias=source.alias if said.alias is None else said.alias,
        wanted=source.wanted if said.copies is None else said.copies,
        excludes=tuple(dict.fromkeys((*kept, *said.excludes))),
        one_file_system=source.one_file_system if one is None else one,
        elsewhere=source.elsewhere if said.elsewhere is None else said.elsewhere,
        place=source.place if said.place is None else spelled(session, said.place),
    )


def _changed(session: Session, source: Source, said: Said, *, drop_excludes: Sequence[str] = ()) -> Source:
    """The source with these facts, saved with a higher `rev` if any of them is new."""
    _refuse_alias(session, said.alias, but=source.key)
    now = _with(session, source, said, drop_excludes)
    _check_numbers(now.wanted, now.elsewhere)
    here = machine_place(session)
    if now != source:
        save_source(session, replace(now, rev=source.rev + 1))
    if folded_place(machine_place(session)) == folded_place(HOME) != folded_place(here):
        # The sources are at several places now, which does not move the drives that were where this machine was.
        for target in list_targets(session):
            if target.place is None:
                save_target(session, replace(target, place=here, rev=target.rev + 1))
    if said.one_file_system and not source.one_file_system:
        save_nested(session, source.key, {})
    return source_by_key(session, source.key)


def _rule(
    session: Session,
    source: Source,
    below: bytes | None,
    copies: int | None,
    elsewhere: int | None,
    dropped: Sequence[bytes],
) -> None:
    """Make, change or drop what is wanted at and below directories of a source."""
    rules = {rule.path: rule for rule in list_rules(session, source.key)}
    news: list[Rule] = []
    for path in map(_relative, dropped):
        if path not in rules or rules[path].dropped:
            raise Refused("no-such-rule", path=path, source=source.alias)
        news.append(Rule(path, rev=rules[path].rev + 1))
    if below is not None:
        path = _relative(below)
        if not path:
            raise UsageError("usage/rule-for-directory")
        if directory_key(session, source.key, path) is None and not os.path.isdir(os.path.join(source.path, path)):
            raise Refused("no-such-path/directory-of-source", path=path, source=source.alias)
        was = rules.get(path, Rule(path, rev=0))
        rule = Rule(
            path,
            was.copies if copies is None else copies,
            was.elsewhere if elsewhere is None else elsewhere,
            was.rev + 1,
        )
        need = replace(wants_of(session, source), rules=_sorted(rules | {path: rule})).at(path)
        _check_numbers(need.copies, need.elsewhere)
        if replace(rule, rev=was.rev) != was:
            news.append(rule)
    if news:
        save_rules(session, source.key, news)


def _relative(path: bytes) -> bytes:
    """A path inside a source as the session knows it: no `./`, no `//`, none at an end. Raises UsageError."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts:
        raise UsageError("usage/not-relative", path=path)
    return b"/".join(parts)


def _sorted(rules: Mapping[bytes, Rule]) -> tuple[Rule, ...]:
    return tuple(rules[path] for path in sorted(rules))


def _with_mounts(
    session: Session, source: Source, included: Collection[bytes], dropped: Collection[bytes] = ()
) -> Source:
    """The source with what the person says of the file systems mounted inside it."""
    if not included and not dropped:
        return source
    mounts = nested_mounts(session, source.key)
    for path in dropped:
        if mounts.pop(_inside(source, path), None) is None:
            raise Refused("no-such-mount", path=path, source=source.alias)
    for path in included:
        mounts[_inside(source, path)] = ""
    save_nested(session, source.key, mounts)
    save_source(session, replace(source, rev=source.rev + 1))
    return source_by_key(session, source.key)


def _inside(source: Source, path: bytes) -> bytes:
    """A path relative to the source. It is not looked at: what is mounted there may never answer."""
    path = os.path.normpath(path)
    for top in (source.path, os.path.realpath(source.path)):
        if rel := names.below(path, top):
            return rel
    raise UsageError("usage/not-inside", path=path, source=source.path)
