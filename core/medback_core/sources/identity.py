"""`.medback-source.xml` of a source: is it there, whose is it, what does it know, and writing it again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from medback_core import disk, model
from medback_core.model import SIDECAR_NAME, SOURCE_METADATA_NAME, DamageFound, Event, Reason, Source, Target, Warned
from medback_core.session import Session
from medback_core.session.files import SidecarStat, join, some_sidecars
from medback_core.session.gaps import learn_gaps, list_gaps, nested_mounts, save_nested
from medback_core.session.history import learn_history, list_history
from medback_core.session.needs import learn_rules, list_rules
from medback_core.session.scanning import has_files
from medback_core.session.sources import (
    free_alias,
    had_metadata,
    list_sources,
    mark_metadata,
    note_metadata,
    save_source,
    source_by_key,
)
from medback_core.session.states import (
    SOURCE,
    TARGET,
    AsOf,
    absorb,
    current_state,
    note_number,
    note_there,
    told_of,
    was_read,
)
from medback_core.session.targets import list_targets, merge_fact
from medback_core.sidecar.history import merged_history
from medback_core.sidecar.metadata import METADATA_LIMIT
from medback_core.sidecar.records import NOTHING
from medback_core.sidecar.source_metadata import (
    GapFact,
    MountFact,
    RuleFact,
    Sibling,
    SourceMetadata,
    TargetFact,
    parse_source_metadata,
    render_source_metadata,
)
from medback_core.sidecar.wholeness import is_whole

_ENOUGH = 100  # sidecars to look at
UNREADABLE = SourceMetadata(id="", alias="", damage=("it cannot be read",))


def read_metadata(root: disk.Root) -> SourceMetadata | None:
    """What the directory says it is; None when it says nothing. The id is "" where it says so unreadably."""
    try:
        return parse_source_metadata(disk.read_own(root, SOURCE_METADATA_NAME, METADATA_LIMIT, is_whole))
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE


def metadata_at(path: bytes) -> SourceMetadata | None:
    """Like `read_metadata`, by path; None also when the directory can't be opened."""
    try:
        with disk.Root(path) as root:
            return read_metadata(root)
    except OSError:
        return None


def was_scanned(session: Session, source: Source) -> bool:
    """Whether this DB knows anything of the source's content."""
    return source.scanned_at is not None or has_files(session, source.key)


def stands(session: Session, source: Source, root: disk.Root, metadata: SourceMetadata | None) -> bool:
    """Whether what is open is this source and not, say, the empty mount point of its drive.

    Its metadata file says so; one that was never scanned has none yet, and one that can't be written never gets one.
    """
    if metadata is not None:
        return metadata.id in ("", source.id)
    return not was_scanned(session, source) or (may_lack_metadata(session, source) and not is_empty(root))


def may_lack_metadata(session: Session, source: Source) -> bool:
    """Whether a missing metadata file says nothing: it was never there (writing it failed), or can't be written."""
    return not had_metadata(session, source.key) or not os.access(source.path, os.W_OK)


def is_empty(root: disk.Root) -> bool:
    """Whether there is nothing at all in it. Raises OSError."""
    return next(root.scan(b""), None) is None


def has_its_sidecars(session: Session, source: Source, root: disk.Root) -> bool:
    """Whether most of the sidecars this session knows of a source (some of them, where there are many) are the very
    files it last read or wrote, by inode, size and times: no copy of the source has those, and no other directory."""
    known = some_sidecars(session, source.key, _ENOUGH)
    there = 0
    for path, sidecar in known:
        try:
            status = root.stat(join(path, SIDECAR_NAME))
        except OSError:
            continue
        there += status is not None and SidecarStat.of(status) == sidecar
    return 2 * there > len(known)


def take_up(session: Session, source: Source, metadata: SourceMetadata) -> Source:
    """Learn what the file knows: targets by their `rev`, and the source's own facts where its `rev` is higher. Numbers
    that were given to states are never given again."""
    with session.transaction():
        note_metadata(session, source.key)
        if metadata.now is not None and metadata.id == source.id:
            note_number(session, SOURCE, source.id, metadata.now.n)
        for fact in metadata.targets:
            if fact.n:
                note_number(session, TARGET, fact.id, fact.n)
            known = {"path": fact.path, "fs_uuid": fact.fs_uuid, "disk": fact.disk, "place": fact.place}
            merge_fact(session, Target(0, fact.id, fact.label, fact.state, True, fact.rev, fact.capacity, **known))
        learn_history(session, (one.entry for one in metadata.history if one.entry.source in ("", source.id)))
        if metadata.id == source.id:
            mounts = nested_mounts(session, source.key)
            told = {mount.path: mount.fs_uuid for mount in metadata.mounts}
            if metadata.rev > source.rev:
                mounts = told
                source = replace(
                    source,
                    alias=free_alias(session, metadata.alias or source.alias, but=source.key),
                    wanted=metadata.wanted,
                    elsewhere=metadata.elsewhere,
                    place=metadata.place,
                    excludes=metadata.excludes,
                    rev=metadata.rev,
                    one_file_system=metadata.one_file_system,
                )
                save_source(session, source)
            elif metadata.rev == source.rev:
                mounts = told | mounts
            save_nested(session, source.key, mounts)
            learn_rules(session, source.key, (told.rule for told in metadata.rules))
            gaps = ((gap.path, gap.reason, gap.since) for gap in metadata.gaps)
            learn_gaps(session, source.key, gaps, source.scanned_at)
    return source_by_key(session, source.key)


def is_told(session: Session, source: Source, metadata: SourceMetadata | None) -> bool:
    """Whether this session has read all that the file's states stand for: the sidecars of this source were not written
    by another session since its last scan of it. What it has not read it must not replace."""
    if metadata is None or metadata.id != source.id:
        return True
    if metadata.now is not None and not was_read(session, metadata.now.stamp):
        return False
    mine = told_of(session, source.id)
    for fact in metadata.targets:
        known = mine.get(fact.id, AsOf())
        if fact.n > known.n or (fact.n == known.n and fact.stamp != known.stamp):
            return False
    return True


def write_metadata(
    session: Session,
    root: disk.Root,
    source: Source,
    *,
    forgotten: str | None = None,
    copies: bool = False,
    begins: bool = False,
) -> None:
    """Write the file if it says something else; what a later version put there is kept, and so are siblings this
    session does not know (but for the one just `forgotten`). Raises OSError.

    The state of the tree is written where this session has read what is there, or `begins` to change it in a scan that
    reads it. `copies`: and so is the state of each
    target, because all sidecars say what this session knows of the copies. Else that stays as it is: it must not be
    newer than any sidecar.
    """
    old = read_metadata(root)
    now = old.now if old is not None and old.id == source.id else None
    if was_scanned(session, source) and (begins or is_told(session, source, old)):
        if begins and now is not None and not was_read(session, now.stamp):
            absorb(session, source.id, now)  # a scan that is killed leaves this file as the only one to say so
        now = current_state(session, source.id)
        mine = told_of(session, source.id, only_told=True) if copies else {}
    else:
        mine = {}
    as_of = {fact.id: AsOf(fact.n, fact.stamp) for fact in old.targets} if old is not None else {}
    as_of.update({target: state for target, state in mine.items() if state.n})
    if old is not None and old.id == source.id:
        source = take_up(session, source, old)
    facts = {fact.id: fact.extra for fact in old.targets} if old is not None else {}
    extras = {sibling.id: sibling.extra for sibling in old.siblings} if old is not None else {}
    targets = tuple(
        TargetFact(
            *(t.id, t.label, t.state, t.capacity, t.rev, t.fs_uuid, facts.get(t.id, NOTHING), t.path),
            *as_of.get(t.id, AsOf()),
            disk=t.disk,
            place=t.place,
        )
        for t in list_targets(session)
    )
    siblings = tuple(
        Sibling(s.id, s.alias, s.path, *((extras[s.id],) if s.id in extras else ()))
        for s in list_sources(session)
        if s.key != source.key
    )
    kept = old if old is not None else UNREADABLE
    named = {sibling.id for sibling in siblings} | {source.id, forgotten}
    siblings += tuple(sibling for sibling in kept.siblings if sibling.id not in named)
    mounts = {mount.path: mount.extra for mount in kept.mounts}
    rules = {told.rule.path: told.extra for told in kept.rules}
    metadata = SourceMetadata(
        source.id,
        source.alias,
        source.wanted,
        source.excludes,
        source.rev,
        targets,
        siblings,
        kept.extra,
        kept.source_extra,
        now=now,
        state_extra=kept.state_extra,
        one_file_system=source.one_file_system,
        mounts=tuple(
            MountFact(path, uuid, mounts.get(path, NOTHING))
            for path, uuid in nested_mounts(session, source.key).items()
        ),
        gaps=tuple(GapFact(gap.path, gap.reason, gap.since) for gap in list_gaps(session, source.key)),
        elsewhere=source.elsewhere,
        place=source.place,
        rules=tuple(RuleFact(rule, rules.get(rule.path, NOTHING)) for rule in list_rules(session, source.key)),
        history=kept.history,
    )
    ours = [entry for entry in list_history(session) if entry.source in ("", source.id)]
    told = {one.entry for one in kept.history}
    if any(entry not in told and not entry.passing for entry in ours) or old is None or _differs(metadata, old):
        metadata = replace(metadata, history=merged_history(kept.history, ours))
    disk.write_whole(root, SOURCE_METADATA_NAME, render_source_metadata(metadata))
    mark_metadata(session, source.key, dirty=False)
    if now is not None:
        note_there(session, source.id, now.stamp)


def _differs(metadata: SourceMetadata, old: SourceMetadata) -> bool:
    return render_source_metadata(metadata) != render_source_metadata(old)


def damaged_name(root: disk.Root, rel: bytes) -> bytes:
    """A free path beside a damaged file of ours to keep it under. Raises OSError."""
    return disk.free_name(disk.numbered(rel + b".damaged-" + model.date_stamp(model.now()).encode()), root.stat)


def keep_damaged(root: disk.Root, rel: bytes, data: bytes) -> bytes:
    """Keep a damaged file of ours aside, beside it, before it is written again; returns where. Raises OSError."""
    aside = damaged_name(root, rel)
    disk.write_whole(root, aside, data)
    return aside


def heal_metadata(
    session: Session, root: disk.Root, source: Source, metadata: SourceMetadata, *, write: bool
) -> Iterator[Event]:
    """Say that a metadata file is damaged, as damage where this DB knew nothing of the source before. With `write` it
    is kept aside, and written again from the undamaged parts of it and the DB."""
    if not metadata.damage:
        return
    what = "; ".join(metadata.damage)
    ending, facts = "", {}
    if write:
        try:
            aside = keep_damaged(root, SOURCE_METADATA_NAME, root.read_whole(SOURCE_METADATA_NAME, METADATA_LIMIT))
            ending, facts = "/kept", {"aside": aside}
            mark_metadata(session, source.key, dirty=True)
        except OSError as error:
            ending, facts = "/not-kept", {"error": error.strerror}
    if was_scanned(session, source):
        yield Warned(f"metadata-was-damaged{ending}", source=source.alias, damage=what, **facts)
        return
    yield DamageFound(
        os.path.join(source.path, SOURCE_METADATA_NAME),
        Reason(f"metadata-bad{ending}", source=source.alias, damage=what, copies=source.wanted, **facts),
    )
