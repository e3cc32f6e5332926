"""Taking up what plugged-in drives remember: into a copy of the session to look and plan; into the session itself when
a restore begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from medback_core import disk, names
from medback_core.contexts import kept as context_kept
from medback_core.contexts.load import expect_again, take_up_told
from medback_core.drives.drive import read_identity
from medback_core.drives.retelling import retold, words_on
from medback_core.drives.story import Story, readable_context, stories
from medback_core.errors import NeedsAnswer
from medback_core.model import Event, Source, Summary, Target, TargetState, Warned
from medback_core.restoring.destinations import Destination
from medback_core.session import Session
from medback_core.session.expected import expected_count, has_expected
from medback_core.session.sources import list_sources, source_by_id
from medback_core.session.states import SOURCE, heard_drives, is_heard, is_refused, known_state, note_heard, was_read
from medback_core.session.targets import list_targets, save_target, target_by_id
from medback_core.sidecar import Remembered


class Told(Summary):
    """What the drives tell that this session does not know: `taken` up into `session`, and what is only `offered`."""

    session: Session  # to look and plan with: the session itself or, where something was taken up, a copy of it
    taken: tuple[Story, ...] = ()
    offered: tuple[Story, ...] = ()


def listen(session: Session, stack: ExitStack, drives: Sequence[bytes] = ()) -> Iterator[Event]:
    """Hear what the drives that are plugged in remember and this session does not know; ends with Told.

    It is taken up where the session has no source of its own that was ever scanned here, and always from the drives
    named; from others it is offered, unless a person said no. The session itself is left as it is: what is taken up
    lies in a copy, which is gone when `stack` closes.
    """
    if not has_expected(session) and context_kept.waiting(session.path):
        with disk.lock_session(os.fsencode(session.path)):
            yield from expect_again(session)
    at_once = is_new_here(session)
    taken: list[Story] = []
    offered: list[Story] = []
    heard = stories(session, drives)
    for path in drives:
        if not any(disk.is_same_directory(story.path, path) for story in heard):
            yield Warned("tells-nothing", path=path)
    for story in heard:
        news = news_of(session, story)
        if not news.sections:
            continue
        if any(disk.is_same_directory(story.path, path) for path in drives):
            taken.append(news)
        elif not is_refused(session, drive_key(story), story.stamp):
            (taken if at_once else offered).append(news)
    if taken:
        where = stack.enter_context(disk.portable.scratch_directory())
        session = stack.enter_context(session.copied_to(where / "session.db"))
        yield from _all_of(session, taken, keep=False)
    for story in heard:
        note_known(session, story)
    yield Told(session, tuple(taken), tuple(offered))


def _all_of(session: Session, told: Iterable[Story], *, keep: bool) -> Iterator[Event]:
    """Take up what these drives remember, the oldest first; of each what is news then."""
    for story in sorted(told, key=lambda story: story.at or 0):
        news = news_of(session, story)
        if news.sections:
            yield from take_up_story(session, news, keep=keep)


def note_known(session: Session, story: Story) -> None:
    """Note that a drive was heard, where it tells nothing new of sources that are being restored."""
    sources = [source_by_id(session, told.source) for told in story.sections]
    restored = [source is not None and source.scanned_at is None for source in sources]
    news = [known and _is_news(session, told) for known, told in zip(restored, story.sections, strict=True)]
    if any(restored) and not any(news) and not is_heard(session, drive_key(story), story.stamp):
        note_heard(session, drive_key(story), story.stamp, taken=True)


def hear_others(session: Session, drive: bytes, *, keep: bool) -> Iterator[Event]:
    """Take up what the other drives that are plugged in know newer of the sources being restored."""
    if all(source.scanned_at is not None for source in list_sources(session)):
        return
    others = [story for story in stories(session, [drive]) if not disk.is_same_directory(story.path, drive)]
    ours = {source.id for source in list_sources(session)}
    yield from _all_of(session, [s.only(told for told in s.sections if told.source in ours) for s in others], keep=keep)
    for story in others:
        note_known(session, story)


def offers(session: Session, heard: Iterable[Story]) -> tuple[Story, ...]:
    """What of these stories this session does not know and has not declined."""
    news = [news_of(session, story) for story in heard if not is_refused(session, drive_key(story), story.stamp)]
    return tuple(story for story in news if story.sections)


def is_new_here(session: Session) -> bool:
    """Whether no source was ever scanned in this session: a new machine, say."""
    return all(source.scanned_at is None for source in list_sources(session))


def drive_key(story: Story) -> str:
    """By what a drive is remembered in the session."""
    return story.id or names.text(os.path.realpath(story.path))


def news_of(session: Session, story: Story) -> Story:
    """The part of a story this session does not know, or knows an older word of."""
    return story.only(told for told in story.sections if _is_news(session, told))


def _is_news(session: Session, told: Remembered) -> bool:
    source = source_by_id(session, told.source)
    if source is None:
        return True
    if source.scanned_at is not None:
        return False  # what was scanned here outranks every word on it
    mine = known_state(session, SOURCE, source.id)
    if mine is not None and told.stamp:
        return not was_read(session, told.stamp)
    return source.told_at is not None and (told.at or 0) > source.told_at


def take_up_story(
    session: Session, news: Story, *, keep: bool, check: Callable[[], None] | None = None
) -> Generator[Event, None, None]:
    """Take up these sections of a drive's context, or, where it has none that can be read, what its sidecars tell; with
    `keep` for good: the context is kept beside the session DB, and the drive's word is no longer an offer. `check` is
    called when all is known and nothing is changed yet: what it raises ends it. Raises Refused, DriveGone."""
    told = {section.source: section.at for section in news.sections}
    with disk.Root(news.path) as root, ExitStack() as stack:
        name = readable_context(root)
        if name is not None:
            path = os.path.join(news.path, name)
        else:
            identity = read_identity(root)
            if identity is None:
                return  # it went away just now
            scratch = stack.enter_context(disk.portable.scratch_directory())
            path, _ = yield from retold(root, identity, told, scratch)
            yield words_on(news.label)
        yield from take_up_told(session, path, told, teller=news.label, keep=keep, check=check)
    note_heard(session, drive_key(news), news.stamp, taken=True)
    for holder in news.holders:
        known = target_by_id(session, holder.id)
        if known is not None and (holder.at or 0) > (known.seen_at or 0):
            save_target(session, replace(known, seen_at=holder.at))
    yield news.told


def refuse(session: Session, told: Iterable[Story] | None = None) -> None:
    """A person does not want what these drives (by default all that are plugged in) remember and this session does not
    know: it is offered again only when they remember something else."""
    for story in stories(session) if told is None else told:
        if news_of(session, story).sections:
            note_heard(session, drive_key(story), story.stamp, taken=False)


def not_asked_for(news: Story) -> Warned:
    """What a drive tells beside what a restore was asked for, and how to ask for it."""
    sources = tuple(told.alias or told.source for told in news.sections)
    return Warned("also-remembers", drive=news.label, files=news.count.files, sources=sources)


def ask_in_place(session: Session, places: Iterable[Destination], drive: bytes) -> None:
    """Raise the question whether sources that were never on this machine may go to their original places."""
    asked = [place.source for place in places if not place.source.in_place]
    if not asked:
        return
    files = sum(expected_count(session, source.key).files for source in asked)
    raise NeedsAnswer(
        "in-place", drive=drive, sources=len(asked), files=files, paths=tuple(source.path for source in asked)
    )


def known_as_of(sources: Iterable[Source]) -> int | None:
    """The date of what is known of these sources: the oldest scan, or the newest word of a drive on those no scan has
    seen here. None where nothing is known, or its date is not."""
    sources = list(sources)
    scanned = [source.scanned_at for source in sources if source.scanned_at is not None]
    told = [source.told_at for source in sources if source.scanned_at is None and source.told_at is not None]
    return min([*scanned, *([max(told)] if told else [])], default=None)


def unheard(session: Session, sources: Iterable[Source]) -> tuple[Target, ...]:
    """The drives that were not plugged in since what other drives told of these sources is being restored: they may
    know something newer. None where all was scanned here."""
    if all(source.scanned_at is not None for source in sources):
        return ()
    heard = heard_drives(session)
    return tuple(t for t in list_targets(session) if t.id not in heard and t.state is not TargetState.LOST)
