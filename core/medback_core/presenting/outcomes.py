"""What is said of a Summary, and how a job ended: one line, and what to do next. Both front ends say it like this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from medback_core import model
from medback_core.errors import MedbackError, Refused
from medback_core.model import Count
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.refusals import sentence, way_out
from medback_core.presenting.sentences import Key
from medback_core.presenting.telling import all_back
from medback_core.presenting.units import counted, files, name, number, plural, size

if TYPE_CHECKING:
    from medback_core.presenting.next_drive import NextDrive

_STATES = ("changed", "missing", "new", "damaged", "unreadable")


@dataclass(eq=False, slots=True)
class Ended:
    """How a job of the app ended. `kind` is the command's name, `counts` the number of its events by their class."""

    title: str
    _: KW_ONLY
    kind: str = ""
    summary: model.Summary | None = None
    counts: Counter[str] = field(default_factory=Counter)
    error: MedbackError | None = None
    crash: str = ""  # the traceback of a bug
    stopped: bool = False
    rescan: bool = False  # what is left out changed
    next: NextDrive | None = None  # of a backup: which drive to pick up next
    here: frozenset[str] = frozenset()  # the ids of the drives that were plugged in then
    of_source: bool = False  # it read or wrote a source, not a drive


# --- a headline for each Summary -----------------------------------------------------------------------------------


def backed_up(done: model.BackupSummary) -> str:
    """`412 files (8.1 GiB) copied, 3 already there, 1.2 GiB free`."""
    parts = [f"{counted(Count(done.copied, done.copied_bytes))} copied"]
    if done.already_there:
        parts.append(f"{number(done.already_there)} already there")
    if done.superseded:
        parts.append(f"{plural(done.superseded, 'older version')} kept")
    parts.append(f"{size(done.free_bytes)} free")
    limit = done.target.capacity
    full = "" if not done.full else " (full)" if limit is None else f" (full: it may hold {size(limit)})"
    return ", ".join(parts) + full


def discovered(found: model.DiscoverSummary, *, would: str = "") -> str:
    """`50 files, 48 of them yours (38.2 GiB), 12 newly counted, 2 unknown`."""
    return (
        f"{files(found.files)}, {number(found.matched)} of them yours ({size(found.matched_bytes)}), "
        f"{number(found.newly_marked)} {would}newly marked, {number(found.unknown)} unknown"
    )


def restored(back: model.RestoreSummary, *, would: str = "") -> str:
    """`412 files (8.1 GiB) restored, 3 already right`."""
    parts = [
        f"{counted(Count(back.restored, back.restored_bytes))} {would}restored",
        f"{number(back.already_right)} already right",
    ]
    if back.links:
        parts.append(f"{plural(back.links, 'link')} {would}made")
    if back.conflicts:
        parts.append(f"{plural(back.conflicts, 'conflict')} left alone")
    if back.missing:
        parts.append(f"{counted(Count(back.missing, back.missing_bytes))} still missing")
    return ", ".join(parts)


def verified(read: model.VerifySummary) -> str:
    """`412 files (8.1 GiB) read, 411 as recorded, 1 damaged`."""
    parts = [f"{counted(Count(read.checked, read.checked_bytes))} read, {number(read.same)} as recorded"]
    if not read.checked:
        parts = ["nothing had to be read"]
    parts += [f"{number(getattr(read, state))} {state}" for state in _STATES if getattr(read, state)]
    return ", ".join(parts)


def repaired(done: model.RepairSummary, *, would: str = "") -> str:
    """`3 files repaired, 1 can't be`."""
    cant = f", {number(done.unrepairable)} can't be" if done.unrepairable else ""
    return f"{files(done.repaired)} {would}repaired{cant}"


def reclaimed(freed: model.ReclaimSummary) -> str:
    """`412 files (8.1 GiB) freed`."""
    return f"{counted(Count(freed.freed, freed.freed_bytes))} freed"


def ejected(done: model.EjectSummary) -> str:
    """`unmounted and powered off: take it out`."""
    return f"unmounted{' and powered off' if done.powered_off else ''}: take it out"


def proved(proof: model.ProveSummary) -> str:
    """`3 contents in more than one place: 7 files (38.2 MiB) compared, 0 differ`."""
    return (
        f"{plural(proof.identities, 'content')} in more than one place: "
        f"{counted(Count(proof.compared, proof.compared_bytes))} compared, {number(proof.differing)} differ"
    )


def scanned(scan: model.ScanSummary) -> str:
    """`412 files (8.1 GiB) in 30 directories, 12 added, hashed 38.2 MiB`."""
    where = plural(scan.directories, "directory", "directories")
    parts = [f"{counted(Count(scan.files, scan.bytes))} in {where}"]
    parts += [
        f"{number(getattr(scan, what))} {what}"
        for what in ("added", "changed", "moved", "removed", "damaged", "unhashed")
        if getattr(scan, what)
    ]
    return ", ".join([*parts, f"hashed {size(scan.hashed_bytes)}"] if scan.hashed else parts)


def in_context(context: model.ContextSummary) -> str:
    """`412 files in 30 directories of 2 sources, 3 targets`."""
    return (
        f"{files(context.files)} in {plural(context.directories, 'directory', 'directories')} of "
        f"{plural(context.sources, 'source')}, {plural(context.targets, 'target')}"
    )


# --- how a job of the app ended --------------------------------------------------------------------------------------


def outcome(ended: Ended, key: Key) -> tuple[str, str, str]:
    """(level, headline, what next). Level is `done`, `partly` or `failed`."""
    log = f"the log ({key('app.log')})"
    if ended.stopped:
        return "partly", f"{ended.title}: stopped; {_kept(ended)}", "run it again to continue"
    if ended.error is not None:
        words = f"{ended.title}: {'a bug in medback: ' if ended.crash else ''}{sentence(ended.error)}"
        if isinstance(ended.error, Refused):
            return "failed", words, way_out(ended.error, key) or "nothing was changed"
        return "failed", words, f"{log} says more"
    words, advice = _of_summary(ended, key)
    headline, troubles = f"{ended.title}: {words}", _troubles(ended)
    if ended.counts.get("DamageFound"):
        words = headline if isinstance(ended.summary, model.VerifySummary) else f"{headline}; {troubles}"
        return "failed", words, advice or f"{log} lists them"
    if ended.counts.get("SourceRefused"):
        advice = f"a refused source is kept as it was; screen {key('go.sources')} says why, and what to do"
    if troubles:
        return "partly", f"{headline}; {troubles}", advice or f"{log} lists them"
    return "done", headline, advice


def _kept(ended: Ended) -> str:
    """What is left of a job that was stopped."""
    if isinstance(ended.summary, model.BackupSummary):
        return f"{counted(Count(ended.summary.copied, ended.summary.copied_bytes))} copied and kept"
    done = ended.counts.get("FileDone", 0)
    if ended.kind in ("target", "restore"):
        word = "copied" if ended.kind == "target" else "restored"
        return f"{files(done)} {word} and kept; what was under way is not"
    return "what was done is kept"


def _troubles(ended: Ended) -> str:
    said = (
        ("DamageFound", "damaged file", "damaged files"),
        ("Skipped", "skipped", "skipped"),
        ("SourceRefused", "source refused", "sources refused"),
        ("Conflict", "conflict", "conflicts"),
    )
    return ", ".join(plural(count, one, many) for kind, one, many in said if (count := ended.counts.get(kind, 0)))


def _of_summary(ended: Ended, key: Key) -> tuple[str, str]:
    match ended.summary:
        case model.BackupSummary() as backup:
            return backed_up(backup), _after_backup(backup, ended.next, key)
        case model.ScanSummary() as scan:
            return _updated(ended, [scan], key)
        case model.UpdateSummary(scans):
            return _updated(ended, scans, key)
        case model.DiscoverSummary() as found:
            return discovered(found), f"verify it ({key('targets.verify')}) to be sure" if found.newly_marked else ""
        case model.RestoreSummary() as back:
            return restored(back), _after_restore(back, key, ended.here)
        case model.VerifySummary() as read:
            # What this person may not read is counted as unreadable, and is no damage.
            damaged = bool(read.damaged or ended.counts.get("DamageFound"))
            return verified(read), _after_verify(read, damaged, "sources" if ended.of_source else "targets", key)
        case model.RepairSummary() as done:
            log = f"the log ({key('app.log')}) says which drive would help"
            return repaired(done), log if done.unrepairable else "the damaged files are kept in .medback-damaged"
        case model.ReclaimSummary() as freed:
            return reclaimed(freed), ""
        case model.EjectSummary() as done:
            return ejected(done), ""
        case model.ProveSummary() as proof:
            return proved(proof), ""
        case model.RebuildSummary(scans):
            words, _ = _updated(ended, scans, key)
            unhashed = sum(scan.unhashed for scan in scans)
            update = f"{files(unhashed)} have no hash yet: update them ({key('sources.update-all')})"
            return words, update if unhashed else "plug in your drives one by one"
        case model.ContextSummary() as context:
            plan = f"screen {key('go.restore')} says which drives bring them back"
            return in_context(context), plan if ended.kind == "add-restore-context" else ""
    return "done", f"update it ({key('sources.update')}): other files are left out now" if ended.rescan else ""


def _updated(ended: Ended, scans: Sequence[model.ScanSummary], key: Key) -> tuple[str, str]:
    if not scans:
        return "nothing was updated", f"a refused source is kept as it was; screen {key('go.sources')} says why"
    total = Count(sum(scan.files for scan in scans), sum(scan.bytes for scan in scans))
    changes = [
        f"{number(count)} {word}"
        for word in ("added", "changed", "moved", "removed")
        if (count := sum(getattr(scan, word) for scan in scans))
    ]
    advice = ""
    if ended.kind == "add-src":
        advice = f"next: choose a drive to back it up onto (screen {key('go.targets')})"
    elif any(scan.removed for scan in scans):
        advice = f"what was removed may come back: {key('coverage.deleted')} lists it"
    return f"{counted(total)}; {', '.join(changes) or 'nothing changed'}", advice


def _after_backup(backup: model.BackupSummary, next_one: NextDrive | None, key: Key) -> str:
    if not backup.remaining:
        return f"everything has its wanted copies{as_of(backup.looked)}{but_for(backup.looked)}"
    left = f"{counted(Count(backup.remaining, backup.remaining_bytes))} still not safe"
    from medback_core.presenting.next_drive import next_words  # and with it the session

    words = "" if next_one is None else next_words(next_one, otherwise=f"choose a new drive ({key('targets.new')})")
    return f"{left}; next: {words}" if words else left


def _after_restore(back: model.RestoreSummary, key: Key, here: frozenset[str]) -> str:
    if back.conflicts:
        return f"decide the conflicts ({key('restore.conflicts')})"
    if back.next is not None:
        way = "restore from" if back.next.target.id in here else "plug in"
        return f"next: {way} {name(back.next.target.name)} ({counted(Count(back.next.files, back.next.bytes))})"
    if back.missing:
        return "no drive has what is missing"
    return all_back(back.restored + back.already_right, back.as_of, back.unheard)


def _after_verify(read: model.VerifySummary, damaged: bool, screen: str, key: Key) -> str:
    if damaged:
        return f"next: repair it ({key(f'{screen}.repair')})"
    if read.missing or read.changed or read.new:
        return f"next: update the sources ({key('sources.update')}), or back up onto it ({key('targets.back-up')})"
    return f"{files(read.left)} not read yet; run it again to continue" if read.left else ""
