"""What everything else passes around: identities, sources, targets, and the events operations yield.

Names and paths are `bytes`, exactly as the file system gives them. Dates are whole seconds since the epoch (UTC);
file times are nanoseconds. Sizes are bytes.
"""

from __future__ import annotations

import enum
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar, dataclass_transform

from medback_core.errors import DriveGone, MedbackError, Refused

Key = TypeVar("Key")

WANTED_DEFAULT = 2
WANTED_MAX = 1_000_000
HOME = "home"  # the place of everything without a named place

# Ours and the family's own files are never backed up and never counted. Other names with `.medback` are content.
METADATA = re.compile(
    rb"\.medback(\.xml|-(source|target)\.xml|-context[^/]*\.xml|-(old|damaged)$|-(tmp|restore-tmp|freeing)-)"
)
FAMILY_METADATA = frozenset({b".medorg.xml", b".mdbackup.xml", b".mdjournal.xml", b".bkp_id"})
SIDECAR_NAME = b".medback.xml"
FAMILY_SIDECAR_NAME = b".medorg.xml"
SOURCE_METADATA_NAME = b".medback-source.xml"
TARGET_IDENTITY_NAME = b".medback-target.xml"
CONTEXT_NAME = b".medback-context.xml"
CONTEXTS_KEPT = (CONTEXT_NAME, b".medback-context-1.xml", b".medback-context-2.xml")  # the newest first
OLD_DIRECTORY = b".medback-old"
DAMAGED_DIRECTORY = b".medback-damaged"
TEMPORARY_PREFIX = b".medback-tmp-"
README_NAME = b"medback-README.txt"
RESTORE_PROGRAM_NAME = b"medback-restore.py"
EXPLANATION = frozenset({README_NAME, RESTORE_PROGRAM_NAME})  # at a drive's root, for people without medback
FREEING_PREFIX = b".medback-freeing-"  # a copy that is about to be removed; after a kill it gets its name back


def is_metadata(name: bytes) -> bool:
    """Whether a directory entry belongs to medback or its family and is therefore never content."""
    return METADATA.match(name) is not None or name in FAMILY_METADATA


def now() -> int:
    """The date, whole seconds. The one clock of the core: tests replace it here (`model.now`)."""
    return int(time.time())


def date_stamp(seconds: int) -> str:
    """A date for file names: `20261124-035300`, UTC."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))


def iso_date(seconds: int | None) -> str | None:
    """ISO-8601 UTC, as sidecars and JSON carry dates."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def format_mtime(mtime_ns: int) -> str:
    """Decimal seconds with nine digits, as `stat -c %.9Y` prints them: half a second before 1970 is -0.500000000."""
    sign = "-" if mtime_ns < 0 else ""
    seconds, nanoseconds = divmod(abs(mtime_ns), 1_000_000_000)
    return f"{sign}{seconds}.{nanoseconds:09d}"


def folded_place(place: str | None) -> str:
    """A place as places are compared: without regard to case and to spaces around and between. None is home."""
    return unicodedata.normalize("NFC", " ".join((place or HOME).split())).casefold()


class Identity(NamedTuple):
    """Size and MD5: files that agree in both are the same content."""

    size: int
    md5: bytes  # 16 raw bytes


class Recorded(NamedTuple):
    """A content as it is on record."""

    identity: Identity
    blake3: bytes | None = None  # 32 raw bytes; None: no reading has made it yet


class Standing(enum.IntEnum):
    """How well a copy is known. Only WRITTEN and VERIFIED ones count; a higher value is better knowledge."""

    CLAIMED = 0
    WRITTEN = 1
    VERIFIED = 2


class TargetState(enum.StrEnum):
    """What a target's copies are worth (the table in docs/design.md)."""

    ACTIVE = "active"
    RETIRED = "retired"
    SUSPECT = "suspect"
    LOST = "lost"

    @property
    def badness(self) -> int:
        """Order from best to worst: also the order in which targets are read for a restore."""
        return ("active", "retired", "suspect", "lost").index(self.value)


class OnPlug(enum.StrEnum):
    """What `medback watch` does with a target that is plugged in."""

    BACKUP = "backup"
    VERIFY = "verify"
    NOTHING = "nothing"


class Happened(enum.StrEnum):
    """What the history tells of. A visit, a reading of the health and what is safe are kept once a day."""

    VISIT = "visit"  # a drive was here
    BACKUP = "backup"  # files were copied onto a drive
    VERIFY = "verify"  # files of a drive or a source were read again
    DAMAGE = "damage"  # files of a drive or a source were found damaged
    REPAIR = "repair"
    DELETION = "deletion"  # a scan found files gone from a source
    HEALTH = "health"  # what the disk of a drive said of itself
    SAFETY = "safety"  # how much a source keeps, and how much of it is not safe


DAILY = frozenset({Happened.VISIT, Happened.HEALTH, Happened.SAFETY})
HISTORY_TOLD = 200  # so many events stand in one file at most


class HistoryEntry(NamedTuple):
    """One event of the history, of a target, of a source, or of both; each by its id."""

    at: int
    what: Happened
    target: str = ""
    source: str = ""
    files: int = 0
    bytes: int = 0  # those of `files`; of a SAFETY what the source keeps
    unsafe: int = 0  # bytes of that without the copies that are wanted
    health: str = ""  # as of `Target.health`

    @property
    def passing(self) -> bool:
        """Whether a file is not written for it alone: a run that changes nothing writes nothing."""
        return self.what in (Happened.VISIT, Happened.HEALTH)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person answered to the questions an operation may ask."""

    create: bool = False  # what is no target becomes one, whatever was there before
    yes: bool = False  # the same, but not where a drive seems not plugged in
    new_id: bool = False  # the drive with a known target's id is another one now
    same_drive: bool = False  # it is that target
    in_place: bool = False  # sources that were never here may go to their own places
    deletions: bool = False  # it is right that many files are gone
    changes: bool = False  # it is right that many files have changed
    replace: bool = False  # the file that stands where another is to be written may go


NO_ANSWERS = Answers()


class Order(enum.Enum):
    """How two states of one thing stand to each other."""

    SAME = "same"
    NEWER = "newer"
    OLDER = "older"
    SPLIT = "split"  # each was made without knowing the other


LINE_MAX = 16  # earlier stamps a state carries
STATE_MAX = 10**15  # no thing has so many states: a number above is none
STAMP_DIGITS = 16  # 64 random bits in lower-case hex


@dataclass(frozen=True, slots=True)
class State:
    """A state of what a drive holds, or of a source's tree: a new one is made whenever that changes (docs/design.md,
    "Whose word is newer")."""

    n: int  # 1 + the highest number read anywhere for the thing
    stamp: str  # 64 random bits in hex: two sessions may give one number, never one stamp
    at: int  # when, by the clock of who made it
    by: str  # the id of the session that made it
    line: tuple[str, ...] = ()  # of a source: the stamps it came from, oldest first, LINE_MAX at most

    def order(self, other: State) -> Order:
        """How this state of a source's tree stands to another of the same source, by their lines."""
        if self.stamp == other.stamp:
            return Order.SAME
        if other.stamp in self.line:
            return Order.NEWER
        return Order.OLDER if self.stamp in other.line else Order.SPLIT


class Trouble(enum.IntEnum):
    """What is wrong with a source file whose size and time say it never changed."""

    NONE = 0
    DAMAGED = 1  # content differs from the record, nothing else moved: rot
    KEPT_TIME = 2  # content differs and ctime moved: rot, or an editor that puts the time back


class Need(NamedTuple):
    """What is wanted of a file: so many copies, and so many of them elsewhere, which is on targets at another place
    than its source's (`place`, folded)."""

    copies: int
    elsewhere: int
    place: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What is wanted of all files at and below a directory of a source. A number that is None is as it is above the
    directory; with neither, the rule was dropped. Of two rules for one directory the higher `rev` is true, on a tie
    the larger numbers."""

    path: bytes  # relative to the source
    copies: int | None = None
    elsewhere: int | None = None
    rev: int = 1

    @property
    def dropped(self) -> bool:
        return self.copies is None and self.elsewhere is None


@dataclass(frozen=True, slots=True)
class Source:
    """A directory to be backed up. `key` is its row in this session's DB, `id` is for ever."""

    key: int
    id: str
    alias: str
    path: bytes
    wanted: int = WANTED_DEFAULT
    excludes: tuple[str, ...] = ()
    rev: int = 1
    scanned_at: int | None = None
    device: int | None = None
    refused: str = ""  # why the last scan was refused, empty when it was not
    one_file_system: bool | None = None  # None: a source from before medback asked, which keeps to one as well
    told_at: int | None = None  # the date of the newest word on it, where no scan has seen it here
    in_place: bool = True  # it may be restored to its own path without a question
    elsewhere: int = 0  # so many of the wanted copies lie at another place
    place: str | None = None  # where it is kept, as people call it; None: home


@dataclass(frozen=True, slots=True)
class Target:
    """A backup destination. A target that is known only from a record is not `known` and never counts."""

    key: int
    id: str
    label: str
    state: TargetState = TargetState.ACTIVE
    known: bool = True
    rev: int = 1
    capacity: int | None = None  # bytes medback may fill at most, None: all of the drive
    path: bytes | None = None  # where it was last seen
    device: int | None = None
    fs_uuid: str | None = None
    fs_type: str | None = None
    created: int | None = None
    seen_at: int | None = None
    verified_at: int | None = None
    free_bytes: int | None = None  # when last seen
    total_bytes: int | None = None
    disk: str | None = None  # the disk it lies on, as people call it; None: as the kernel tells
    place: str | None = None  # where it is kept, as people call it; None: where this machine is
    on_plug: OnPlug | None = None  # what `watch` does when it is plugged in; None: as the settings say
    luks: str | None = None  # uuid of the encrypted container it was last seen in
    health: str | None = None  # what its disk said of itself: "passed" or "failing"; None: nothing was heard
    health_at: int | None = None

    @property
    def counts(self) -> bool:
        """Whether this target's written and verified copies count as copies."""
        return self.known and self.state is TargetState.ACTIVE

    @property
    def name(self) -> str:
        """What to call it before a person: its label, else its id."""
        return self.label or self.id


@dataclass(frozen=True, slots=True)
class Gap:
    """What the last scan of a source could not look at, or left out without the person having said so."""

    source: str  # alias
    path: bytes  # relative, b"" the source itself
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class Looked:
    """How far sources were looked at: what “safe” is as of, and what it leaves out."""

    at: int | None = None  # the oldest of their last scans; None: one was never scanned to its end
    refused: bool = False  # the last scan of one was refused: it is known as it was before
    gaps: tuple[Gap, ...] = ()
    unscanned: tuple[str, ...] = ()  # aliases of those that were never scanned to their end


@dataclass(frozen=True, slots=True)
class Count:
    """So many files of so many bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.files + other.files, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.files - other.files, self.bytes - other.bytes)


def sum_by(parts: Iterable[tuple[Key, Count]]) -> dict[Key, Count]:
    """What each key has in all these parts together."""
    found: dict[Key, Count] = {}
    for key, count in parts:
        found[key] = found.get(key, Count()) + count
    return found


# --- events: what a long operation yields while it works; the last one is always a Summary -------------------------


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Event:
    """Base of all that an operation yields: each is a dataclass that type checkers take for frozen. There are so many
    that freezing each, and giving each methods of its own, would be a tenth of the time of a short command."""

    def __init_subclass__(cls) -> None:
        dataclass(eq=False, repr=False)(cls)

    def _values(self) -> list[tuple[str, Any]]:
        return [(one.name, getattr(self, one.name)) for one in fields(self)]  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__ and self._values() == other._values()  # type: ignore[union-attr]

    def __hash__(self) -> int:
        return hash(tuple(value for _, value in self._values() if not isinstance(value, dict)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._values())})"


class Progress(Event):
    """How far a phase is; a total of None is not known yet. At most about ten a second."""

    phase: str  # a verb in -ing: "scanning", "copying", "reading back"
    files: int = 0
    bytes: int = 0
    files_total: int | None = None
    bytes_total: int | None = None
    current: bytes = b""

    @property
    def fraction(self) -> float | None:
        """How much of the phase is done, 0 to 1: by bytes where their total is known, else by files, else None."""
        if self.bytes_total:
            return min(1.0, self.bytes / self.bytes_total)
        return min(1.0, self.files / self.files_total) if self.files_total else None


class FileDone(Event):
    """One file was hashed, copied, restored, …; `action` is the verb in the past tense."""

    action: str
    path: bytes
    size: int = 0


@dataclass(frozen=True, slots=True, init=False)
class Reason:
    """Why an entry was not treated like the others: which reason (`no-room`), and its facts (`errors.Fact`)."""

    what: str
    facts: Mapping[str, object] = field(hash=False)

    def __init__(self, what: str, **facts: object) -> None:
        object.__setattr__(self, "what", what)
        object.__setattr__(self, "facts", facts)

    @classmethod
    def system(cls, error: OSError) -> Reason:
        """The system refused, in its own words."""
        return cls("system", error=error.strerror or str(error))


class Skipped(Event):
    """An entry that could not be treated, and why: exit code 3."""

    path: bytes
    reason: Reason


class Excluded(Event):
    """An entry left out by rule: no failure."""

    path: bytes
    reason: str


class NotListed(Event):
    """A file that the manifest it is compared with does not name: no failure."""

    path: bytes


class DamageFound(Event):
    """Content or a record that is not what it should be: exit code 5."""

    path: bytes
    reason: Reason
    state: str = "damaged"  # or, where a verify says so, "missing", "changed", "unreadable"


class Waiting(Event):
    """All that could be done is done; it waits for a drive."""


class PluggedIn(Event):
    """A target is here. `action` is what is done with it now, `known` whether it is one of this session's, `waiting`
    what is below its wanted copies, `sources` how many sources the session has."""

    label: str
    path: bytes
    action: OnPlug
    known: bool
    waiting: Count
    sources: int


class LockedHere(Event):
    """The encrypted container a target lies in is plugged in and not open."""

    label: str
    device: str


class Unplugged(Event):
    """A target that was here is not any more."""

    label: str


class PlugDone(Event):
    """What a target was to do when it was plugged in is over: `finished`, and it may be unplugged, unless so many
    copies on it were found `damaged`; or the reason why not. `skipped` files could not be copied or read, and so many
    sources were `left_out`. `again`: it is tried again within a minute. So many copies are `left` to be verified.
    `short` is what still needs another drive where this one is full."""

    label: str
    path: bytes
    action: OnPlug
    finished: bool
    reason: MedbackError | str = ""
    damaged: int = 0
    skipped: int = 0
    left_out: int = 0
    again: bool = False
    left: int = 0
    short: Count = Count()


class Remembers(Event):
    """What a drive that is plugged in remembers and this session did not know: it was taken up. `on` are the drives
    it lies on."""

    drive: str
    path: bytes
    sources: int
    files: int
    as_of: int | None = None
    on: tuple[str, ...] = ()


class DeletedSince(Event):
    """A file an earlier restore brought back is deleted by what is known now; it is left where it is."""

    path: bytes
    gone_at: int | None = None


class CopyGone(Event):
    """A look at a drive did not find a copy where it lay; it does not count any more. `state` is "missing", or, where
    another file stands there, "changed" (since, by its time) or "damaged" (as old as the copy)."""

    path: bytes
    state: str = "missing"


class Warned(Event):
    """Something a person should know, that is no failure: which (`same-disk`), and its facts (`errors.Fact`)."""

    what: str
    facts: Mapping[str, object]

    def __init__(self, what: str, **facts: object) -> None:
        object.__setattr__(self, "what", what)
        object.__setattr__(self, "facts", facts)


class SourceRefused(Event):
    """One source (or drive) of several was refused for safety; nothing changed for it, the others go on: exit code 4 (3
    for a drive that went away)."""

    alias: str
    refusal: Refused | DriveGone

    @property
    def kind(self) -> str:
        """A short stable word for scripts."""
        return self.refusal.kind


class Conflict(Event):
    """A restore met a file that differs from what should be there, and left it alone."""

    path: bytes  # the destination
    reason: Reason
    wanted: Identity | None = None
    wanted_mtime_ns: int = 0
    there_size: int = 0
    there_mtime_ns: int = 0
    there_md5: bytes | None = None


class Summary(Event):
    """Base of the last event of every operation."""


class ScanSummary(Summary):
    """What a scan of one source found; `files` and `bytes` are the source's totals after it."""

    source: Source
    files: int = 0
    bytes: int = 0
    links: int = 0
    directories: int = 0
    hashed: int = 0
    hashed_bytes: int = 0
    reused: int = 0
    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    damaged: int = 0
    unhashed: int = 0  # rebuild only: files no sidecar gives a hash for


class UpdateSummary(Summary):
    """What an update of several sources did; `refused` are the aliases of those nothing changed for."""

    scans: tuple[ScanSummary, ...] = ()
    refused: tuple[str, ...] = ()


class RebuildSummary(Summary):
    """What a new session DB was built from."""

    scans: tuple[ScanSummary, ...] = ()
    targets: tuple[Target, ...] = ()


class BackupSummary(Summary):
    """What a backup onto one target did, or in a dry run would do; `remaining` and `lacking_bytes` are those of after
    it. Counts are identities (each content once)."""

    target: Target
    copied: int = 0
    copied_bytes: int = 0
    already_there: int = 0
    superseded: int = 0
    remaining: int = 0  # identities still below their wanted copies
    remaining_bytes: int = 0
    free_bytes: int = 0
    reclaimable_bytes: int = 0  # older versions there and, on a full drive while something remains, surplus copies
    surplus_bytes: int = 0  # the part of it that is surplus
    full: bool = False
    no_inodes: bool = False  # there is room in bytes, but the file system can hold no more files
    unproven: int = 0  # read back, but not provably from the medium
    lacking_bytes: int = 0  # room the shelf at least lacks for all wanted copies
    would_copy: tuple[bytes, ...] = ()  # dry run: the first files that would go
    paths: int = 0  # dry run: files of the sources that have one of the contents that would go
    looked: Looked = Looked()  # how far the sources were looked at
    gone: int = 0  # paths the scan before it found gone from the sources
    gone_since: int | None = None  # the date of the first of these scans
    stopped: bool = False  # it was asked to end before all was copied


class DiscoverSummary(Summary):
    """What already lay on a drive. `files` counts paths on the drive, `newly_marked` identities."""

    target: Target
    files: int = 0
    matched: int = 0
    matched_bytes: int = 0
    newly_marked: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class NextTarget:
    """The drive to plug in next and what it brings."""

    target: Target
    files: int
    bytes: int


class RestoreSummary(Summary):
    """What a restore from one target brought back. Counts are paths."""

    target: Target
    restored: int = 0
    restored_bytes: int = 0
    already_right: int = 0
    conflicts: int = 0
    links: int = 0
    missing: int = 0
    missing_bytes: int = 0
    next: NextTarget | None = None
    as_of: int | None = None  # the date of what is known to be missing or not
    unheard: tuple[Target, ...] = ()  # drives that were not plugged in and may know something newer


class RestoreStatus(Summary):
    """How much of what is expected stands at its destination. Counts are paths."""

    expected: int = 0
    present: int = 0
    missing: int = 0
    missing_bytes: int = 0
    differing: int = 0
    unreachable: Count = Count()  # of the missing: no usable target is said to hold it
    next: NextTarget | None = None
    as_of: int | None = None  # as in RestoreSummary
    unheard: tuple[Target, ...] = ()


class Unrestored(Event):
    """A file that does not stand at its destination, or stands there with other content."""

    path: bytes  # the destination
    size: int
    differs: bool = False


class ContextSummary(Summary):
    """What a restore context holds. `files` counts paths that should exist, `directories` each source's own too."""

    path: bytes
    sources: int = 0
    directories: int = 0
    files: int = 0
    targets: int = 0


class EjectSummary(Summary):
    """A drive was unmounted."""

    label: str
    path: bytes
    powered_off: bool


class ExportSummary(Summary):
    """What went into a manifest; `left_out` files did not, each was told as Skipped. `path`: b"" without a file."""

    path: bytes
    files: int = 0
    bytes: int = 0
    left_out: int = 0


class ReportSummary(Summary):
    """The report is in its file."""

    path: bytes
    bytes: int


class VerifySummary(Summary):
    """The five states of what was read."""

    checked: int = 0
    checked_bytes: int = 0
    same: int = 0
    changed: int = 0
    missing: int = 0
    new: int = 0
    damaged: int = 0
    unreadable: int = 0
    unproven: int = 0  # read, but not provably from the medium
    left: int = 0  # not reached within --max-bytes


class Repaired(Event):
    """A good copy was put in place."""

    path: bytes
    source: str  # the target's label or the source's alias it came from


class Unrepairable(Event):
    """No good copy could be found now, and what would help."""

    path: bytes
    reason: Reason


class RepairSummary(Summary):
    """How many were repaired and how many could not be."""

    repaired: int = 0
    unrepairable: int = 0


class ReclaimSummary(Summary):
    """What was, or with a dry run would be, freed on a target.

    What is still named goes only while another copy of it is read on a second drive: `waiting` is what could go if one
    of the drives in `serving` were plugged in too; `after_backup` are drives that are plugged in and hold some of it,
    but do not yet say for whom: a backup onto them first mends that.
    """

    target: Target
    freed: int = 0
    freed_bytes: int = 0
    kept: int = 0  # looked disposable, but something still needs it
    paths: tuple[bytes, ...] = field(default=())
    waiting: Count = Count()
    serving: tuple[NextTarget, ...] = ()  # the most bytes first
    after_backup: tuple[NextTarget, ...] = ()


class ProveSummary(Summary):
    """Byte-by-byte comparison of files of one identity."""

    identities: int = 0
    compared: int = 0
    compared_bytes: int = 0
    differing: int = 0
