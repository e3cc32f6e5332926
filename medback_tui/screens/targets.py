"""The drives: where each is, what it holds, what would be lost with it, and backing up onto it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import ClassVar

from textual import getters, on, work
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from medback_core.coverage.places import PlaceShelf
from medback_core.coverage.shelf import Shelf, read_shelf
from medback_core.disk import FAILING
from medback_core.model import TargetState, folded_place
from medback_core.presenting.next_drive import NextDrive, next_drive
from medback_core.presenting.places import at, shelf_words
from medback_core.presenting.plugging import health_words, locked_words
from medback_core.presenting.units import age, ago, counted, name, number, plural, size
from medback_core.session import Session
from medback_tui.jobs import operations
from medback_tui.look.keys import quiet, shown
from medback_tui.look.sizes import not_a_size, typed_size
from medback_tui.look.words import STATES
from medback_tui.reading.facts import Facts, TargetFacts
from medback_tui.reading.listing import target_keys
from medback_tui.reading.state import SharedApp
from medback_tui.widgets.columns import Cell, Column, Span
from medback_tui.widgets.coverage_bar import room_bar
from medback_tui.widgets.empty import EmptyState
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList
from medback_tui.widgets.shelf import ShelfView

from . import backing_up, keeping
from .base import MainScreen, Pane
from .dialogs import Choice, Question, choose
from .form import Field, Form, Values, bad_label
from .shelf_words import shelf_line

COLUMNS = (
    Column("label", "drive"),
    Column("id", "id", 12, rank=5),
    Column("state", "state", 7),
    Column("seen", "seen", 9),
    Column("path", "", rank=6, middle=True),
    Column("room", "used", 6, rank=3),
    Column("free", "free", 8, right=True, rank=1),
    Column("files", "files", 7, right=True, rank=2),
    Column("only", "only here", 9, right=True),
    Column("verified", "verified", 9, rank=4),
)
PLACE = Column("place", "place", 10, heading=True)  # the second column, where a place was named
ORDERS: dict[str, Callable[[TargetFacts], float | str]] = {
    "label": lambda row: name(row.target.name).casefold(),
    "seen": lambda row: -(row.target.seen_at or 0),
    "free": lambda row: -(row.room or 0),
    "files": lambda row: -row.held.files,
    "only": lambda row: -row.only.bytes,
    "verified": lambda row: row.target.verified_at or 0,
}
STATE_STYLES = {
    TargetState.ACTIVE: "", TargetState.RETIRED: "dim", TargetState.SUSPECT: "below", TargetState.LOST: "none"
}  # fmt: skip


class TargetsScreen(MainScreen):
    """Screen 2."""

    MODE = "targets"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("b,enter", "back_up", "targets.back-up", "back up", "Copy onto it what is not safe; shows what first"),
        shown("n", "new", "targets.new", "new", "Choose a drive (or any directory) to back up onto"),
        shown("w", "what_if", "targets.what-if", "what if", "See what would be lost if this drive died"),
        shown("s", "state", "targets.state", "state", "Active, retired, suspect or lost"),
        shown("tab", "shelf", "targets.shelf", "shelf", "The drives as boxes with what each holds, or the list again"),
        shown("v", "verify", "targets.verify", "verify", "Read every file on this drive again"),
        quiet(
            "o",
            "open_path",
            "targets.open-path",
            "open",
            "Open this drive's directory with the system's program for it",
        ),
        quiet("l,e", "label", "targets.label", "label", "What you call this drive, and how much of it medback may use"),
        quiet("D", "discover", "targets.discover", "discover", "Recognise what already lies on this drive"),
        quiet("p", "repair", "targets.repair", "repair", "Put good copies back where damage was found"),
        quiet("t", "timeline", "targets.timeline", "timeline", "What happened month by month, and how safe it was"),
        quiet("E", "eject", "targets.eject", "eject", "Unmount this drive, so that it can be taken out"),
        quiet(
            "R", "reclaim", "targets.reclaim", "free room", "Free older versions, or copies beyond the wanted number"
        ),
        quiet("escape", "back", "targets.back", "back", "Put back what was pulled out, then the list"),
    ]

    rows = getters.query_one("#targets", RowList)
    empty = getters.query_one(EmptyState)
    detail = getters.query_one("#target-detail", Static)
    shelf = getters.query_one(ShelfView)
    line = getters.query_one("#shelf-line", Static)

    def __init__(self) -> None:
        super().__init__()
        self.pulled: frozenset[str] = frozenset()  # drives that are pulled out of the shelf, by id
        self._facts: Facts | None = None
        self._places: dict[int, str] = {}  # of each target; empty where none was named
        self._shelves: tuple[PlaceShelf, ...] = ()

    def compose_body(self) -> Iterable[Widget]:
        yield EmptyState()
        yield RowList[TargetFacts](
            COLUMNS,
            self._draw,
            lambda row: row.target.id,
            lit=lambda row: row.target.id in self.app.drives.here,
            orders=ORDERS,
            id="targets",
        )
        with Pane():
            yield Static(id="target-detail")
        yield ShelfView()
        yield Static(id="shelf-line")

    def on_mount(self) -> None:
        self.shelf.display = self.line.display = False

    def _draw(self, row: TargetFacts) -> list[Cell]:
        target = row.target
        here = self.app.drives.here.get(target.id)
        total, free = row.whole or 0, row.room or 0
        where: list[Span] = [("▶ here", "here")] if here is not None else [(age(target.seen_at), "dim")]
        if target.id in self.app.drives.locked:
            where = [("▷ locked", "below")]
        damaged = self.app.queue.damage_at(here)
        return [
            name(target.name),
            *([name(self._places.get(target.key, target.place or ""))] if self._places else []),
            [(target.id, "dim")],
            [(f"✘ {damaged:,} bad", "none") if damaged else (str(target.state), STATE_STYLES[target.state])],
            where,
            [(name(here or target.path or b""), "dim")],
            room_bar(total - free, total, 6),
            size(free) if total else [("unknown", "dim")],
            number(row.held.files),
            [(size(row.only.bytes), "below")] if row.only.files else [("·", "dim")],
            age(target.verified_at),
        ]

    def show_facts(self, facts: Facts) -> None:
        changed, self._facts = facts is not self._facts, facts
        as_shelf = self.shelf.display and bool(facts.targets)
        self.shelf.display = self.line.display = as_shelf
        self.rows.display = self.query_one(Pane).display = bool(facts.targets) and not as_shelf
        self.empty.display = not facts.targets
        if not facts.targets:
            self._say_why_empty(facts)
        self._places, self._shelves = facts.place_of, facts.places
        self.rows.show_columns((COLUMNS[0], PLACE, *COLUMNS[1:]) if self._places else COLUMNS)
        targets, groups = _by_place(facts)
        self.rows.show_rows(targets, follow_new=self.app.queue.made_something, groups=groups)
        if as_shelf and changed:
            self._read()
        elif as_shelf:
            self.shelf.show_shelf(self.shelf.shelf, self.app.drives.here)

    def tell_jobs(self) -> None:
        super().tell_jobs()
        if self.app.facts is not None and self.empty.display:
            self._say_why_empty(self.app.facts)

    def _say_why_empty(self, facts: Facts) -> None:
        running = self.app.queue.running
        if running is not None and running.kind in ("target", "discover") and not running.quiet:
            self.empty.say(
                f"{name(str(running.details['called']))} becomes your first target.",
                ("", "It stands here when the job below has ended."),
            )
        elif facts.sources:
            self.empty.say(
                "No drive is a target yet.",
                ("", "A target is a drive your files are copied to. Any number, of any size."),
                ("targets.new", "choose the first one"),
            )
        else:
            self.empty.say(
                "No drive is a target yet, and there is nothing to back up.",
                ("go.sources", "add a source first, or"),
                ("targets.new", "choose a drive that already holds copies"),
            )

    # --- the shelf ---------------------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, exit_on_error=False, group="listing")
    def _read(self) -> None:
        worker, pulled = get_current_worker(), self.pulled

        def read(session: Session) -> NextDrive:
            dead = target_keys(session, pulled)
            shelf = read_shelf(session, dead)
            if not worker.is_cancelled:  # at once; of many files it takes longer to know what to do next
                self.app.call_from_thread(self._show_shelf, pulled, shelf)
            return next_drive(session, dead=dead)

        answer = self.app.read_or_tell(read)
        if answer is not None and not worker.is_cancelled:
            self.app.call_from_thread(self._show_answer, pulled, answer)

    def _show_shelf(self, pulled: frozenset[str], shelf: Shelf) -> None:
        if pulled == self.pulled:  # else another one was pulled out meanwhile
            on = None if self.current is None else self.current.target.id
            self.shelf.show_shelf(shelf, self.app.drives.here, on)

    def _show_answer(self, pulled: frozenset[str], answer: NextDrive) -> None:
        if pulled == self.pulled:
            self.line.update(
                shelf_line(self.shelf.shelf, answer.with_here(self.app.drives.here.keys()), self.app.key_of)
            )

    @on(ShelfView.Moved)
    def shelf_moved(self) -> None:
        if self.shelf.current is not None:
            drive = self.shelf.current.target.id
            self.rows.cursor = next(n for n, row in enumerate(self.rows.rows) if row.target.id == drive)

    @property
    def hints(self) -> Mapping[str, str]:
        return {"shelf": "list"} if self.shelf.display else {}

    def action_shelf(self) -> None:
        """The shelf instead of the list, or the list again, with the cursor on the same drive."""
        as_shelf = not self.shelf.display
        self.shelf.display = self.line.display = as_shelf
        self.rows.display = self.query_one(Pane).display = not as_shelf
        self.pulled = frozenset()
        (self.shelf if as_shelf else self.rows).focus()
        if as_shelf:
            self._read()
        else:
            self.moved()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Put back what was pulled out, then the list, then take note of the last job."""
        if self.pulled:
            self.pulled = frozenset()
            self._read()
        elif self.shelf.display:
            self.action_shelf()
        else:
            self.app.call_later(self.app.run_action, "dismiss_job")

    @property
    def current(self) -> TargetFacts | None:
        return self.rows.current

    @property
    def path_here(self) -> bytes | None:
        """Where the drive under the cursor is plugged in."""
        return None if self.current is None else self.app.drives.here.get(self.current.target.id)

    def why_not(self, action: str) -> str | None:
        if action not in ("new", "back") and self.current is None:
            return f"no drive is a target yet: {self.app.key_of('targets.new')} chooses the first one"
        return None

    @on(LineList.Moved)
    def moved(self) -> None:
        row = self.current
        if row is None:
            return
        target = row.target
        here = self.path_here
        locked = self.app.drives.locked.get(target.id)
        place = f"plugged in at {name(here)}" if here else f"last seen {ago(target.seen_at)}"
        if locked is not None:
            place = f"here, locked ({name(locked)}): unlock it first; {place}"
        if not here and target.path:
            place += f" at {name(target.path)}"
        lines = [Content.assemble((name(target.name), "bold"), f"   {target.id}   {place}")]
        damaged = self.app.queue.damage_at(here)
        if damaged:
            words = f"no longer counts as a copy; {self.app.key_of('targets.repair')} repairs it from a good copy"
            lines.append(Content.assemble((f"{plural(damaged, 'damaged file')}: ", "bold $text-error"), words))
        lines.append(Content(STATES[target.state]))
        if target.health == FAILING:
            words = f"{health_words(target)}: copy what is only here"
            if target.counts:
                words += f", then set it suspect ({self.app.key_of('targets.state')}): its copies do not count then"
            lines.append(Content.styled(words, "$text-error"))
        health = health_words(target) if target.health != FAILING else ""
        holds = f"holds {counted(row.held)}"
        if row.claimed.files:
            holds += f"; {counted(row.claimed)} listed in the record, not checked yet"
        checked = f"not all were ever checked ({self.app.key_of('targets.verify')})"
        if target.verified_at:
            checked = f"oldest check {ago(target.verified_at)}"
        if not (row.held.files or row.claimed.files):
            holds, checked = "holds nothing yet", ""
        lines.append(Content("; ".join(part for part in (holds, checked, health) if part)))
        if row.only.files:
            words = f"{counted(row.only)} would be lost with it: on no other drive"
            lines.append(Content.styled(words, "$text-warning"))
        shelf = next((one for one in self._shelves if target in one.targets), None)
        if shelf is not None and not self.rows.headings:
            lines.insert(1, Content(shelf_words(shelf)))
        if row.dies_with:
            others = ", ".join(name(one.name) for one in row.dies_with)
            lines.append(
                Content.styled(f"on one disk with {others}: if that disk fails, all of them are lost", "$text-warning")
            )
        if target.capacity is not None:
            lines.append(Content(f"medback may use {size(target.capacity)} of its {size(target.total_bytes or 0)}"))
        self.detail.update(Content("\n").join(lines))

    @on(ShelfView.Opened)
    @on(LineList.Opened)
    def action_back_up(self) -> None:
        self._with_drive(lambda path, row: backing_up.preview(self.app, path, row.target.name))

    def _with_drive(self, do: Callable[[bytes, TargetFacts], object]) -> None:
        """Do it with the drive under the cursor, where that is plugged in; or a word to the person that it is not."""
        here, row = self.path_here, self.current
        if row is None:
            return
        if here is not None:
            do(here, row)
        elif not self.app.drives.looked:
            self.notify("still looking at what is plugged in; try again in a moment")
        elif row.target.id in self.app.drives.locked:
            locked = self.app.drives.locked[row.target.id]
            self.notify(locked_words(row.target.name, locked), severity="warning")
        else:
            seen = f"; it was last seen at {name(row.target.path)}" if row.target.path else ""
            self.notify(f"{name(row.target.name)} is not plugged in{seen}", severity="warning")

    def action_new(self) -> None:
        backing_up.choose_drive(self.app)

    def action_discover(self) -> None:
        self._with_drive(lambda path, row: self.app.submit(operations.discover(path, row.target.name)))

    def action_verify(self) -> None:
        self._with_drive(lambda path, row: keeping.verify(self.app, path, row.target.name, row.held))

    def action_repair(self) -> None:
        self._with_drive(lambda path, row: keeping.repair(self.app, path, row.target.name))

    def action_reclaim(self) -> None:
        self._with_drive(lambda path, row: keeping.reclaim(self.app, path, row.target.name))

    def action_eject(self) -> None:
        """Unmount this drive; what keeps it open is named."""
        self._with_drive(lambda path, row: self.app.submit(operations.eject(path, row.target.name)))

    def action_what_if(self) -> None:
        """The coverage tree as it would be without this drive; on the shelf, pull it out or put it back."""
        from .coverage import CoverageScreen

        if self.shelf.display and self.shelf.current is not None:
            self.pulled ^= {self.shelf.current.target.id}
            self._read()
            return
        if self.current is not None:
            CoverageScreen.start_dead = frozenset({self.current.target.id})
            self.app.call_later(self.app.run_action, "go('coverage')")

    def action_label(self) -> None:
        row = self.current
        if row is None:
            return

        target = row.target
        room = f"{target.capacity}" if target.capacity is not None else ""

        def check(values: Values) -> str | None:
            label = values["label"].strip()
            if not label:
                return "a drive needs a label"
            if values["label"] != name(target.label) and (problem := bad_label(label)):
                return problem
            typed = values["capacity"].strip()
            return None if typed in ("", room) or typed_size(typed, target.total_bytes) else not_a_size(typed)

        def answered(values: Values) -> None:
            label = values["label"].strip() if values["label"] != name(target.label) else target.label
            typed = values["capacity"].strip()
            capacity = target.capacity if typed == room else typed_size(typed, target.total_bytes)
            place = values["place"].strip() if values["place"] != name(target.place or "") else None
            if (label, capacity) != (target.label, target.capacity) or place is not None:
                new_label = label if label != target.label else None
                new_capacity = capacity if capacity != target.capacity else None
                job = operations.set_target(
                    target, label=new_label, capacity=new_capacity, unlimited=capacity is None and room != "",
                    place=place,
                )  # fmt: skip
                self.app.submit(job)
            if place and self.app.facts is not None:
                offer_elsewhere(self.app, self.app.facts, place)

        fields = [
            Field("label", "What you call it, best what is written on it", name(target.label)),
            Field("capacity", "How much of it medback may use at most (500G, 2TiB, 80%)", room, "all of it"),
            Field(
                "place", "The place where it is kept: home, office", name(target.place or ""), "where this machine is"
            ),
        ]
        self.app.ask(Form(f"Label: {target.id}", fields, check), answered)

    def action_state(self) -> None:
        """Choose a state; losing a drive says first what is lost with it."""
        row = self.current
        if row is None:
            return
        lines = [Content.styled(name(row.target.name), "bold"), Content("")]
        lines += [Content(words) for words in STATES.values()]
        if row.only.files:
            words = (
                f"If it no longer counts, {counted(row.only)} {'has' if row.only.files == 1 else 'have'} no copy left."
            )
            lines += [Content(""), Content.styled(words, "$text-warning")]
        choices = [
            Choice("no", "Leave it"),
            *(Choice(str(state), str(state)) for state in STATES if state is not row.target.state),
        ]

        def answered(answer: str) -> None:
            if answer != "no":
                self.app.submit(operations.set_target(row.target, state=TargetState(answer)))

        self.app.ask(Question(f"State: now {row.target.state}", Content("\n").join(lines), choices), answered)


def _by_place(facts: Facts) -> tuple[Sequence[TargetFacts], dict[Hashable, str]]:
    """The drives place by place, this machine's first, behind them those that are lost; and the headings by the id of
    the first drive below each. As they are where no place has a name."""
    if not facts.places:
        return facts.targets, {}
    rows, groups = list[TargetFacts](), dict[Hashable, str]()
    lost = [row for row in facts.targets if row.target.key not in facts.place_of]
    shelves = [(shelf_words(shelf), [facts.target(one.id) for one in shelf.targets]) for shelf in facts.places]
    for words, there in [*shelves, (f"lost: {plural(len(lost), 'drive')}", lost)]:
        found = [row for row in there if row is not None]
        groups |= {row.target.id: words for row in found[:1]}
        rows += found
    return rows, groups


def offer_elsewhere(app: SharedApp, facts: Facts, place: str) -> None:
    """Offer to want one copy of every file elsewhere, when a second place is named."""
    known = facts.every_place
    sources = [row.source for row in facts.sources if not row.source.elsewhere]
    if len(known) != 1 or folded_place(place) in known or not sources:
        return
    words = (
        f"Your drives are kept at two places now. Should one copy of every file lie elsewhere, so that losing all "
        f"{at(next(iter(known.values())))} loses no file? A backup then says what lacks it."
    )

    def want_one() -> None:
        for source in sources:
            app.submit(operations.change_source(source, elsewhere=1))

    choices = [Choice("no", "No"), Choice("yes", "One copy elsewhere", "primary")]
    choose(app, Question("A second place", Content(words), choices, focus="yes"), yes=want_one)
