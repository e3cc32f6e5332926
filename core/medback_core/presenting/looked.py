"""Say what "safe" is as of, and what it leaves out."""

from __future__ import annotations

from medback_core import model
from medback_core.model import Looked
from medback_core.presenting.units import moment, plural

_DAY = 86_400


def as_of(looked: Looked) -> str:
    """` as of 24 November 22:49`; nothing where all was looked at, and less than a day ago."""
    if looked.at is not None and not looked.gaps and not looked.refused and model.now() - looked.at <= _DAY:
        return ""
    return f" as of {moment(looked.at)}" if looked.at else " as far as it was scanned"


def but_for(looked: Looked) -> str:
    """`, except 2 places medback did not read`; nothing where there is no gap."""
    if not looked.gaps:
        return ""
    return f", except {plural(len(looked.gaps), 'place')} medback did not read"
