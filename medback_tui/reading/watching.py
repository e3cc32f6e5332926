"""The part of the app that reads the session's facts again when something moved, and keeps an eye on the drives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from textual import work
from textual.worker import get_current_worker

from medback_core import model
from medback_core.errors import MedbackError
from medback_core.presenting.plugging import locked_words
from medback_core.presenting.telling import story_words
from medback_core.presenting.units import name, size
from medback_core.session import Session, open_session
from medback_core.session.source_list import listed_sources
from medback_core.session.store import session_gone
from medback_tui.reading.drives import Drives, DriveWatch
from medback_tui.reading.facts import Facts, TargetFacts, read_facts
from medback_tui.reading.state import READING_MIB, SharedApp
from medback_tui.screens.base import MainScreen

if TYPE_CHECKING:
    from medback_core.drives.story import Story

LOOK_EVERY = 2.0  # seconds between two looks at the drives and at the session DB


class WatchingApp(SharedApp):
    """Reads in threads; the screens in sight are told."""

    known_before: frozenset[str] = frozenset()  # the targets there were at the last change of the drives

    def _reader_opened(self, reader: Session) -> None:
        """A session DB was opened that was not there before."""
        before, self.reader = self.reader, reader
        if before is not None:
            self.aside(self, before.close, lambda _: None, exclusive=False)

    def _session_gone(self, listed: int) -> None:
        """The session DB that was open is not there any more: go on as with no session yet, and offer to build it
        again from the sources that a list beside it names, where there are any."""
        reader, self.reader = self.reader, None
        if reader is None:
            return
        self.aside(self, reader.close, lambda _: None, exclusive=False)
        self._facts_read(Facts())
        self.show_problem(session_gone(self.session_path))
        if listed:
            self.offer_rebuild("gone", listed)

    @work(thread=True, exclusive=True, exit_on_error=False, group="facts")
    def read_facts(self) -> None:
        worker, before = get_current_worker(), self.facts

        def read(session: Session) -> bool:
            for facts in read_facts(session, before):
                if worker.is_cancelled:
                    break
                self.call_later(self._facts_read, facts)
            return True

        try:
            # In a thread, since it is looked through: open a session DB that is new, or stands in the
            # place of another.
            if self.session_path.exists() and (self.reader is None or not self.reader.is_current):
                reader = open_session(self.session_path, create=False, cache_mib=READING_MIB)
                self.call_later(self._reader_opened, reader)
            found = self.in_session(read)
            if found is None and self.reader is not None:
                self.call_later(self._session_gone, len(listed_sources(self.session_path)))
            elif found is None:
                self.call_later(self._facts_read, Facts())
        except MedbackError as error:
            self.call_later(self.show_problem, error)

    def _facts_read(self, facts: Facts) -> None:
        self.facts = facts
        self.tell_screens()

    @work(thread=True, exit_on_error=False, group="drives")
    def watch_drives(self) -> None:
        """In a thread for as long as the app runs: look at the drives and at the session DB."""
        stop = get_current_worker().cancelled_event
        watch, seen, stamp = DriveWatch(), None, None
        while not stop.is_set():
            facts = self.facts
            drives = watch.look(row.target for row in facts.targets) if facts is not None else None
            if drives is not None:
                drives = replace(drives, offers=self._offers(watch.stories(drives)))
            if drives is not None and drives != seen:
                seen = drives
                self.call_later(self.drives_seen, drives)
            now = _stamp(self.session_path)
            if stamp is not None and now != stamp:
                self.call_later(self.read_facts)
            stamp = now
            end = monotonic() + LOOK_EVERY
            while monotonic() < end and not _names_others(self.facts, facts) and not stop.wait(0.1):
                pass  # a target that was not looked for yet is looked for at once

    def _offers(self, stories: list[Story]) -> tuple[Story, ...]:
        """In a thread: the part of these stories this session does not know and has not declined."""
        if not stories:
            return ()
        from medback_core.restoring.told import offers

        try:
            news = self.in_session(lambda session: offers(session, stories))
        except MedbackError:
            return ()
        return tuple(stories) if news is None else news

    def drives_seen(self, drives: Drives) -> None:
        """Drives came or went."""
        before, self.drives = self.drives, drives
        known, self.known_before = self.known_before, target_ids(self.facts)
        self.tell_screens()
        for one in drives.here.keys() - before.here.keys():
            row = self.facts.target(one) if self.facts else None
            if row is not None and one in known:  # not one that just became a target: a person knows it is here
                offer = self._offer(row)
                self.notify(f"{name(row.target.name)} is plugged in{offer}", timeout=6)
                self.log_line(model.now(), "info", row.target.name, f"plugged in at {name(drives.here[one])}")
        for one in drives.locked.keys() - before.locked.keys():
            row = self.facts.target(one) if self.facts else None
            if row is not None:
                words = locked_words(row.target.name, drives.locked[one])
                self.notify(words, timeout=8)
                self.log_line(model.now(), "info", row.target.name, words)
        told = {story.stamp for story in before.offers}
        new = [story for story in drives.offers if story.stamp not in told]
        for story in new:
            self.log_line(model.now(), "info", name(story.label), story_words(story.told))
        if new:
            several = f"{len(new)} drives that are here remember files this machine does not know."
            words = story_words(new[0].told) if len(new) == 1 else several
            way = f"{self.key_of('go.restore')}, then {self.key_of('restore.take')} brings"
            self.notify(f"{words} {way} {'it' if len(new) == 1 else 'them'} back", timeout=12)
        for one in before.here.keys() - drives.here.keys():
            row = self.facts.target(one) if self.facts else None
            if row is not None:
                self.log_line(model.now(), "info", row.target.name, f"gone from {name(before.here[one])}")

    def _offer(self, row: TargetFacts) -> str:
        """What a person may want of a drive that was just plugged in."""
        if row.target.id == self.next_drive:
            return (
                f"; the plan waits for it: {self.key_of('go.restore')}, then {self.key_of('restore.restore')} restores"
            )
        if self.facts is not None and self.facts.shares.unsafe.files and row.target.counts and row.room:
            keys = f"{self.key_of('go.targets')}, then {self.key_of('targets.back-up')}"
            return f"; {size(self.facts.shares.unsafe.bytes)} are not safe: {keys} backs up onto it"
        return ""

    def tell_screens(self) -> None:
        """Tell the screen in sight what is new; the others ask when they come back."""
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.told()


def _names_others(facts: Facts | None, before: Facts | None) -> bool:
    """Whether the facts name other targets than before, or are the first."""
    return (facts is None) != (before is None) or target_ids(facts) != target_ids(before)


def target_ids(facts: Facts | None) -> frozenset[str]:
    """The ids of all known targets."""
    return frozenset(row.target.id for row in facts.targets) if facts is not None else frozenset()


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes whenever the session DB is written to."""
    found: list[int] = []
    for suffix in ("", "-wal"):
        try:
            status = Path(f"{path}{suffix}").stat()
        except OSError:
            continue
        found += [status.st_mtime_ns, status.st_size]
    return tuple(found)
