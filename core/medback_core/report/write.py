"""`medback report`: put the page in its file."""

from __future__ import annotations

from collections.abc import Iterator

from medback_core.model import NO_ANSWERS, Answers, Event, ReportSummary
from medback_core.report.facts import gather
from medback_core.report.page import MARK, render
from medback_core.session import Session
from medback_core.upkeep.export import write_file

_MARK_WITHIN = 400


def write_report(session: Session, path: bytes, answers: Answers = NO_ANSWERS) -> Iterator[Event]:
    """Write the report to a file, whole or not at all; ends with a ReportSummary.

    A report that is there already is replaced. With any other file there it raises NeedsAnswer ("replace-file"),
    which `answers.replace` answers. Raises Refused where the file can't be written.
    """
    page = render(gather(session))
    write_file(path, iter([page]), replace=answers.replace or _is_report(path))
    yield ReportSummary(path, len(page))


def _is_report(path: bytes) -> bool:
    """Whether a file is a report that medback wrote; one that can't be read is none."""
    try:
        with open(path, "rb") as file:
            return MARK in file.read(_MARK_WITHIN)
    except OSError:
        return False
