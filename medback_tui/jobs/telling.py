"""The part of the app that follows the jobs: tells the screens, writes the log, says how a job ended."""

from __future__ import annotations

from textual import on
from textual.notifications import SeverityLevel

from medback_core.presenting.outcomes import outcome
from medback_core.presenting.refusals import sentence, way_out
from medback_tui.jobs.queue import NOTES_MAX, Job, JobMoved, JobsChanged, JobState
from medback_tui.reading.state import SharedApp
from medback_tui.screens.base import MainScreen

SEVERITY: dict[str, SeverityLevel] = {"done": "information", "partly": "warning", "failed": "error"}
LEVEL = {"done": "done", "partly": "warning", "failed": "error"}


class TellingApp(SharedApp):
    """What a job does is told once, to the screen in sight."""

    def tick(self) -> None:
        if self.queue.running is not None:
            self.tell_jobs()

    @on(JobMoved)
    def tell_jobs(self) -> None:
        self.show_notices()
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen) and screen.is_whole:
                screen.tell_jobs()

    @on(JobsChanged)
    def jobs_changed(self, message: JobsChanged) -> None:
        if not self.screen_stack:
            return  # the app is being left
        job = message.job
        is_news, job.told = job.told is not job.state, job.state
        if is_news and job.state is JobState.RUNNING and not job.quiet:
            self.log_line(job.started_at, "info", job.title, f"began; same as: {job.command}")
        if is_news and job.state.over:
            self._job_ended(job)
        self.tell_jobs()
        self.queue_moved()

    def _job_ended(self, job: Job) -> None:
        job.here = frozenset(self.drives.here)
        if job.question is not None and job.question.kind == "in-place" and job.ended is not None:
            job.quiet = True  # it did not fail: who asked for it asks the question
        path = job.details.get("path")
        job.of_source = self.facts is not None and any(row.source.path == path for row in self.facts.sources)
        if job.next is not None:
            job.next = job.next.with_here(self.drives.here)
        for note in () if job.quiet else job.notes:  # a preview tells them to who asked, and did nothing of it
            way = "" if note.about is None else way_out(note.about, self.key_of)
            self.log_line(note.date, note.level, job.title, f"{note.words}. {way}" if way else note.words)
        hidden = sum(job.counts.values()) - len(job.notes)
        if hidden > 0 and len(job.notes) >= NOTES_MAX and not job.quiet:
            self.log_line(job.ended_at, "warning", job.title, f"and {hidden:,} more lines like these")
        if job.crash:
            self.log_line(job.ended_at, "error", job.title, f"{sentence(job.error)}\n{job.crash}")
        self.read_facts()
        if not job.quiet:
            level, headline, _ = outcome(job, self.key_of)
            self.log_line(job.ended_at, LEVEL[level], job.title, headline)
            if not isinstance(self.screen, MainScreen):  # there the job bar says it, and stays
                self.notify(headline, severity=SEVERITY[level], timeout=6)
        if job.ended is not None and not self.quitting:
            job.ended(job)

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_stop_job(self) -> None:
        """Stop the running job, or the one that waits longest."""
        job = self.queue.running or next(iter(self.queue.waiting), None)
        if job is not None:
            self.queue.stop(job)
        else:
            self.notify("no job is running")

    def action_undo(self) -> None:
        """Take back the latest change that can be taken back."""
        job = self.queue.to_undo
        if job is None or job.undo is None:
            self.notify(
                "there is nothing to undo: what was set of a source or a drive, and a forgotten source, can be undone"
            )
            return
        back, job.undo = job.undo(), None
        back.undo = None
        self.submit(back)

    def action_copy_command(self) -> None:
        """Copy the command line of the running job, or of the last one."""
        job = self.queue.running or self.queue.last
        if job is not None:
            self.copy_to_clipboard(job.command)
            self.notify(f"copied: {job.command}", timeout=3)
        else:
            self.notify("no job has run yet: there is no command to copy")

    def action_dismiss_job(self) -> None:
        """Cancel the preview that is being made; else take note of how the last job ended."""
        if self.cancel_preview():
            return
        self.clear_notices()
        if self.queue.last is not None:
            self.dismissed = self.queue.last.number
            self.tell_jobs()
