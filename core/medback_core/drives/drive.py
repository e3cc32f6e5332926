"""A target's drive, open; and what its identity file says of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from medback_core import disk, names
from medback_core.errors import DriveGone, Refused
from medback_core.model import TARGET_IDENTITY_NAME, Target
from medback_core.session import Session, aliases_of, folders, target_by_id
from medback_core.sidecar import (
    TargetIdentity,
    family_target_id,
    is_whole,
    parse_target_identity,
    render_target_identity,
)

IDENTITY_LIMIT = 1 << 20
FAMILY_NAMES = (b".bkp_id", b".mdbackup.xml")


@dataclass(slots=True)
class Drive:
    """A target's drive, open and locked. A drive nobody made a target has an empty `identity.id`."""

    root: disk.Root
    target: Target
    filesystem: disk.FileSystem
    identity: TargetIdentity
    is_new: bool = False
    writable: bool = True
    doubtful: bool = False  # a clone that is only read: nothing of what lies there says anything of the target
    notes: list[str] = field(default_factory=list)  # what a person should be told about it

    def true_place(self, path: bytes) -> tuple[str, bytes] | None:
        """Which path of which source (by id) lies at a path of the drive, when no record says otherwise."""
        folder, _, rest = path.partition(b"/")
        for name, source_id in self.identity.folders:
            if name == folder and rest:
                return source_id, rest
        return None

    def check(self) -> None:
        """Raise DriveGone when the path no longer leads to this drive: asked before every batch."""
        if not self.root.is_same_drive():
            shown = names.display_name(self.root.path)
            raise DriveGone(f"{shown} is no longer the drive it was; nothing more was written")


def read_identity(root: disk.Root) -> TargetIdentity | None:
    """What the drive says it is; None when it says nothing. An unreadable identity has the id ""."""
    try:
        data = disk.read_own(root, TARGET_IDENTITY_NAME, IDENTITY_LIMIT, is_whole)
    except FileNotFoundError:
        return None
    except OSError as error:
        shown = names.display_name(root.path)
        raise Refused("identity-unreadable", f"the identity of {shown}: {error.strerror}") from error
    return parse_target_identity(data)


def identity_at(path: bytes) -> TargetIdentity | None:
    """Like `read_identity`, by path; None also when the path can't be read at all."""
    try:
        with disk.Root(path) as root:
            return read_identity(root)
    except (OSError, Refused):
        return None


def family_ids(root: disk.Root) -> list[str]:
    """The ids other programs of the family gave it."""
    found = []
    for name in FAMILY_NAMES:
        try:
            identifier = family_target_id(name, root.read_whole(name, IDENTITY_LIMIT))
        except OSError:
            continue
        if identifier is not None and identifier not in found:
            found.append(identifier)
    return found


def write_identity(session: Session, drive: Drive) -> None:
    """Bring the identity file in line with what is known of the target. Raises Refused when it can't be written."""
    target = drive.target
    known = target_by_id(session, target.id)
    also = set(drive.identity.also) | set(aliases_of(session, known.key) if known else ())
    kept = {source: folder for folder, source in drive.identity.folders}
    kept.update(folders(session, known.key) if known else {})
    drive.identity = replace(
        drive.identity,
        id=target.id,
        label=target.label,
        created=target.created if drive.identity.created is None else drive.identity.created,
        state=target.state,
        capacity=target.capacity,
        rev=target.rev,
        fs_uuid=drive.filesystem.uuid,
        also=tuple(sorted(also)),
        folders=tuple(sorted((folder, source) for source, folder in kept.items())),
    )
    try:
        disk.write_whole(drive.root, TARGET_IDENTITY_NAME, render_target_identity(drive.identity))
    except OSError as error:
        raise Refused(
            "not-writable", f"{names.display_name(drive.root.path)} cannot be written: {error.strerror}"
        ) from error
