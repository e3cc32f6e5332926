"""The part of the app that keeps unfinished jobs for the next time, and offers to go on with them."""

from __future__ import annotations

from textual import work
from textual.content import Content

from medback_core import model
from medback_core.presenting.units import plural
from medback_tui.jobs.queue import Job, JobState
from medback_tui.jobs.unfinished import Unfinished, remade
from medback_tui.reading.state import SharedApp
from medback_tui.screens.dialogs import Choice, Question

SHOWN_MAX = 6


class ResumingApp(SharedApp):
    """What is asked for is kept until it is done, or until a person stops it."""

    unfinished: Unfinished

    def note_unfinished(self) -> None:
        """The queue moved: what runs or waits now is what a kill must not lose."""
        jobs = self.queue.jobs
        unfinished = [job for job in jobs if not job.state.over or (job.for_later and job.state is JobState.STOPPED)]
        self.unfinished.running = tuple(job.recipe for job in unfinished if job.recipe is not None)

    @work(thread=True, exit_on_error=False, group="keep")
    def keep_unfinished(self) -> None:
        """Write it down."""
        problem = self.unfinished.keep()
        if problem is not None:
            self.call_later(self.log_line, model.now(), "warning", "", problem)

    @work(thread=True, exit_on_error=False, group="keep")
    def find_unfinished(self) -> None:
        """Look for what earlier runs did not finish."""
        jobs = [job for job in map(remade, self.unfinished.load()) if job is not None]
        if jobs:
            self.call_later(self._offer_to_go_on, jobs)

    def _offer_to_go_on(self, jobs: list[Job]) -> None:
        lines = [Content(f"Last time {plural(len(jobs), 'job was', 'jobs were')} not finished:"), Content("")]
        lines += [Content(f"  {job.title}") for job in jobs[:SHOWN_MAX]]
        if len(jobs) > SHOWN_MAX:
            lines.append(Content(f"  and {len(jobs) - SHOWN_MAX} more"))
        lines += [Content(""), Content("Going on does not repeat what is done.")]
        choices = [Choice("no", "Ask me next time"), Choice("drop", "Drop them"), Choice("yes", "Go on", "primary")]

        def answered(answer: str | None) -> None:
            if answer in ("yes", "drop"):
                self.unfinished.left = ()
                for job in jobs if answer == "yes" else ():
                    self.submit(job)
                self.note_unfinished()
                self.keep_unfinished()

        self.push_screen(Question("Go on?", Content("\n").join(lines), choices, focus="yes"), answered)
