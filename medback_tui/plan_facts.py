"""The restore plan as the restore screen shows it: made in a thread by the core, again after every change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from medback_core import model, plans
from medback_core.plans import PlanSummary
from medback_core.session import Session, list_sources, list_targets


@dataclass(frozen=True, slots=True)
class Scope:
    """What to bring back: a source, or what is at and below a path of it."""

    source: str | None = None
    path: bytes = b""


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the plan is for: what to bring back, where to, which drives (ids) can't be had.

    `everything`: as if all of it was lost.
    """

    scope: Scope = EVERYTHING
    to: bytes | None = None
    without: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """A plan for a wish. `imagined`: nothing is missing, so it says what it would take if all was lost."""

    wish: Wish
    imagined: bool
    summary: PlanSummary


def make_plan(
    session: Session, wish: Wish, stopped: Callable[[], bool], progress: Callable[[model.Progress], None]
) -> PlanFacts | None:
    """The plan for a wish; None when it was stopped or there is nothing to plan for. For a thread: it looks at the
    destination, file by file."""
    if not list_sources(session):
        return None
    if not wish.everything:
        plan = _make(session, wish, False, stopped, progress)
        if plan is None or plan.summary.missing.files or plan.summary.differing:
            return plan
    return _make(session, wish, True, stopped, progress)


def _make(
    session: Session,
    wish: Wish,
    everything: bool,
    stopped: Callable[[], bool],
    progress: Callable[[model.Progress], None],
) -> PlanFacts | None:
    without = [target for target in list_targets(session, unknown=True) if target.id in wish.without]
    events = plans.restore_plan(
        session,
        all_of_it=everything,
        source=wish.scope.source,
        path=wish.scope.path or None,
        to=wish.to,
        without=without,
    )
    for event in events:
        if stopped():
            return None
        if isinstance(event, model.Progress):
            progress(event)
        elif isinstance(event, PlanSummary):
            return PlanFacts(wish, everything, event)
    return None
