"""`medback report`: make the page of the facts, and put it in its file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from medback_core import __version__, names
from medback_core.model import NO_ANSWERS, Answers, Count, Event, ReportSummary
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.next_drive import next_words
from medback_core.presenting.places import at, shelf_words, three_two_one_words
from medback_core.presenting.plugging import health_words
from medback_core.presenting.units import ago, amount, counted, date, listed, number, plural, size
from medback_core.report.facts import LISTED, MAP_HEIGHT, MAP_WIDTH, WORST, ReportFacts, gather
from medback_core.session import Session
from medback_core.upkeep.export import write_file

MARK = b"Written by medback: report"
_MARK_WITHIN = 400
_SHEET_DRIVES, _SHEET_SOURCES = 10, 6  # that fit on the one page


def write_report(session: Session, path: bytes, answers: Answers = NO_ANSWERS) -> Iterator[Event]:
    """Write the report to a file, whole or not at all; ends with a ReportSummary.

    A report that is there already is replaced. With any other file there it raises NeedsAnswer ("replace-file"),
    which `answers.replace` answers. Raises Refused where the file can't be written.
    """
    page = _page(gather(session))
    write_file(path, iter([page]), replace=answers.replace or _is_report(path))
    yield ReportSummary(path, len(page))


def _is_report(path: bytes) -> bool:
    """Whether a file is a report that medback wrote; one that can't be read is none."""
    try:
        with open(path, "rb") as file:
            return MARK in file.read(_MARK_WITHIN)
    except OSError:
        return False


def _page(facts: ReportFacts) -> bytes:
    """The page. Every name goes through `display_name`, and the template engine escapes all that is put in."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = resources.files("medback_core.report") / "template"
    environment = Environment(
        loader=FunctionLoader(lambda wanted: (folder / wanted).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        name=names.display_name, size=size, amount=amount, number=number, counted=counted, ago=ago, date=date,
        listed=listed, plural=plural, shelf=shelf_words, at=at, health=health_words, three_two_one=three_two_one_words,
        as_of=as_of, but_for=but_for,
    )  # fmt: skip
    whole, unsafe, none = Count(facts.safe.files, facts.safe.bytes), facts.safe.unsafe, facts.safe.none
    words = environment.get_template("report.html").render(
        facts=facts,
        mark=MARK.decode(),
        version=__version__,
        next=next_words(facts.next, otherwise="back up onto a new drive", away="back up onto"),
        width=MAP_WIDTH,
        height=MAP_HEIGHT,
        shares=(("safe", whole - unsafe), ("below", unsafe - none), ("none", none)),
        listed_most=LISTED,
        worst_most=WORST,
        sheet_drives=_SHEET_DRIVES,
        sheet_sources=_SHEET_SOURCES,
    )
    return words.encode("utf-8", "backslashreplace")
