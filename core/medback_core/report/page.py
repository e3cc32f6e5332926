"""The report's facts as one page of HTML that asks for nothing outside of itself."""

from __future__ import annotations

from importlib import resources

from medback_core import __version__, names
from medback_core.model import Count
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.next_drive import next_words
from medback_core.presenting.places import at, shelf_words, three_two_one_words
from medback_core.presenting.plugging import health_words
from medback_core.presenting.units import ago, amount, counted, date, listed, number, plural, size
from medback_core.report.facts import LISTED, MAP_HEIGHT, MAP_WIDTH, WORST, Facts

MARK = b"Written by medback: report"
_SHEET_DRIVES, _SHEET_SOURCES = 10, 6  # that fit on the one page


def render(facts: Facts) -> bytes:
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
