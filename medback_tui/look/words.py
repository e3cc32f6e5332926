"""What the words on the screens mean."""

from __future__ import annotations

from medback_core import model

# What the words on the screens mean, in one sentence each.
STATES = {
    model.TargetState.ACTIVE: "active: in use; its copies count",
    model.TargetState.RETIRED: "retired: its copies do not count; you can still restore from it",
    model.TargetState.SUSPECT: "suspect: its copies do not count until it is verified; it is the last to restore from",
    model.TargetState.LOST: "lost: its copies are gone; when you plug it in again, it becomes suspect",
}
MEANINGS = (
    *STATES.values(),
    "verified: a copy that was read back and is right, and when",
    "written: a copy that is on the drive and was not read back",
    "listed: in the record, not checked yet; it does not count, but a restore looks there",
    "damaged: content that changed though size and time did not; it is never copied",
    "only here: files that no other drive has; they would be lost with it",
)
