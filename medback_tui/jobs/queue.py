"""The job queue: one core operation at a time in a thread, its events as messages, stopping it keeps what is done."""

from __future__ import annotations

import enum
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from textual.message import Message
from textual.worker import Worker, get_current_worker

from medback_core import model
from medback_core.errors import MedbackError, NeedsAnswer, Refused
from medback_core.presenting.outcomes import Ended
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import name
from medback_core.session import Session, open_session

if TYPE_CHECKING:
    from textual.app import App

POST_EVERY = 0.1  # seconds between two messages about one job
RATE_WINDOW = 10.0  # seconds the shown rate looks back
NOTES_MAX = 2_000  # lines a job keeps; beyond them it only counts


class JobState(enum.StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        return self in (JobState.DONE, JobState.STOPPED, JobState.REFUSED, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class Note:
    """One line about a job for the log: when, how bad (`info`, `warning`, `error`), and what."""

    date: int
    level: str
    words: str
    about: MedbackError | model.Warned | None = None  # has a way out, perhaps


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a job again in another run of the app: which function, with what."""

    maker: str
    arguments: tuple[object, ...]
    options: tuple[tuple[str, object], ...]


@dataclass(eq=False, slots=True)
class Job(Ended):
    """One operation to run: what to call it, what it would be on the command line, and how to start it."""

    command: str
    start: Callable[[Session], Iterator[model.Event]]
    details: dict[str, object] = field(default_factory=dict)  # what the screen that asked for it wants to find again
    quiet: bool = False  # a preview: its end is shown by who asked, not told to everybody
    ended: Callable[[Job], None] | None = None  # called on the event loop when it is over
    state: JobState = JobState.WAITING
    told: JobState | None = None  # the last state that was told
    number: int = 0
    progress: model.Progress | None = None
    notes: list[Note] = field(default_factory=list)
    conflicts: list[model.Conflict] = field(default_factory=list)
    started_at: int = 0
    ended_at: int = 0
    samples: deque[tuple[float, model.Progress]] = field(default_factory=deque)  # of one phase, with when
    worker: Worker[None] | None = None
    enough: Event | None = None  # set: it begins nothing more and ends by itself; None: it can only be closed
    for_later: bool = False  # stopped because the app is left, not because a person did not want it
    recipe: Recipe | None = None  # of one that is kept for the next time when it is not finished
    unrestored: list[model.Unrestored] = field(default_factory=list)
    undo: Callable[[], Job] | None = None  # makes the job that takes it back

    def take(self, event: model.Event) -> bool:
        """Take up one event; True if it must be told even just after another."""
        if isinstance(event, model.Progress):
            self.progress = event
            now = monotonic()
            if self.samples and self.samples[-1][1].phase != event.phase:
                self.samples.clear()
            self.samples.append((now, event))
            while len(self.samples) > 2 and now - self.samples[0][0] > RATE_WINDOW:
                self.samples.popleft()
            return False
        if isinstance(event, model.Summary):
            self.summary = event
            return True
        self.counts[type(event).__name__] += 1
        if isinstance(event, model.Conflict):
            self.conflicts.append(event)
        if isinstance(event, model.Unrestored) and len(self.unrestored) < NOTES_MAX:
            self.unrestored.append(event)
        note = note_of(event)
        if note is not None and len(self.notes) < NOTES_MAX:
            self.notes.append(note)
        return False

    @property
    def rate(self) -> float | None:
        """Bytes a second over the last seconds; None while it is too early to say."""
        seconds, before, after = self._window
        return (after.bytes - before.bytes) / seconds if seconds >= 0.5 and after.bytes > before.bytes else None

    @property
    def seconds_left(self) -> float | None:
        """How long this phase still takes at the rate of the last seconds, where it is known."""
        seconds, before, after = self._window
        then, now = before.fraction, after.fraction
        if seconds < 0.5 or then is None or now is None or now <= then:
            return None
        return seconds * (1 - now) / (now - then)

    @property
    def _window(self) -> tuple[float, model.Progress, model.Progress]:
        """The last seconds of this phase: how long, how far it was, how far it is."""
        if not self.samples:
            return 0.0, model.Progress(""), model.Progress("")
        (first, before), (last, after) = self.samples[0], self.samples[-1]
        return last - first, before, after

    @property
    def ends_itself(self) -> bool:
        """Whether it was asked to end, and does as soon as what it has begun is whole; else it is cut off."""
        cut = self.worker is not None and self.worker.cancelled_event.is_set()
        return self.enough is not None and self.enough.is_set() and not cut

    @property
    def question(self) -> NeedsAnswer | None:
        """The question it could not go on without."""
        return self.error if isinstance(self.error, NeedsAnswer) else None


def note_of(event: model.Event) -> Note | None:
    """The line for the log an event gives, None where it gives none; harmless to show."""
    now = model.now()
    match event:
        case model.Skipped(path, reason):
            return Note(now, "warning", f"skipped {name(path)}: {sentence(reason)}")
        case model.DamageFound(path, reason):
            return Note(now, "error", f"damage: {name(path)}: {sentence(reason)}")
        case model.CopyGone(path, state):
            return Note(now, "error", f"{state}: {name(path)}: it no longer counts as a copy")
        case model.Warned():
            return Note(now, "warning", sentence(event), event)
        case model.SourceRefused(alias, refusal):
            return Note(now, "error", f"{name(alias)}: {sentence(refusal)}", refusal)
        case model.Conflict(path, reason):
            return Note(now, "warning", f"conflict: {name(path)}: {sentence(reason)}")
        case model.Unrepairable(path, reason):
            return Note(now, "error", f"not repaired: {name(path)}: {sentence(reason)}")
        case model.Repaired(path, source):
            return Note(now, "info", f"repaired {name(path)} from {name(source)}")
    return None


@dataclass
class JobMoved(Message):
    """A running job got further. Posted to the app, which tells the screens; only the newest one matters."""

    job: Job

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, JobMoved) and message.job is self.job


@dataclass
class JobsChanged(Message):
    """A job was queued, began or ended."""

    job: Job


class JobQueue:
    """Jobs run one at a time, in the order they were asked for. Lives on the event loop; the work is in a thread."""

    def __init__(self, app: App[int], session_path: Path) -> None:
        self.app = app
        self.session_path = session_path
        self.jobs: list[Job] = []
        self.running: Job | None = None

    @property
    def waiting(self) -> list[Job]:
        """What has not begun yet."""
        return [job for job in self.jobs if job.state is JobState.WAITING]

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return self.running is not None or bool(self.waiting)

    @property
    def made_something(self) -> bool:
        """Whether the job that runs or ended last may have made a new source or target."""
        job = self.running or self.last
        return job is not None and job.kind in ("add-src", "target", "discover")

    @property
    def last(self) -> Job | None:
        """The job that ended last and has something to tell."""
        over = [job for job in self.jobs if job.state.over and not job.quiet]
        return max(over, key=lambda job: (job.ended_at, job.number), default=None)

    def damage_at(self, path: bytes | None) -> int:
        """How many files at a path the last verify or repair of this run left damaged."""
        for job in reversed(self.jobs):
            if job.details.get("path") == path and not job.quiet:
                match job.summary:
                    case model.VerifySummary() as read:
                        return read.damaged + read.unreadable
                    case model.RepairSummary() as repaired:
                        return repaired.unrepairable
        return 0

    def restores_from(self, drive: bytes) -> bool:
        """Whether a restore from the drive at this path waits or runs."""
        return any(job.kind == "restore" and job.details["drive"] == drive and not job.state.over for job in self.jobs)

    def queued(self, command: str) -> Job | None:
        """The job that does just this and waits or runs."""
        return next((job for job in self.jobs if job.command == command and not job.state.over), None)

    @property
    def to_undo(self) -> Job | None:
        """The latest job that is done, can be taken back and was not."""
        return next((job for job in reversed(self.jobs) if job.state is JobState.DONE and job.undo is not None), None)

    @property
    def preview(self) -> Job | None:
        """The preview that was asked for and is not there yet."""
        return next((job for job in self.jobs if job.quiet and job.state in (JobState.WAITING, JobState.RUNNING)), None)

    def submit(self, job: Job) -> Job:
        """Queue a job; it begins at once when nothing else runs."""
        job.number = len(self.jobs) + 1
        self.jobs.append(job)
        self.app.post_message(JobsChanged(job))
        self._begin_next()
        return job

    def stop(self, job: Job) -> None:
        """Stop a job and keep what is done: a waiting one never begins; one that can makes a whole of what it has
        begun, any other ends after its chunk, and so does one that is stopped once more."""
        if job.state is JobState.WAITING:
            self._over(job, JobState.STOPPED)
        elif job.worker is not None and not job.state.over:
            if job.enough is not None and job.state is JobState.RUNNING:
                job.enough.set()
            else:
                job.worker.cancelled_event.set()
            job.state = JobState.STOPPING
            self.app.post_message(JobsChanged(job))

    def stop_all(self, *, at_once: bool = False) -> None:
        """Stop whatever waits or runs, because the app is left."""
        for job in self.jobs:
            job.for_later = not job.state.over
        for job in self.waiting:
            self.stop(job)
        if self.running is not None and (at_once or self.running.state is JobState.RUNNING):
            self.stop(self.running)
            if at_once:
                self.stop(self.running)

    def _begin_next(self) -> None:
        if self.running is not None or not self.waiting:
            return
        job = self.running = self.waiting[0]
        job.state, job.started_at = JobState.RUNNING, model.now()
        job.worker = self.app.run_worker(
            lambda: self._work(job), name=job.title, group="jobs", thread=True, exit_on_error=False
        )
        self.app.post_message(JobsChanged(job))

    def _work(self, job: Job) -> None:
        """In the thread: drive the generator; close it when asked to stop."""
        stop = get_current_worker().cancelled_event
        state = JobState.DONE
        try:
            with open_session(self.session_path) as session:
                job.notes += [note for warned in session.notes if (note := note_of(warned)) is not None]
                if not self._drive(job, session, stop.is_set):
                    state = JobState.STOPPED
        except Refused as error:
            job.error, state = error, JobState.REFUSED
        except MedbackError as error:
            job.error, state = error, JobState.FAILED
        except Exception as error:  # noqa: BLE001 - a bug in an operation is told and logged, the app goes on
            job.error, job.crash = (
                MedbackError("unexpected", name=type(error).__name__, words=str(error)),
                traceback.format_exc(),
            )
            state = JobState.FAILED
        self.app.call_later(self._over, job, state)

    def _drive(self, job: Job, session: Session, stopped: Callable[[], bool]) -> bool:
        """Run the operation to its end. False when it was stopped before."""
        posted, events = 0.0, job.start(session)
        try:
            for event in events:
                urgent = job.take(event)
                now = monotonic()
                if urgent or now - posted >= POST_EVERY:
                    posted = now
                    self.app.post_message(JobMoved(job))
                if stopped():
                    return isinstance(event, model.Summary) and not isinstance(event, model.ScanSummary)
        finally:
            if isinstance(events, Generator):
                events.close()
        if job.enough is None or not job.enough.is_set():
            return True
        return isinstance(job.summary, model.BackupSummary) and not job.summary.stopped

    def _over(self, job: Job, state: JobState) -> None:
        job.state, job.stopped, job.ended_at = state, state is JobState.STOPPED, model.now()
        if self.running is job:
            self.running = None
        self.app.post_message(JobsChanged(job))
        self._begin_next()
