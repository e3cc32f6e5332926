"""Moving a file that is in the way, never over another: beside its name, or into `.medback-damaged/`."""

from __future__ import annotations

import os
import re
import stat
from itertools import count

from medback_core import disk, model
from medback_core.model import DAMAGED_DIRECTORY
from medback_core.names import COMPONENT_MAX
from medback_core.session.files import join

_EXTENSION_MAX = 32


def beside_name(name: bytes, words: bytes, number: int = 1) -> bytes:
    """`holiday (medback 20261124-035300).jpg`: words before the extension, cut to what a name can hold."""
    stem, extension = os.path.splitext(name)
    if len(extension) > _EXTENSION_MAX:
        stem, extension = name, b""
    tail = b" (" + words + b")" + (b"-%d" % number if number > 1 else b"") + extension
    room = COMPONENT_MAX - len(tail)
    if len(stem) > room:
        stem = stem[:room].decode("utf-8", "surrogateescape").encode("utf-8", "surrogateescape")
        while stem and (stem[-1] & 0xC0) == 0x80:  # never half a character at the end
            stem = stem[:-1]
        if stem and stem[-1] >= 0xC0:
            stem = stem[:-1]
    return stem + tail


def is_beside(candidate: bytes, name: bytes, words: bytes) -> bool:
    """Whether `candidate` is a name `beside_name` gives to `name`, with any date in place of the one in `words`."""
    if b" (" not in candidate:
        return False
    kind = words.rpartition(b" ")[0]
    stem, _, extension = beside_name(name, words).partition(b" (" + words + b")")
    pattern = re.escape(stem) + rb" \(" + re.escape(kind) + rb" [0-9]{8}-[0-9]{6}\)(-[0-9]+)?" + re.escape(extension)
    return re.fullmatch(pattern, candidate, re.DOTALL) is not None


def beside(rel: bytes, words: bytes, root: disk.Root) -> bytes:
    """A path beside `rel` at which nothing is yet. Raises OSError(EEXIST) when there is none."""
    directory, name = root.split(rel)
    return disk.free_name((join(directory, beside_name(name, words, number)) for number in count(1)), root.stat)


def set_aside(root: disk.Root, paths: list[bytes], words: bytes) -> tuple[dict[bytes, bytes], dict[bytes, OSError]]:
    """Move each of these (a directory with all in it) to a name beside it, durably, never over anything: (path -> where
    it is now, path -> why not).

    What is gone meanwhile needs no moving. Where one sync makes all names durable, they are moved together.
    """
    moved: dict[bytes, bytes] = {}
    failed: dict[bytes, OSError] = {}
    together = root.file_system.group_sync
    for rel in paths:
        try:
            where = beside(rel, words, root)
            if together:
                directory, name = root.split(rel)
                with root.directory(directory) as handle:
                    disk.primitives.rename_noreplace(handle, name, handle, os.path.basename(where))
                root.forget_directory(rel)
            else:
                disk.move(root, rel, where)
            moved[rel] = where
        except FileNotFoundError:
            continue
        except OSError as error:
            failed[rel] = error
    if together and moved:
        try:
            disk.sync_drive(root)
        except OSError as error:
            for rel, where in moved.items():
                move_back(root, where, rel)
                failed[rel] = error
            moved = {}
    return moved, failed


def clear_way(root: disk.Root, directory: bytes, words: bytes) -> None:
    """Move aside what stands where a directory should be, or one above it. Raises OSError."""
    above = directory.rpartition(b"/")[0]
    if above:
        clear_way(root, above, words)
    status = root.stat(directory)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        _, failed = set_aside(root, [directory], words)
        for error in failed.values():
            raise error


def move_back(root: disk.Root, where: bytes, rel: bytes) -> bool:
    """Give what was set aside its name back, unless something is there; whether that was done. It is kept anyway."""
    try:
        disk.move(root, where, rel)
    except OSError:
        return False
    return True


def keep_damaged_file(root: disk.Root, path: bytes) -> None:
    """Move a damaged file, where there is one, into `.medback-damaged/DATE/`, under its own path. Raises OSError."""
    if root.stat(path) is None:
        return
    stamp = model.date_stamp(model.now()).encode()
    goals = (join(join(DAMAGED_DIRECTORY, dated), path) for dated in disk.numbered(stamp))
    disk.move(root, path, disk.free_name(goals, root.stat))
