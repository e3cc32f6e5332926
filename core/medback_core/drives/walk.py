"""Walk a drive directory by directory: its ordinary files, and what the sidecar there says of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from medback_core import disk
from medback_core.drives.drive import Drive, begin_change
from medback_core.drives.sidecars import read_target_sidecar
from medback_core.errors import DriveGone
from medback_core.model import (
    EXPLANATION,
    FAMILY_SIDECAR_NAME,
    FREEING_PREFIX,
    OLD_DIRECTORY,
    SIDECAR_NAME,
    TARGET_IDENTITY_NAME,
    TEMPORARY_PREFIX,
    Event,
    Excluded,
    Reason,
    Skipped,
    Warned,
    is_metadata,
)
from medback_core.session.files import join
from medback_core.sidecar import SIDECAR_LIMIT, Sidecar, is_whole, parse_family
from medback_core.sources.entries import cannot_read


@dataclass(frozen=True, slots=True, eq=False)
class DriveDirectory:
    """One directory of a drive: its regular files but medback's own, in name order, and its sidecar."""

    rel: bytes
    files: list[tuple[bytes, os.stat_result]]
    sidecar: Sidecar


def path_on(drive: Drive | disk.Root, rel: bytes) -> bytes:
    """The absolute path of something on a drive."""
    root = drive.root if isinstance(drive, Drive) else drive
    return os.path.join(root.path, rel) if rel else root.path


def walk_drive(root: disk.Root, *, family: bool, clean: Drive | None = None) -> Iterator[DriveDirectory | Event]:
    """Every directory of a drive in path order, `.medback-old` last; with `family`, a `.medorg.xml` speaks where there
    is no sidecar; with `clean`, the same drive, what a killed run left is removed. Links are not followed, other file
    systems mounted inside are left out, and other targets. What can't be read is Skipped; raises DriveGone when the
    drive stops answering."""
    for here, entries, failure in root.walk():
        if failure is not None:
            if not root.is_same_drive():
                raise DriveGone("drive-gone/stopped", path=root.path) from failure
            yield cannot_read(here, path_on(root, here), failure)
        if here and TARGET_IDENTITY_NAME in entries:
            yield Excluded(path_on(root, here), "a target of its own")
            entries.clear()
            continue
        files: list[tuple[bytes, os.stat_result]] = []
        has = {SIDECAR_NAME, FAMILY_SIDECAR_NAME}.intersection(entries)
        temporary: list[bytes] = []
        freeing: list[bytes] = []
        for name, status in list(entries.items()):
            if isinstance(status, OSError):
                yield Skipped(path_on(root, join(here, name)), Reason.system(status))
            elif name.startswith(FREEING_PREFIX) and clean and stat.S_ISREG(status.st_mode):
                freeing.append(name)
            elif is_metadata(name) and (here or name != OLD_DIRECTORY) and not name.startswith(FREEING_PREFIX):
                del entries[name]
                if name.startswith(TEMPORARY_PREFIX):
                    temporary.append(name)
            elif stat.S_ISREG(status.st_mode):
                if here or name not in EXPLANATION:
                    files.append((name, status))
            elif stat.S_ISDIR(status.st_mode):
                if status.st_dev != root.device:
                    yield Excluded(path_on(root, join(here, name)), "another file system")
            elif not stat.S_ISLNK(status.st_mode):
                yield Excluded(path_on(root, join(here, name)), "no ordinary file")
        if not here and OLD_DIRECTORY in entries:
            entries[OLD_DIRECTORY] = entries.pop(OLD_DIRECTORY)  # the last
        sidecar = Sidecar()
        try:
            if clean and temporary and SIDECAR_NAME in disk.clean_temporaries(root, here, temporary, is_whole).adopted:
                has.add(SIDECAR_NAME)
            if SIDECAR_NAME in has:
                sidecar = read_target_sidecar(root, here) or sidecar
            elif family and FAMILY_SIDECAR_NAME in has:
                sidecar = parse_family(root.read_whole(join(here, FAMILY_SIDECAR_NAME), SIDECAR_LIMIT))
            if freeing and clean:
                there = [*freeing, *(name for name, _ in files)]
                begin_change(clean)
                given = disk.put_back(root, here, there, sidecar.files)
                files += [(name, status) for name in given if (status := root.stat(join(here, name))) is not None]
        except OSError as error:
            yield Skipped(path_on(root, join(here, SIDECAR_NAME)), Reason.system(error))
        if sidecar.damage:
            yield Warned("sidecar-damaged", path=path_on(root, join(here, SIDECAR_NAME)), damage=sidecar.damage)
        files.sort(key=lambda entry: entry[0])
        yield DriveDirectory(here, files, sidecar)
