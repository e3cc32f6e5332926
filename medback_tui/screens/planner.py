"""The part of the restore screen that has plans made in a thread, and is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from medback_core import disk, model
from medback_core.errors import MedbackError
from medback_core.presenting.refusals import sentence
from medback_core.session import Session, open_session
from medback_tui.reading.plan_facts import PlanFacts, RestoreRequest, make_plans

from .base import MainScreen

SLOW = 1.0  # seconds: a plan that takes longer is made again only when asked for


@dataclass
class PlanMade(Message):
    """A plan was made (or none could be)."""

    plan: PlanFacts | None
    problem: str = ""


@dataclass
class Planning(Message):
    """How far the planning is."""

    progress: model.Progress

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Planning)


class Planner(MainScreen):
    """Posts `PlanMade` for every plan, `Planning` on the way. `seconds`: what the last plan took."""

    seconds = 0.0

    @work(thread=True, exclusive=True, exit_on_error=False, group="plan")
    def make_plan(self, request: RestoreRequest) -> None:
        """Make the plans for a request; each is posted as it is made."""
        worker = get_current_worker()

        def tell(progress: model.Progress) -> None:
            self.post_message(Planning(progress))

        def make(session: Session) -> None:
            for plan in make_plans(session, request, lambda: worker.is_cancelled, tell):
                if not worker.is_cancelled:
                    self.post_message(PlanMade(plan))

        started = monotonic()
        try:
            if self.app.in_session(lambda session: (make(session), True)) is None and request.told:
                with disk.portable.scratch_directory() as where, open_session(where / "session.db") as session:
                    make(session)  # a new machine: there is no session DB before something is restored
        except MedbackError as error:
            self.post_message(PlanMade(None, sentence(error)))
        self.seconds = monotonic() - started
