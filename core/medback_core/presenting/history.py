"""Say what happened: one line an event."""

from __future__ import annotations

from medback_core.model import Count, Happened, HistoryEntry
from medback_core.presenting.units import counted, plural, size


def event_words(entry: HistoryEntry) -> str:
    """`412 files (8.1 GiB) copied`: what happened, without when and to what."""
    match entry.what:
        case Happened.VISIT:
            return "plugged in"
        case Happened.BACKUP:
            return f"{counted(Count(entry.files, entry.bytes))} copied"
        case Happened.VERIFY:
            return f"{counted(Count(entry.files, entry.bytes))} read again"
        case Happened.DAMAGE:
            return f"{plural(entry.files, 'file')} found damaged"
        case Happened.REPAIR:
            return f"{plural(entry.files, 'file')} repaired"
        case Happened.DELETION:
            return f"{plural(entry.files, 'file')} deleted"
        case Happened.HEALTH:
            from medback_core.disk import FAILING

            return "its disk says it is failing" if entry.health == FAILING else "its disk says it is well"
        case Happened.SAFETY:
            return f"{size(entry.bytes)} kept, " + (f"{size(entry.unsafe)} not safe" if entry.unsafe else "all safe")
