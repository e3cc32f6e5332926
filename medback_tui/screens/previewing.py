"""Look before a job: run its preview, then show what it found, or why it could not be made."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content

from medback_core.presenting.outcomes import outcome
from medback_tui.jobs.queue import Job, JobState
from medback_tui.reading.state import SharedApp

from .dialogs import Choice, Question


def tell(app: SharedApp, title: str, words: str | Content) -> None:
    """Something to take note of, with nothing to decide."""
    app.push_screen(Question(title, Content(words) if isinstance(words, str) else words, [Choice("no", "OK")]))


def preview(app: SharedApp, job: Job, found: Callable[[Job], None]) -> None:
    """Run a preview and hand it to `found`, also when it stopped at a question; tell why when it was refused."""

    def ended(job: Job) -> None:
        if job.state is JobState.DONE or job.question is not None:
            found(job)
        elif job.state is not JobState.STOPPED:
            _, headline, way_out = outcome(job, app.key_of)
            tell(app, "That can't be done", f"{headline}\n\n{way_out}")

    job.ended = ended
    if app.submit(job) is job and app.queue.running is not job:
        app.notify(
            f"the preview is made when the jobs before it are done; {app.key_of('app.back')} cancels it", timeout=6
        )
