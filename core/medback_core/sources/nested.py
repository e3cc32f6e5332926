"""What is mounted inside a source and which of it is read, by the mount table, before anything there is looked at."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from medback_core import disk
from medback_core.disk import mounts
from medback_core.disk.mounts import MountEntry
from medback_core.model import TARGET_IDENTITY_NAME, Source
from medback_core.session import Session
from medback_core.session.gaps import nested_mounts
from medback_core.session.targets import list_targets
from medback_core.sources.excludes import Patterns

PSEUDO = frozenset(  # they show what the running system is like: no files that anybody keeps
    {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "cpuset", "securityfs", "debugfs", "tracefs",
     "pstore", "bpf", "configfs", "mqueue", "hugetlbfs", "efivarfs", "binfmt_misc", "rpc_pipefs", "nsfs", "fusectl",
     "selinuxfs"}
)  # fmt: skip
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_LOCAL = frozenset({"btrfs", "zfs", "bcachefs", "fuseblk"})  # their device numbers don't say that they are local
_REMOVABLE_PLACES = (b"/media/", b"/run/media/", b"/mnt/", b"/Volumes/")
_SNAPSHOTS = frozenset({b".snapshots", b".zfs"})
SUBVOLUME = "a btrfs subvolume; the source keeps to one file system"
OTHER = "another file system"


class Fate(enum.Enum):
    """What becomes of a place where something else is mounted."""

    READ = enum.auto()
    LEFT_OUT = enum.auto()  # by rule, or by the person's word
    GAP = enum.auto()  # not read until the person has answered
    AWAY = enum.auto()  # a gap: what belongs to the source there is not there now, its records stay


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A place inside a source where something else is mounted, or was. `fs_uuid`: of what is read."""

    fate: Fate
    reason: str = ""
    fs_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Nested:
    """All such places of one source, by their path relative to it."""

    places: Mapping[bytes, MountPoint] = field(default_factory=dict)
    mounts: Mapping[bytes, MountEntry] = field(default_factory=dict)
    home: str = ""  # the kind of the source's own file system

    def unasked(self, rel: bytes) -> frozenset[bytes]:
        """The names in a directory that must not even be looked at."""
        found = [path for path, place in self.places.items() if place.fate is not Fate.READ]
        unasked = {name for path in found for parent, _, name in (path.rpartition(b"/"),) if parent == rel}
        if self.kind(rel) == "zfs" and (not rel or rel in self.mounts):
            unasked.add(b".zfs")
        return frozenset(unasked)

    def kind(self, rel: bytes) -> str:
        """The kind of the file system that a path lies on, as far as the mount table says."""
        while rel:
            if rel in self.mounts:
                return self.mounts[rel].kind
            rel = rel.rpartition(b"/")[0]
        return self.home

    def within(self, rel: bytes) -> bytes:
        """A path relative to the root of the file system it lies on, or to the source's."""
        top = rel
        while top and top not in self.mounts:
            top = top.rpartition(b"/")[0]
        return rel[len(top) :].lstrip(b"/")

    @property
    def away(self) -> list[bytes]:
        """Places of the source that are not there now, or that something else lies over."""
        return [path for path, place in self.places.items() if place.fate is Fate.AWAY]


def look_inside(session: Session, source: Source, device: int) -> Nested:
    """Decide on every place inside a source where something is mounted or was. `device`: the st_dev of its root.

    Only what is local, or belongs to the source by the person's word, is looked at.
    """
    top, table = os.path.realpath(source.path), mounts.mount_table()
    inside = mounts.mounts_inside(top, device, table)
    home = mounts.mount_of(top, device, table)
    known, patterns = nested_mounts(session, source.key), Patterns(source.excludes)
    places: dict[bytes, MountPoint] = {}
    for path, entry in inside.items():
        if patterns.match(path, directory=True):
            places[path] = MountPoint(Fate.LEFT_OUT, "excluded by a pattern")
        elif path in known:
            places[path] = _known(session, path, entry, known[path])
        else:
            places[path] = _new(source, top, path, entry)
    for path in known.keys() - inside.keys():
        if not patterns.match(path, directory=True) and table:
            places[path] = MountPoint(Fate.AWAY, "nothing is mounted there: is its drive not plugged in?")
    return Nested(places, inside, "" if home is None else home.kind)


def away_from(session: Session, source: Source, root: disk.Root | None) -> list[bytes]:
    """Places of an open source whose drive is not there now: nothing is to be written there, nor below."""
    if root is None or not nested_mounts(session, source.key):
        return []
    return look_inside(session, source, root.device).away


def _known(session: Session, path: bytes, entry: MountEntry, uuid: str) -> MountPoint:
    """A place that belongs to the source: is what it was taken in as mounted there?"""
    if entry.kind == "autofs":
        return MountPoint(Fate.AWAY, "nothing is mounted there now")
    if any(target.path == entry.point for target in list_targets(session)) and _is_target(entry.point):
        return MountPoint(Fate.GAP, "a backup target")
    there = mounts.file_system_name(entry)
    if uuid and disk.same_uuid(uuid, there) is False:
        return MountPoint(Fate.AWAY, "another drive is mounted there than the one that was read")
    return MountPoint(Fate.READ, fs_uuid=there)


def _new(source: Source, top: bytes, path: bytes, entry: MountEntry) -> MountPoint:
    """A place without a decision."""
    kind = entry.kind
    if kind in PSEUDO:
        return MountPoint(Fate.LEFT_OUT, f"a pseudo file system ({kind})")
    if path.rpartition(b"/")[2] in _SNAPSHOTS or (kind == "zfs" and b"@" in entry.source):
        return MountPoint(Fate.LEFT_OUT, "snapshots")
    if source.one_file_system:
        return MountPoint(Fate.LEFT_OUT, f"{OTHER} ({kind})")
    why = _question(top, entry)
    if why is None and source.one_file_system is None:
        why = f"{OTHER} ({kind})"  # a source of before this: nothing is read unasked
    if why is None and kind == "btrfs" and mounts.is_read_only_subvolume(entry.point):
        return MountPoint(Fate.LEFT_OUT, "a read-only snapshot")
    if why is None and _is_target(entry.point):
        why = "a backup target"
    return MountPoint(Fate.GAP, why) if why else MountPoint(Fate.READ, fs_uuid=mounts.file_system_name(entry))


def _question(top: bytes, entry: MountEntry) -> str | None:
    """Why a person must say whether a mount belongs to a source; None where it does without. By the table alone."""
    kind = entry.kind
    if kind in mounts.NETWORK:
        return f"a network file system ({kind})"
    if kind in _IN_MEMORY:
        return f"a file system in memory ({kind})"
    if kind == "autofs":
        return "an automount point"
    if kind == "overlay":
        return "an overlay"
    if kind.startswith("fuse") and kind != "fuseblk":
        return f"a FUSE file system ({kind})"
    local = kind in _LOCAL or entry.source.startswith(b"/dev/") or (sys.platform != "win32" and os.major(entry.device))
    if not local:
        return f"a file system of a kind medback does not know ({kind})"
    if any(entry.point.startswith(place) and not top.startswith(place) for place in _REMOVABLE_PLACES):
        return "a removable drive"
    if mounts.is_on_removable_disk(mounts.block_device(entry.device, entry.source)):
        return "a removable drive"
    return None


def _is_target(point: bytes) -> bool:
    return os.path.lexists(os.path.join(point, TARGET_IDENTITY_NAME))
