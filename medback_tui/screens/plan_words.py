"""What the restore screen says of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from medback_core.presenting.places import fetch_words
from medback_core.presenting.sentences import Key
from medback_core.presenting.telling import differ_words, nothing_missing
from medback_core.presenting.units import counted, files, name, percent, plural, size
from medback_tui.reading.plan_facts import PlanFacts, RestoreRequest
from medback_tui.widgets.plan_list import PlanRow, curve


def headline(plan: PlanFacts, key: Key, looked_at: int = 0, conflicts: int = 0) -> Content:
    """What is missing and what it takes, trip by trip; on a good day, what would come back if this machine died."""
    trips = fetch_words((step.place, step.target.name) for step in plan.summary.steps if step.trip)
    return Content("\n").join([_headline(plan, key, looked_at, conflicts), *map(Content, trips)])


def _headline(plan: PlanFacts, key: Key, looked_at: int, conflicts: int) -> Content:
    summary = plan.summary
    drives = plural(len(summary.steps), "drive")
    comes = summary.missing - summary.unreachable
    if not plan.imagined:
        bring = "brings" if len(summary.steps) == 1 else "bring"
        brought = f"{drives} {bring} back {size(comes.bytes)}" if summary.steps else "no drive brings any of it back"
        words = f"{counted(summary.missing)} missing; {brought}"
        differ = f"; {differ_words(summary.differing)}" if summary.differing else ""
        return Content.styled(words + differ, "bold $text-warning")
    if plan.differing:
        way = f"{key('restore.conflicts')} decides them"
        if not conflicts:
            way = f"{key('restore.restore')} on a drive that is here lists them as conflicts"
        words = f"{nothing_missing(summary.as_of)} But {differ_words(plan.differing)}: {way}."
        return Content.styled(words, "bold $text-warning")
    if not summary.missing.files:
        return Content("nothing is known that could be lost")
    words = "" if plan.request.everything else f"{nothing_missing(summary.as_of, summary.unheard)} "
    if plan.looking:
        words = f"Looking at what is missing, {files(looked_at)} so far. "
    if not summary.steps:
        lost = f"none of {counted(summary.missing)} would come back"
        return Content.assemble((f"{words}If this machine died now, ", "bold"), (lost, "bold $text-error"))
    one = len(summary.steps) == 1
    order = "this one drive brings" if one else f"these {drives}, in this order, bring"
    words += f"If this machine died now: {order} back {counted(comes)}"
    if not summary.unreachable.files:
        return Content.styled(words, "bold" if plan.looking else "bold $text-success")
    lost = f", and {counted(summary.unreachable)} would not come back"
    return Content.assemble((words, "bold"), (lost, "bold $text-error"))


def request_words(request: RestoreRequest, key: Key, conflicts: int, *, stale: bool = False) -> Content:
    """What is to come back and where to."""
    scope = request.scope
    what = "everything" if scope.source is None else name(scope.source)
    if scope.path:
        what += f"/{name(scope.path)}"
    if request.more:
        what += f" and {plural(len(request.more), 'more mark')}"
    where = "where it was" if request.to is None else name(request.to)
    parts = [("bring back ", ""), (what, "bold $foreground"), ("   to ", ""), (where, "bold $foreground")]
    if conflicts:
        parts.append((f"   {plural(conflicts, 'conflict')} ({key('restore.conflicts')})", "bold $text-warning"))
    if stale:
        parts.append((f"   {key('restore.again')} looks again", "$accent"))
    return Content.assemble(*parts)


def detail_words(plan: PlanFacts | None, row: PlanRow | None, here: Mapping[str, bytes], key: Key) -> Content:
    """The drive under the cursor, what no drive has, and how good the plan is."""
    lines: list[Content] = []
    if row is not None:
        target = row.step.target
        if row.excluded:
            lines.append(
                Content(f"{name(target.name)} is left out of the plan; {key('restore.exclude')} takes it in again")
            )
        elif target.id in here:
            idle = plan is None or plan.idle
            more = "; there is nothing to bring back now" if idle else f": {key('restore.restore')} restores from it"
            words = f" is plugged in{more}"
            lines.append(Content.assemble((name(target.name), "bold $text-success"), words))
        else:
            lines.append(Content.assemble("plug in ", (name(target.name), "bold"), f" ({name(target.id)})"))
        if row.step.claimed.files:
            lines.append(Content(f"{counted(row.step.claimed)} of it listed in the record, not checked yet"))
    if plan is not None and plan.summary.unreachable.files:
        words = (
            f"{counted(plan.summary.unreachable)} would not come back: no drive has them ({key('restore.unreachable')})"
        )
        lines.append(Content.styled(words, "$text-error"))
    if plan is not None and len(plan.summary.steps) > 1:
        whole = plan.summary.missing.bytes
        back = [whole - step.remaining.bytes for step in plan.summary.steps]
        blocks = "".join(text for text, _ in curve(back, whole, 40))
        lines.append(Content.assemble("back after each drive  ", (blocks, "$primary"), f"  {percent(back[-1], whole)}"))
    if plan is not None and not plan.summary.exact:
        lines.append(Content.styled(f"there may be a shorter plan: {plan.summary.why}", "$text-muted"))
    return Content("\n").join(lines) if lines else Content("nothing to plug in")
