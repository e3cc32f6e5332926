"""What the words on the screens mean."""

from __future__ import annotations

from medback_core import model
from medback_core.presenting.units import files, size

# What the words on the screens mean, in one sentence each.
STATES = {
    model.TargetState.ACTIVE: "active: its copies count, and it is backed up onto",
    model.TargetState.RETIRED: "retired: its copies no longer count; it can still be restored from",
    model.TargetState.SUSPECT: "suspect: its copies don't count until it is verified; restored from last",
    model.TargetState.LOST: "lost: its copies are gone; plugged in again, it is announced as found",
}
MEANINGS = (
    *STATES.values(),
    "verified: a copy that was read back equal, and when",
    "written: a copy that is on the drive and was not read back",
    "by hearsay: somebody's record says so; it does not count, but a restore asks there",
    "damaged: content that changed though size and time did not; it is never copied",
    "only here: what would be lost with a drive, since nothing else holds it",
)


def counted(count: model.Count) -> str:
    """`412 files, 38.2 GiB`."""
    return f"{files(count.files)}, {size(count.bytes)}"
