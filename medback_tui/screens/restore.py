"""Restore: what is missing, which drives bring it back in which order, and bringing it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on, work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from medback_core import disk, model
from medback_core.errors import MedbackError
from medback_core.presenting.refusals import sentence
from medback_core.presenting.telling import story_words
from medback_core.presenting.units import name
from medback_core.restoring.plan import PlannedStep
from medback_core.session import Session, open_session
from medback_core.session.counting import NOTHING
from medback_tui.jobs import operations
from medback_tui.jobs.queue import Job
from medback_tui.look.keys import quiet, shown
from medback_tui.reading.facts import Facts
from medback_tui.reading.plan_facts import PlanFacts, RestoreRequest, Scope, make_plans
from medback_tui.widgets.empty import EmptyState
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.plan_list import PlanList, PlanRow

from . import restoring
from .base import MainScreen, Pane
from .dialogs import confirm, submit_if
from .pick_scope import PickScope
from .plan_words import detail_words, headline, request_words
from .previewing import preview

if TYPE_CHECKING:
    from medback_core.drives.story import Story

SLOW = 1.0  # seconds: a plan that takes longer is made again only when asked for


@dataclass
class Planning(Message):
    """How far the planning is."""

    progress: model.Progress

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Planning)


class RestoreScreen(MainScreen):
    """Screen 4."""

    MODE = "restore"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "restore", "restore.restore", "restore", "Bring back what this drive holds, once it is here"),
        shown("x", "exclude", "restore.exclude", "can't have", "Plan without this drive, or with it again"),
        shown("o", "what", "restore.what", "what", "What to bring back: all, a source, a directory or a file"),
        shown("t", "to", "restore.to", "where to", "Where to: in place, or under another directory"),
        shown("i", "load", "restore.load", "load", "Load a restore context: on a new machine, or from a drive"),
        shown("c", "conflicts", "restore.conflicts", "conflicts", "Files that differ from the backup: decide each"),
        quiet("a", "take", "restore.take", "bring it back", "Plan to bring back what the drives here remember"),
        quiet("N", "refuse", "restore.refuse", "not wanted", "What the drives here remember is not wanted here"),
        quiet("e", "everything", "restore.everything", "if all was lost", "What it would take if all of it was lost"),
        quiet("m", "unreachable", "restore.unreachable", "not coming back", "List the files no drive can bring back"),
        quiet("D", "app.deleted", "restore.deleted", "deleted", "Deleted files and older versions: bring them back"),
        quiet("u", "unrestored", "restore.unrestored", "not restored", "List what is not restored yet, or differs"),
        quiet("W", "write", "restore.write", "write context", "Write a restore context: names, hashes and places"),
        quiet("E", "end", "restore.end", "end restore", "End the restore: stop expecting the files of a context"),
        quiet("f5,ctrl+r", "again", "restore.again", "look again", "Look at what is missing again"),
        quiet("escape", "back", "restore.back", "back", "Everything again, in place, with all drives"),
    ]

    start_with: ClassVar[tuple[Scope, ...] | None] = None  # the coverage screen wants these brought back

    empty = getters.query_one(EmptyState)
    rows = getters.query_one(PlanList)
    headline = getters.query_one("#headline", Static)
    offer_line = getters.query_one("#offer", Static)
    request_line = getters.query_one("#request", Static)
    detail = getters.query_one("#plan-detail", Static)

    def __init__(self) -> None:
        super().__init__()
        self.request = RestoreRequest()
        self.plan: PlanFacts | None = None
        self.conflicts: list[tuple[Job, model.Conflict]] = []
        self._facts: Facts | None = None
        self._looked_at = 0
        self._stale = False  # something changed since the plan was made
        self._asked = False  # another screen asked for a plan
        self.seconds = 0.0  # what the last plan took
        self._left_out: dict[str, model.Target] = {}  # by id; of a drive that only told, the session has no row
        self._used: set[bytes] = set()  # drives restored from since the plan was made: it does not know what is back

    def compose_body(self) -> Iterable[Widget]:
        yield EmptyState()
        yield Static(id="offer", classes="line")
        yield Static(id="request", classes="line")
        yield Static(id="headline")
        yield PlanList(lambda: self.app.drives.here)
        with Pane():
            yield Static(id="plan-detail")

    def show_facts(self, facts: Facts) -> None:
        changed = facts is not self._facts
        self._facts = facts
        has = bool(facts.sources) or bool(self.request.told)
        self._show_offers(beside=has)
        self.empty.display = not has
        for widget in (self.request_line, self.headline, self.rows, self.query_one(Pane)):
            widget.display = has
        if not has and self.offers:
            self.empty.say(
                "What was on another machine can come back:",
                *(("", story_words(story.told)) for story in self.offers),
                ("restore.take", "plan to bring it back"),
                ("restore.refuse", "not wanted here"),
            )
            return
        if not has:
            self.empty.say(
                "Nothing to restore is known to this session.",
                ("", "Lost everything, but you have your drives? Plug one in: it lists what was on the old machine."),
                ("restore.load", "load a restore context from a file, or from a drive: .medback-context.xml"),
            )
            return
        if RestoreScreen.start_with is not None:
            scopes, RestoreScreen.start_with = RestoreScreen.start_with, None
            self.request = replace(self.request, scope=scopes[0], more=scopes[1:], everything=False)
            changed = self._asked = True
        changed |= self.request.here != self.app.drives.here.keys()
        if changed and self.seconds > SLOW and not self._asked:
            self._stale = True  # a look at a million destinations is not repeated for every change
            self._show_request()
        elif changed:
            self._asked = False
            self.replan()
        else:
            self.rows.refresh()
            self._show_detail()

    @property
    def offers(self) -> tuple[Story, ...]:
        """What drives that are here remember, and neither the session nor the plan knows."""
        return tuple(story for story in self.app.drives.offers if story.path not in self.request.told)

    def _show_offers(self, *, beside: bool) -> None:
        self.offer_line.display = beside and bool(self.offers)
        if self.offer_line.display:
            words = " ".join(story_words(story.told) for story in self.offers)
            keys = f"{self.app.key_of('restore.take')}: bring it back   {self.app.key_of('restore.refuse')}: not wanted"
            self.offer_line.update(Content.assemble((f"{words} ", "$accent"), keys))

    def action_take(self) -> None:
        """Plan for what the drives that are here remember as well."""
        if self.offers:
            self.app.clear_notices()
            self.request = replace(self.request, told=(*self.request.told, *(story.path for story in self.offers)))
            self.told()
            self.replan()

    def action_refuse(self) -> None:
        """What the drives that are here remember is not wanted: it is not offered again."""
        if self.offers:
            self.app.clear_notices()
            self.app.submit(operations.refuse_told(self.offers))

    # --- the plan ----------------------------------------------------------------------------------------------------

    def replan(self) -> None:
        """Make the plan for the present request."""
        self._stale, self._looked_at = False, 0
        self.request = replace(self.request, here=frozenset(self.app.drives.here))
        self._show_request()
        self.make_plan(self.request)

    @work(thread=True, exclusive=True, exit_on_error=False, group="plan")
    def make_plan(self, request: RestoreRequest) -> None:
        """Make the plans for a request; each is posted as it is made."""
        worker = get_current_worker()

        def tell(progress: model.Progress) -> None:
            self.post_message(Planning(progress))

        def make(session: Session) -> None:
            for plan in make_plans(session, request, lambda: worker.is_cancelled, tell):
                if not worker.is_cancelled:
                    self.call_later(self.plan_made, plan)

        started = monotonic()
        try:
            if self.app.in_session(lambda session: (make(session), True)) is None and request.told:
                with disk.portable.scratch_directory() as where, open_session(where / "session.db") as session:
                    make(session)  # a new machine: there is no session DB before something is restored
        except MedbackError as error:
            self.call_later(self.plan_made, None, sentence(error))
        self.seconds = monotonic() - started

    @on(Planning)
    def planning(self, message: Planning) -> None:
        self._looked_at = message.progress.files
        if self.plan is not None and self.plan.looking:
            self.headline.update(headline(self.plan, self.app.key_of, self._looked_at))

    def plan_made(self, plan: PlanFacts | None, problem: str = "") -> None:
        """A plan was made, or none could be."""
        self.plan = plan
        if plan is None or not plan.looking:
            self._used.clear()
        if problem:
            self.headline.update(Content.styled(f" {name(problem)}", "$text-error"))
        elif plan is not None and plan.request == self.request:
            self.headline.update(headline(plan, self.app.key_of, self._looked_at, len(self.conflicts)))
            rows: list[PlanRow] = [PlanRow(n + 1, step) for n, step in enumerate(plan.summary.steps)]
            # The drives a person excluded stay in the list, so that they can be taken back in.
            out = (self._left_out[one] for one in plan.request.without)
            rows += [PlanRow(0, PlannedStep(target, NOTHING, NOTHING), excluded=True) for target in out]
            self.rows.show_plan(plan, rows)
            if self.rows.current is not None and self.rows.current.excluded:
                self.rows.action_first()  # the best drive that can be had, not the one that can't
        steps = plan.summary.steps if plan is not None and not plan.imagined else ()
        self.app.next_drive = steps[0].target.id if steps else None
        self._show_request()
        self._show_detail()
        self.refresh_bindings()

    def _show_request(self) -> None:
        words = request_words(self.request, self.app.key_of, len(self.conflicts), stale=self._stale)
        self.request_line.update(words)

    @on(LineList.Moved)
    def _show_detail(self) -> None:
        self.detail.update(detail_words(self.plan, self.rows.current, self.app.drives.here, self.app.key_of))

    # --- keys --------------------------------------------------------------------------------------------------------

    @property
    def path_here(self) -> bytes | None:
        return None if self.rows.current is None else self.app.drives.here.get(self.rows.current.step.target.id)

    def why_not(self, action: str) -> str | None:
        if action in ("take", "refuse") and not self.offers:
            if not self.app.drives.looked:
                return "still looking at the drives that are plugged in"
            return "no drive that is plugged in remembers files this session does not know"
        if action in ("restore", "exclude") and self.rows.current is None:
            return "the plan needs no drive"
        known = self._facts is not None and bool(self._facts.sources)
        needs_source = action in ("what", "everything", "write", "unrestored")
        if not known and (needs_source or (action == "to" and not self.request.told)):
            return f"no source is known yet: {self.app.key_of('restore.load')} loads a restore context"
        if action == "conflicts" and not self.conflicts:
            return "no restore has met a conflict"
        if action == "unreachable" and (self.plan is None or not self.plan.summary.unreachable_files):
            return "no file is out of reach: the drives of the plan bring all of it back"
        if action == "end" and (self._facts is None or not self._facts.expected):
            return "no restore is under way: there is nothing to end"
        return None

    @on(LineList.Opened)
    def action_restore(self) -> None:
        row = self.rows.current
        if row is None or self.plan is None:
            return
        if row.excluded:
            self.notify(
                f"{name(row.step.target.name)} is left out; {self.app.key_of('restore.exclude')} takes it in again"
            )
            return
        target = row.step.target
        here = self.app.drives.here.get(target.id)
        if here in self._used:
            self.notify("still looking at what is missing now")
            return
        if here is not None and self.app.queue.restores_from(here):
            self.notify("it is being restored from already")
            return
        if here is None:
            self.notify(
                f"{name(target.name)} is not plugged in yet; the line lights up when it is",
                severity="warning",
            )
        elif self.plan.idle:
            self.notify("there is nothing to bring back")
        else:
            for scope in self.request.scopes:
                job = operations.restore(
                    here, target.name, source=scope.source, path=scope.path or None, to=self.request.to
                )
                job.ended = self._restored
                self.app.submit(job)
            self._used.add(here)

    def _restored(self, job: Job) -> None:
        if job.question is not None and job.question.kind == "in-place":
            self._used.clear()
            restoring.ask_in_place(self.app, job, self._restored)
            return
        drive = job.details["drive"]
        assert isinstance(drive, bytes)
        self._used.add(drive)
        known = {conflict.path for conflict in job.conflicts}
        self.conflicts = [pair for pair in self.conflicts if pair[1].path not in known]
        self.conflicts += [(job, conflict) for conflict in job.conflicts]
        self.replan()

    def action_exclude(self) -> None:
        row = self.rows.current
        if row is None:
            return
        target = row.step.target
        self._left_out[target.id] = target
        chosen = set(self.request.without) ^ {target.id}
        self._set_request(replace(self.request, without=tuple(sorted(chosen))))

    def action_everything(self) -> None:
        self._set_request(replace(self.request, everything=not self.request.everything))

    def _set_request(self, request: RestoreRequest) -> None:
        if request != self.request:
            self.request = request
            self.replan()

    def action_again(self) -> None:
        self.app.read_facts()
        self.replan()

    def action_what(self) -> None:
        self.app.ask(PickScope(), lambda scope: self._set_request(replace(self.request, scope=scope, more=())))

    def action_to(self) -> None:
        def chosen(to: bytes | None) -> None:
            self._set_request(replace(self.request, to=to))

        restoring.choose_destination(self.app, self.request.to, chosen)

    def action_load(self) -> None:
        restoring.load_context(self.app)

    def action_write(self) -> None:
        restoring.write_context(self.app)

    def action_conflicts(self) -> None:
        from .conflicts import Conflicts

        def decided(left: list[tuple[Job, model.Conflict]]) -> None:
            self.conflicts = left
            self._show_request()
            self.refresh_bindings()

        self.app.ask(Conflicts(self.conflicts, self._restored), decided)

    def action_unreachable(self) -> None:
        if self.plan is not None:
            restoring.show_unreachable(self.app, self.plan.summary)

    def action_unrestored(self) -> None:
        scope = self.request.scope
        job = operations.restore_status(source=scope.source, path=scope.path or None, to=self.request.to)
        preview(self.app, job, lambda ended: restoring.show_unrestored(self.app, ended))

    def action_end(self) -> None:
        job = operations.finish_restore()
        words = Content(
            "Files of the context that are not restored yet are no longer expected. No file and no copy is "
            "changed. You can load the context again."
        )
        submit_if(self.app, confirm("End the restore?", words, "End it", same_as=job.command), job)

    def action_back(self) -> None:
        """Everything, in place, with all drives; else take note of the last job."""
        if self.app.cancel_preview():
            return
        plain = RestoreRequest(here=self.request.here, told=self.request.told)
        if self.request != plain:
            self._set_request(plain)
        else:
            self.app.call_later(self.app.run_action, "dismiss_job")
