"""Bring back from one target what is missing at its destination; nothing there is lost, the target is only read."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from medback_core import disk, names
from medback_core.contexts import kept as context_kept
from medback_core.contexts.load import expect_again, finish_expected
from medback_core.drives.aside import is_beside
from medback_core.drives.open import Drive, open_drive, resolve_target
from medback_core.drives.story import story_at
from medback_core.errors import Refused, UsageError
from medback_core.hashing import hash_file
from medback_core.model import (
    NO_ANSWERS,
    Answers,
    Conflict,
    Count,
    DeletedSince,
    Event,
    FileDone,
    NextTarget,
    Progress,
    Reason,
    RestoreSummary,
    Skipped,
    SourceRefused,
    Target,
    Warned,
)
from medback_core.restoring.copy_back import CopyBack
from medback_core.restoring.destinations import (
    Destination,
    DestinationState,
    LookedAt,
    destinations,
    look,
    make_root,
    open_destination,
    scope,
)
from medback_core.restoring.directories import finish_directories, note_missing
from medback_core.restoring.plan import next_target, refuse_unknown
from medback_core.restoring.record import note_directory
from medback_core.restoring.search import Finding
from medback_core.restoring.symlinks import restore_links
from medback_core.restoring.told import (
    ask_in_place,
    hear_others,
    is_new_here,
    known_as_of,
    news_of,
    not_asked_for,
    note_known,
    take_up_story,
    unheard,
)
from medback_core.session import Session
from medback_core.session.digests import twins_in
from medback_core.session.directories import take_over_facts
from medback_core.session.expected import Expected, end_expected, is_placed, mark_placed, wanted_files
from medback_core.session.files import find_file, join, record_files
from medback_core.session.gone import gone_as_of, list_gone, told_gone
from medback_core.session.missing_files import (
    DIFFERS,
    GIVES_WAY,
    NOTHING_THERE,
    begin_missing,
    drop_location,
    expect_missing,
    give_up_below,
    give_up_source,
    has_unlocated,
    located_count,
    mark_missing,
    match_copies,
    missing_by_placement,
    missing_count,
    missing_page,
    put_missing,
)
from medback_core.session.sources import list_sources, save_source
from medback_core.session.targets import list_targets
from medback_core.session.values import signed
from medback_core.sidecar import is_whole
from medback_core.sources.identity import read_metadata, write_metadata
from medback_core.sources.nested import away_from
from medback_core.sources.sidecars import flush_sources

CONFLICTS = ("skip", "rename", "overwrite")
_PAGE = 500
_BATCH = 1000


def restore(
    session: Session,
    target_word_or_path: str,
    *,
    source: str | None = None,
    path: bytes | None = None,
    deleted: bool = False,
    at: int | None = None,
    to: bytes | None = None,
    conflict: str = "skip",
    dry_run: bool = False,
    answers: Answers = NO_ANSWERS,
) -> Iterator[Event]:
    """Copy back from a target what is missing; ends with a RestoreSummary.

    What the drive remembers and this session does not know is taken up first: of all sources where none was ever
    scanned here or `to` is given, else of `source` alone. For such a source, that it may go to its own place is a
    question that `answers` answer.

    `source` is an alias, `path` relative to the source(s), `to` a directory in which each source gets a folder instead
    of its own place, `deleted` asks for what is gone from the sources instead of what should be there (and with `path`
    naming a file, for its latest older version), `at` with it for what the source had at that date: of each path the
    version that went first after it, unless it was written later. A file that differs from what is restored is left
    alone (`skip`), or what is restored gets another name (`rename`), or what is there is moved aside first
    (`overwrite`). The target is never written to. Raises Refused, NeedsAnswer, DriveGone (what was restored is kept).
    """
    if at is not None and not deleted:
        raise UsageError("usage/at")
    if conflict not in CONFLICTS:
        raise UsageError("usage/conflict", known=CONFLICTS)
    only = scope(path)
    with disk.lock_session(os.fsencode(session.path)):
        if not dry_run:
            yield from expect_again(session)
        _, where = resolve_target(session, target_word_or_path)
        if where is None:
            raise Refused("not-plugged-in", target=target_word_or_path)
        with ExitStack() as stack:
            session = yield from _told(session, stack, where, source, to, dry_run=dry_run, answers=answers)
            drive = stack.enter_context(open_drive(session, where, write=False, as_it_is=True))
            yield from drive.notes
            places = destinations(session, source=source, to=to)
            refuse_unknown(session, places, only, deleted=deleted)
            run = _Run(session, drive, conflict, deleted, dry_run, at)
            run.alone = len(places) == 1
            for destination in places:
                yield from run.add(destination, stack)
            for destination in run.destinations.values():
                yield from run.look(destination, only)
            if not dry_run:
                for destination in run.destinations.values():
                    note_missing(session, destination, run.roots.get(destination.directory), only)
            if expects := not dry_run and not deleted and to is None:
                expect_missing(session, differing=conflict == "overwrite")
            try:
                yield from run.bring_back(stack)
            finally:
                run.copying.close()  # while the roots made on the way are open
            if not deleted:
                yield from run.links(only)
            if not deleted:
                yield from run.deleted_since(only)
            run.finish()
            if not dry_run:
                for destination in run.destinations.values():
                    if destination.own:
                        take_over_facts(session, destination.source.key)
            if expects:
                run.end_expected(only, whole=source is None and only is None)
        if not dry_run:  # the sources' own locks are free again
            yield from flush_sources(session)
            yield from finish_directories(session, run.destinations.values(), whole=not run.missing.files)
        yield run.summary()


def _told(
    session: Session,
    stack: ExitStack,
    drive: bytes,
    source: str | None,
    to: bytes | None,
    *,
    dry_run: bool,
    answers: Answers,
) -> Generator[Event, None, Session]:
    """Take up what the drive remembers and the session does not know; returns the session to go on with: in a dry run
    a copy. Raises NeedsAnswer."""
    story = story_at(drive)
    news = news_of(session, story) if story is not None else None
    if news is not None and source is not None:
        known = {name: one.id for one in list_sources(session) for name in (one.alias, one.id)}
        wanted = known.get(names.utf8(source))
        news = news.only(
            t for t in news.sections if wanted == t.source or (not wanted and source in (t.alias, t.source))
        )
    elif news is not None and to is None and not is_new_here(session):
        yield from (not_asked_for(news) for _ in news.sections[:1])
        news = None
    if news is not None and news.sections and dry_run:
        scratch = stack.enter_context(disk.portable.scratch_directory())
        session = stack.enter_context(session.copied_to(scratch / "session.db"))

    def check() -> None:
        places = destinations(session, source=source, to=to) if to is None and not dry_run else []
        if answers.in_place:
            for place in places:
                save_source(session, replace(place.source, in_place=True))
        else:
            ask_in_place(session, places, drive)

    if news is not None and news.sections:
        yield from take_up_story(session, news, keep=not dry_run, check=check)
    else:
        check()
        if story is not None:
            note_known(session, story)
    yield from hear_others(session, drive, keep=not dry_run)
    return session


class _Run:
    """One restore under way."""

    def __init__(
        self, session: Session, drive: Drive, conflict: str, deleted: bool, dry_run: bool, at: int | None = None
    ) -> None:
        self.session = session
        self.drive = drive
        self.conflict = conflict
        self.deleted = deleted
        self.at = at
        self.dry_run = dry_run
        self.destinations: dict[int, Destination] = {}
        self.roots: dict[bytes, disk.Root] = {}
        self.already_right = self.conflicts = self.links_made = 0
        self.would = self.twins = Count()  # twins that are missing
        self.next: NextTarget | None = None
        self.missing = Count()
        self.as_of: int | None = None
        self.unheard: tuple[Target, ...] = ()
        self.alone = False  # only one source is restored
        self.left_out: set[int] = set()  # sources whose place can't be used
        self._beside: tuple[bytes, list[bytes]] | None = None
        self.target = drive.target.key if drive.identity.id and not drive.doubtful and not dry_run else None
        self.copying = CopyBack(session, drive, self.target, self.destinations, self.roots, conflict, deleted=deleted)
        begin_missing(session)

    # --- where to --------------------------------------------------------------------------------------------------

    def add(self, destination: Destination, stack: ExitStack) -> Iterator[Event]:
        """Take a source's destination into this restore, if it may be written to."""
        reason = self._unfit(destination)
        if reason is not None:
            yield SourceRefused(destination.source.alias, reason)
            return
        if disk.lies(destination.directory, self.drive.root.path) is not None:
            raise Refused("overlap/restore-on-target", path=destination.directory, target=self.drive.root.path)
        root = self.roots.get(destination.directory)
        if root is None:
            try:
                root = open_destination(destination.directory)
            except Refused as refusal:
                yield self._left_out(destination, refusal)
            if root is not None:
                stack.enter_context(root)
                stack.enter_context(disk.lock_drive(root))
                self.roots[destination.directory] = root
        if destination.own and root is not None:
            metadata = read_metadata(root)
            if metadata is not None and metadata.id not in ("", destination.source.id):
                yield SourceRefused(
                    destination.source.alias,
                    Refused("another-source", path=destination.directory, source=metadata.alias),
                )
                return
            if destination.source.device not in (None, signed(root.device), root.device):
                yield Warned("other-disk", path=destination.directory, source=destination.source.alias)
        self.destinations[destination.source.key] = destination

    def _left_out(self, destination: Destination, refusal: Refused) -> SourceRefused:
        """Go on without a source whose place can't be used; raises the refusal where there is no other source."""
        if not destination.own or self.alone:
            raise refusal
        self.left_out.add(destination.source.key)
        return SourceRefused(destination.source.alias, refusal)

    def _unfit(self, destination: Destination) -> Refused | None:
        """Why a source that drives told of can't go to the path it had there; None where it can."""
        if not destination.own or destination.source.scanned_at is not None:
            return None
        if not os.path.isabs(destination.directory):
            return Refused("overlap/not-on-this-machine", path=destination.directory)
        for other in list_sources(self.session):
            if other.key != destination.source.key and disk.lies(other.path, destination.directory) is not None:
                return Refused("overlap/restore-on-source", path=destination.directory, other=other.path)
        return None

    # --- what is lacking -------------------------------------------------------------------------------------------

    def look(self, destination: Destination, only: bytes | None) -> Iterator[Event]:
        """Look at every destination of a source: right, lacking, or in conflict."""
        root = self.roots.get(destination.directory)
        missing: list[tuple[int, int, bytes, int, int, int]] = []
        right: list[LookedAt] = []
        with self.session.again() as reader:
            files = self._asked(reader, destination, only)
            for found in look(self.session, destination, root, files, remember=not self.dry_run):
                if isinstance(found, Progress):
                    yield found
                    continue
                row = found.wanted
                assert row.identity is not None
                if found.state is DestinationState.PRESENT:
                    self.already_right += 1
                    right.append(found)
                    continue
                differs = NOTHING_THERE if found.state is DestinationState.MISSING else DIFFERS
                if found.state is DestinationState.OUTDATED and not self.deleted:
                    differs = GIVES_WAY
                if differs != DIFFERS or (yield from self._conflict(destination, found)):
                    missing.append((row.identity, row.source, row.path, row.mtime_ns, row.mode, differs))
                if len(missing) >= _BATCH:
                    self._clean(destination, missing)
                    put_missing(self.session, missing)
                    missing.clear()
                if len(right) >= _BATCH:
                    self._note_right(destination, right)
                    right.clear()
        self._clean(destination, missing)
        put_missing(self.session, missing)
        self._note_right(destination, right)
        if not self.deleted:
            # No drive can hold a twin beside its opposite: one that is not where it was can't be
            # restored.
            for path, size, reason in twins_in(self.session, destination.source.key, only):
                status = None
                if root is not None:
                    with suppress(OSError):
                        status = root.stat(destination.rel(path))
                if status is None:
                    self.twins += Count(1, size)
                    yield Skipped(destination.absolute(path), Reason("twin-not-restored", because=reason))
        if destination.source.key in self.left_out:
            give_up_source(self.session, destination.source.key)
        for place in away_from(self.session, destination.source, root) if destination.own else ():
            if count := give_up_below(self.session, destination.source.key, place):
                where = destination.absolute(place)
                yield Skipped(where, Reason("mount-away", files=count, source=destination.source.alias, path=where))

    def _clean(self, destination: Destination, missing: Sequence[tuple[int, int, bytes, int, int, int]]) -> None:
        """Take away what a restore that was killed left where files are lacking: elsewhere than in a source,
        nothing else does."""
        root = self.roots.get(destination.directory)
        if root is None or self.dry_run:
            return
        for directory in {os.path.dirname(destination.rel(row[2])) for row in missing}:
            with suppress(OSError):  # not there yet, or it will be told when the files are put there
                disk.clean_temporaries(root, directory, [name for name, _ in root.scan(directory)], is_whole)

    def _asked(self, reader: Session, destination: Destination, only: bytes | None) -> Iterator[Expected]:
        if not self.deleted:
            yield from wanted_files(reader, destination.source.key, only)
            return
        if self.at is not None:
            for gone in gone_as_of(reader, destination.source.key, only, self.at):
                yield Expected(gone.source, gone.path, gone.identity, gone.content, gone.mtime_ns, gone.mode)
            return
        last: bytes | None = None
        for gone in list_gone(reader, destination.source.key, only):
            older = gone.path != only and find_file(reader, gone.source, gone.path) is not None
            if gone.path != last and not older:  # of several versions the latest; an older one only if it is named
                last = gone.path
                yield Expected(gone.source, gone.path, gone.identity, gone.content, gone.mtime_ns, gone.mode)

    def _note_right(self, destination: Destination, right: list[LookedAt]) -> None:
        """A file that was read and found right where its source has it needs no reading by the next scan either."""
        if not destination.own or self.dry_run or not right:
            return
        with self.session.transaction():
            for found in right:
                row, status = found.wanted, found.status
                assert status is not None and row.identity is not None
                if row.inode == signed(status.st_ino) and row.ctime_ns == status.st_ctime_ns and not row.trouble:
                    continue
                directory, name = os.path.split(row.path)
                key = note_directory(self.session, row.source, directory)
                record_files(self.session, [(key, name, row.identity, status)])

    def _conflict(self, destination: Destination, found: LookedAt) -> Generator[Event, None, bool]:
        """What to do where something else stands; returns whether the file is to be restored all the same."""
        row, status = found.wanted, found.status
        assert row.content is not None
        if self.conflict == "overwrite":
            return True
        # No name of its own helps a file whose directory can't be there.
        blocked = found.reason is not None and found.reason.what == "no-directory-there"
        if self.conflict == "rename" and not blocked:
            if self._is_beside(destination, row):
                self.already_right += 1
                return False
            return True
        self.conflicts += 1
        yield Conflict(
            destination.absolute(row.path),
            found.reason or Reason("another-file-there"),
            row.content,
            row.mtime_ns,
            status.st_size if status is not None else 0,
            status.st_mtime_ns if status is not None else 0,
            found.there.md5 if found.there is not None else None,
        )
        return False

    def _is_beside(self, destination: Destination, row: Expected) -> bool:
        """Whether an earlier restore put this content there under a name of its own."""
        root = self.roots[destination.directory]
        assert row.content is not None and row.identity is not None
        directory, name = root.split(destination.rel(row.path))
        if self._beside is None or self._beside[0] != directory:
            try:
                self._beside = directory, [name for name, _ in root.scan(directory) if b" (medback " in name]
            except OSError:
                self._beside = directory, []
        for candidate in self._beside[1]:
            if not is_beside(candidate, name, b"medback 00000000-000000"):
                continue
            path = join(directory, candidate)
            try:
                status = root.stat(path)
                if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != row.content.size:
                    continue
                where = os.path.join(root.path, path)
                if is_placed(self.session, where, row.identity, status):
                    return True
                with root.directory(directory) as handle:
                    hashed = hash_file((handle, candidate))
            except OSError:
                continue  # unreadable: then it is not known to be there
            if hashed.identity == row.content:
                if not self.dry_run:
                    mark_placed(self.session, [(where, row.identity, hashed.status)])
                return True
        return False

    # --- bringing it back ------------------------------------------------------------------------------------------

    def bring_back(self, stack: ExitStack) -> Iterator[Event]:
        """Restore from where the session knows it, then from where the drive says, then from what fits in size."""
        if not self.dry_run:
            yield from self._prepare(stack)
        known = self.drive.target.key if self.drive.identity.id else None
        finding = Finding(self.session, self.drive, self.target)
        if known is not None:
            match_copies(self.session, known)
        yield from self._pass()
        if has_unlocated(self.session):
            yield from finding.walk()
            yield from self._pass()
        if has_unlocated(self.session):
            yield from finding.read(guess=not self.dry_run)
            yield from self._pass()
            finding.unread = finding.unread or self.copying.unread
            finding.conclude()

    def _prepare(self, stack: ExitStack) -> Iterator[Event]:
        """Make the directories sources lie in, and what says that they are these sources."""
        if not missing_count(self.session).files:
            return
        for destination in self.destinations.values():
            if destination.source.key in self.left_out:
                continue
            root = self.roots.get(destination.directory)
            if root is None:
                try:
                    root = stack.enter_context(make_root(destination.directory, private=destination.own))
                    stack.enter_context(disk.lock_drive(root))
                except Refused as refusal:
                    yield self._left_out(destination, refusal)
                    give_up_source(self.session, destination.source.key)
                    continue
                self.roots[destination.directory] = root
                yield Warned("made-anew", path=destination.directory)
            if not destination.own:
                continue
            if read_metadata(root) is None:
                try:
                    write_metadata(self.session, root, destination.source)
                except OSError as error:
                    yield Warned("source-not-marked", path=destination.directory, error=error.strerror)
            device = signed(root.device)
            if destination.source.device not in (None, device):
                save_source(self.session, replace(destination.source, device=device))

    def _pass(self) -> Iterator[Event]:
        after, located = 0, located_count(self.session)
        while page := missing_page(self.session, after, _PAGE):
            after = page[-1][0].row
            if self.dry_run:
                for missing, locations in page:
                    for location in locations:
                        try:
                            status = self.drive.root.stat(location.path)
                        except OSError:
                            status = None
                        if (
                            status is not None
                            and stat.S_ISREG(status.st_mode)
                            and status.st_size == missing.content.size
                        ):
                            self.would += Count(1, missing.content.size)
                            mark_missing(self.session, [missing.row], in_place=True)
                            where = self.destinations[missing.source].absolute(missing.path)
                            yield FileDone("would restore", where, missing.content.size)
                            break
                        drop_location(self.session, missing.identity, location)
                continue
            if located.files:
                self.copying.expects(located)
                located = Count()
            for missing, locations in page:
                yield from self.copying.put(missing, locations)
        yield from self.copying.commit()

    # --- the end ---------------------------------------------------------------------------------------------------

    def links(self, only: bytes | None) -> Iterator[Event]:
        """Links last: so that no file is ever restored through one."""
        for destination in self.destinations.values():
            if (root := self.roots.get(destination.directory)) is not None:
                done = yield from restore_links(
                    self.session, destination, root, only, conflict=self.conflict, dry_run=self.dry_run
                )
                self.links_made += done.made
                self.conflicts += done.conflicts

    def deleted_since(self, only: bytes | None) -> Iterator[Event]:
        """Name what a restore put there and newer knowledge calls deleted: it is left there."""
        for destination in self.destinations.values():
            root = self.roots.get(destination.directory)
            if root is None or destination.source.scanned_at is not None:
                continue
            with self.session.again() as reader:
                for gone in told_gone(reader, destination.source.key, only):
                    try:
                        status = root.stat(destination.rel(gone.path))
                    except OSError:
                        continue
                    path = destination.absolute(gone.path)
                    if status is not None and is_placed(reader, path, gone.identity, status):
                        yield DeletedSince(path, gone.gone_at)

    def finish(self) -> None:
        """What is still missing, and which drive is the next to plug in."""
        self.missing = missing_count(self.session) + self.twins
        sources = [destination.source for destination in self.destinations.values()]
        self.as_of, self.unheard = known_as_of(sources), unheard(self.session, sources)
        groups = dict(missing_by_placement(self.session))
        # What could not be had from this drive now is asked of another, if there is one; what had no room, of this one.
        without = [self.drive.target]
        if self.copying.unwritten:
            without = [target for target in list_targets(self.session) if target.key != self.drive.target.key]
        self.next = next_target(self.session, groups, without=without) or next_target(self.session, groups)

    def end_expected(self, only: bytes | None, *, whole: bool) -> None:
        """What is in its place is no longer expected; what a context told of, only when all of it is, and was looked at
        just now (`whole`): a path the last scan saw may be gone since."""
        if self.conflicts or self.copying.conflicts:
            return
        if not context_kept.waiting(self.session.path):
            for source in self.destinations:
                end_expected(self.session, source, only)
        if whole and not self.missing.files:
            finish_expected(self.session, only_if_observed=True)

    def summary(self) -> RestoreSummary:
        put, would = self.copying, self.would
        return RestoreSummary(
            self.drive.target,
            put.restored + would.files,
            put.restored_bytes + would.bytes,
            self.already_right,
            self.conflicts + put.conflicts,
            self.links_made,
            self.missing.files,
            self.missing.bytes,
            self.next,
            self.as_of,
            self.unheard,
        )
