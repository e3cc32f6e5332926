"""The restore plan as the restore screen shows it: made in a thread by the core, again after every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from medback_core import model
from medback_core.restoring import plan as plans
from medback_core.restoring.plan import PlanSummary
from medback_core.restoring.told import Told, listen
from medback_core.session import Session
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets

Answer = TypeVar("Answer", bound=model.Event)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to bring back: a source, or what is at and below a path of it."""

    source: str | None = None
    path: bytes = b""


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What the plan is for: what to bring back, where to, which drives (ids) can't be used, which are here.

    `everything`: as if all of it was lost.
    """

    scope: Scope = EVERYTHING
    to: bytes | None = None
    without: tuple[str, ...] = ()
    everything: bool = False
    here: frozenset[str] = frozenset()
    more: tuple[Scope, ...] = ()  # and these, when several were marked
    told: tuple[bytes, ...] = ()  # the places of drives that tell what this session does not know

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """All that is to come back."""
        return self.scope, *self.more


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """A plan for a request. `imagined`: nothing is missing, so it says what it would take if all was lost."""

    request: RestoreRequest
    imagined: bool
    summary: PlanSummary
    looking: bool = False  # what is missing is still being looked at
    differing: int = 0  # nothing is missing, but so many files differ from what should be there

    @property
    def idle(self) -> bool:
        """Whether there is nothing to bring back, as far as was looked at the whole of it."""
        return self.imagined and not self.looking and not self.differing


def make_plans(
    session: Session, request: RestoreRequest, stopped: Callable[[], bool], progress: Callable[[model.Progress], None]
) -> Iterator[PlanFacts]:
    """The plans for a request, the last one is the answer; nothing when it was stopped or there is nothing to plan for.

    First, in milliseconds, what it would take if all was lost, which is also the answer when nothing is missing; then
    what is missing, which means a look at every destination. For a thread.
    """

    def last(events: Iterator[model.Event], kind: type[Answer]) -> Answer | None:
        """What an operation ends with; None where it was stopped before."""
        for event in events:
            if stopped():
                return None
            if isinstance(event, model.Progress):
                progress(event)
            elif isinstance(event, kind):
                return event
        return None

    def make(session: Session, everything: bool) -> PlanFacts | None:
        events = plans.restore_plan(
            session,
            all_of_it=everything,
            source=request.scope.source,
            path=request.scope.path or None,
            to=request.to,
            without=[target for target in list_targets(session, unknown=True) if target.id in request.without],
            here=request.here,
            more=[(scope.source, scope.path or None) for scope in request.more],
        )
        summary = last(events, PlanSummary)
        return None if summary is None else PlanFacts(request, everything, summary)

    with ExitStack() as stack:
        told = last(listen(session, stack, request.told), Told) if request.told else Told(session)
        if told is None or not list_sources(told.session):
            return
        imagined = make(told.session, True)
        if imagined is None:
            return
        yield imagined if request.everything else replace(imagined, looking=True)
        plan = None if request.everything else make(told.session, False)
        if plan is not None:
            yield plan if plan.summary.missing.files else replace(imagined, differing=plan.summary.differing)
