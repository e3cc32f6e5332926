"""What to tell a person when a job has ended: how it went, in one line, and what to do next."""

from __future__ import annotations

from medback_core import model
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.telling import all_back
from medback_core.presenting.units import files, name, plural, size
from medback_tui.jobs.queue import Job, JobState
from medback_tui.look.words import counted

# What gets a person out of a refusal, by its kind. The message itself says what is wrong.
WAYS_OUT = {
    "locked": "wait until the other medback has finished, then try again",
    "overlap": "choose a directory that lies in no source and on no target",
    "not-mounted": "mount it, then try again",
    "source-empty": "plug its drive in, then update again",
    "too-many-deletions": "if that is right: A on screen 1 accepts it",
    "too-many-changes": "if that is right: A on screen 1 accepts it",
    "not-plugged-in": "plug the drive in, then try again",
    "not-a-target": "n on screen 2 makes a new target",
    "read-only": "mount it writable, or choose another drive",
    "not-writable": "look at its permissions, or choose another drive",
    "no-such-path": "choose one that exists",
    "not-a-directory": "choose a directory",
    "bad-context": "choose another file: each drive carries one, .medback-context.xml",
    "not-this-source": "choose the directory it was moved to: it carries its .medback-source.xml",
    "alias-taken": "choose another name",
    "session-read-only": "look at the permissions of the session DB, or use another --session-db",
    "session-full": "free some room on the disk the session DB lies on",
}


def outcome(job: Job) -> tuple[str, str, str]:
    """(level, headline, what next) of a job that is over. Level is `done`, `partly` or `failed`."""
    if job.state is JobState.STOPPED:
        return "partly", f"{job.title}: stopped; what was done is kept", "run it again to go on where it stopped"
    if job.state is JobState.REFUSED:
        assert job.error is not None
        kind = getattr(job.error, "kind", "")
        return "failed", f"{job.title}: {name(str(job.error))}", WAYS_OUT.get(kind, "nothing was changed")
    if job.state is JobState.FAILED:
        if job.crash:
            return "failed", f"{job.title}: a bug in medback: {name(str(job.error))}", "the log (L) has all of it"
        return "failed", f"{job.title}: {name(str(job.error))}", "the log (L) says more"
    headline, advice = _of_summary(job)
    troubles = _troubles(job)
    if job.counts["DamageFound"]:
        words = headline if isinstance(job.summary, model.VerifySummary) else f"{headline}; {troubles}"
        return "failed", words, advice or "the log (L) lists them"
    if job.counts["SourceRefused"]:
        advice = "what was refused is kept as it was; screen 1 says why, and what to do"
    if troubles:
        return "partly", f"{headline}; {troubles}", advice or "the log (L) lists them"
    return "done", headline, advice


def _troubles(job: Job) -> str:
    said = (
        ("DamageFound", "damaged file", "damaged files"),
        ("Skipped", "skipped", "skipped"),
        ("SourceRefused", "source refused", "sources refused"),
        ("Conflict", "conflict", "conflicts"),
    )
    return ", ".join(plural(job.counts[kind], one, many) for kind, one, many in said if job.counts[kind])


def _of_summary(job: Job) -> tuple[str, str]:
    match job.summary:
        case model.BackupSummary() as backup:
            return _of_backup(job, backup)
        case model.ScanSummary() as scan:
            return _of_scan(job, [scan])
        case model.DiscoverSummary() as found:
            words = f"{job.title}: {files(found.newly_marked)} recognised, {files(found.unknown)} unknown"
            return words, "verify it (v) to be sure of what lies there" if found.newly_marked else ""
        case model.RestoreSummary() as back:
            return _of_restore(job, back)
        case model.VerifySummary() as read:
            return _of_verify(job, read)
        case model.RepairSummary() as repaired:
            left = f", {repaired.unrepairable:,} not" if repaired.unrepairable else ""
            words = f"{job.title}: {files(repaired.repaired)} repaired{left}"
            return words, "the log (L) says which drive would help" if left else "the damaged ones are kept aside"
        case model.ReclaimSummary() as freed:
            return f"{job.title}: {files(freed.freed)} gone, {size(freed.freed_bytes)} freed", ""
        case model.ProveSummary() as proof:
            words = f"{job.title}: {files(proof.compared)} compared byte by byte"
            return words + (f", {proof.differing:,} differ" if proof.differing else ", all the same"), ""
        case model.UpdateSummary(scans):
            return _of_scan(job, list(scans))
        case model.RebuildSummary(scans):
            unhashed = sum(scan.unhashed for scan in scans)
            words, _ = _of_scan(job, list(scans))
            return (
                words,
                f"{files(unhashed)} have no hash yet: U updates" if unhashed else "plug in your drives one by one",
            )
        case model.ContextSummary() as context:
            words = f"{job.title}: {files(context.files)} in {plural(context.sources, 'source')}"
            return words, "screen 4 says which drives bring them back" if job.kind == "add-restore-context" else ""
    return f"{job.title}: done", "u updates it: other files are left out now" if job.details.get("rescan") else ""


def _of_verify(job: Job, read: model.VerifySummary) -> tuple[str, str]:
    words = f"{job.title}: {counted(model.Count(read.checked, read.checked_bytes))} read"
    states = [
        f"{count:,} {state}"
        for count, state in (
            (read.damaged, "damaged"), (read.unreadable, "unreadable"), (read.missing, "missing"),
            (read.changed, "changed"), (read.new, "new"),
        )
        if count
    ]  # fmt: skip
    words += f", {', '.join(states)}" if states else ", all as recorded"
    if read.left:
        words += f"; {files(read.left)} to go"
    if read.damaged or read.unreadable:
        return words, "next: p repairs it from where a good copy is"
    return words, "next: an update (u) or a backup (b) takes it up" if states else ""


def _of_scan(job: Job, scans: list[model.ScanSummary]) -> tuple[str, str]:
    if not scans:
        return f"{job.title}: nothing was updated", "what was refused is kept as it was; screen 1 says why"
    total = model.Count(sum(s.files for s in scans), sum(s.bytes for s in scans))
    changes = ", ".join(
        f"{count:,} {word}"
        for word, count in (
            ("new", sum(s.added for s in scans)),
            ("changed", sum(s.changed for s in scans)),
            ("moved", sum(s.moved for s in scans)),
            ("gone", sum(s.removed for s in scans)),
        )
        if count
    )
    advice = "next: press 2 and choose a drive to back it up onto" if job.kind == "add-src" else ""
    return f"{job.title}: {counted(total)}{'; ' + changes if changes else '; nothing changed'}", advice


def _of_backup(job: Job, backup: model.BackupSummary) -> tuple[str, str]:
    words = f"{job.title}: {files(backup.copied)} copied, {size(backup.copied_bytes)}"
    if not backup.remaining:
        return words, f"everything has its wanted copies{as_of(backup.looked)}{but_for(backup.looked)}"
    left = f"{counted(model.Count(backup.remaining, backup.remaining_bytes))} still not safe"
    if backup.full:
        return words, f"{left}: this drive is full, plug in another"
    return words, f"{left}: back up onto another drive"


def _of_restore(job: Job, back: model.RestoreSummary) -> tuple[str, str]:
    right = f", {files(back.already_right)} already right" if back.already_right else ""
    words = f"{job.title}: {files(back.restored)} restored, {size(back.restored_bytes)}{right}"
    if back.conflicts:
        return words, "decide the conflicts (c on screen 4)"
    if back.next is not None:
        brings = counted(model.Count(back.next.files, back.next.bytes))
        return words, f"next: plug in {name(back.next.target.name)} ({brings})"
    if back.missing:
        return words, f"{counted(model.Count(back.missing, back.missing_bytes))} missing, and no drive has them"
    return words, all_back(back.restored + back.already_right, back.as_of, back.unheard)
