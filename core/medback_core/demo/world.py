"""Build a small real world to try medback on: real files, drawn pictures, and drives too small for all of it."""

from __future__ import annotations

import math
import os
import random
import stat
import struct
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medback_core import disk
from medback_core.errors import Refused

SESSION_NAME = "session"
SOURCES = (b"home/library", b"home/pictures")
DRIVES = (("blue", "Blue Seagate"), ("red", "Red Toshiba"), ("tin", "Tin of USB sticks"))
SHARE = 0.8  # of all content that one drive may hold: together twice over, none of them alone

_CODE = ("asyncio", "collections", "concurrent", "email", "html", "http", "json", "logging", "multiprocessing", "xml")
_TEXT = ("pydoc_data", "idlelib", "encodings")
_CODE_MOST = 5 << 20
_TEXT_MOST = 3 << 20
_BINARY_MOST = 8 << 20
_FILE_MOST = 4 << 20
_WIDTH, _HEIGHT = 400, 260
_ALBUMS = (("2022/oslo", 5), ("2023/harbour", 6), ("2024/lisbon", 8), ("2024/Ærø – sommer", 5))


@dataclass(frozen=True, slots=True)
class DemoTarget:
    """A directory that plays a drive; `capacity` in bytes."""

    path: bytes
    label: str
    capacity: int


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Where everything of a demo lies."""

    directory: Path
    session_path: Path
    sources: tuple[bytes, ...]
    targets: tuple[DemoTarget, ...]


def is_demo(directory: Path) -> bool:
    """Whether a demo world was built there before."""
    return (directory / SESSION_NAME).is_file() and (directory / "home").is_dir() and (directory / "drives").is_dir()


def open_place(directory: Path) -> disk.Root:
    """Make the directory a demo is built in, and open it. Raises Refused where it holds anything."""
    path = os.path.abspath(os.fsencode(directory))
    try:
        root = disk.Root.made(path)
        if next(root.scan(b""), None) is not None:
            root.close()
            raise Refused("not-empty", path=path)
    except OSError as error:
        raise Refused("bad-path/demo", path=path, error=error.strerror) from error
    return root


def write_world(root: disk.Root) -> DemoWorld:
    """Fill an empty place with the sources and the empty drives."""
    sizes: dict[bytes, int] = {}  # by content, as a drive holds it once
    with disk.Group(root) as group:
        for rel, data, mode in (*_library(), *_pictures()):
            group.stage_bytes(rel, data, mode=mode)
            sizes[zlib.crc32(data).to_bytes(4, "big") + data[:64]] = len(data)
        group.publish_all()
    disk.make_symlink(root, b"home/pictures/latest", b"2024/lisbon")
    capacity = int(SHARE * sum(sizes.values()))
    targets = []
    for name, label in DRIVES:
        rel = b"drives/" + name.encode()
        root.make_directories(rel)
        targets.append(DemoTarget(os.path.join(root.path, rel), label, capacity))
    disk.sync_drive(root)
    directory = Path(os.fsdecode(root.path))
    sources = tuple(os.path.join(root.path, source) for source in SOURCES)
    return DemoWorld(directory, directory / SESSION_NAME, sources, tuple(targets))


# --- the library: copies of real files of this machine ----------------------------------------------------------------


def _library() -> Iterator[tuple[bytes, bytes, int]]:
    standard = sysconfig.get_path("stdlib")
    code = [path for package in _CODE for path in _files(os.path.join(standard, package), (".py",))]
    code += _files(standard, (".py",), deep=False)
    text = [path for package in _TEXT for path in _files(os.path.join(standard, package), (".py", ".txt", ".html"))]
    binaries = _files(standard, (".so", ".pyd", ".dylib", ".dll"))
    for path in _files(sysconfig.get_path("platlib"), (".so", ".pyd", ".dylib")):
        binaries.append(path)
    for folder, paths, most in (
        ("code", code, _CODE_MOST),
        ("text", text, _TEXT_MOST),
        ("binaries", binaries, _BINARY_MOST),
    ):
        seen: set[str] = set()
        for path in paths:
            size = os.path.getsize(path)
            inside = os.path.relpath(path, standard) if path.startswith(standard + os.sep) else os.path.basename(path)
            if size > min(_FILE_MOST, most) or inside in seen:
                continue
            seen.add(inside)
            most -= size
            with open(path, "rb") as file:
                yield b"home/library/%s/" % folder.encode() + os.fsencode(inside), file.read(), 0o666
    yield b"home/library/README.txt", b"Copies of files of this machine's Python, to try medback on.\n", 0o666


def _files(directory: str, endings: tuple[str, ...], *, deep: bool = True) -> list[str]:
    """The regular files below (or directly in) a directory with one of these endings, in a fixed order."""
    found = []
    for where, directories, files in os.walk(directory):
        directories[:] = sorted(d for d in directories if deep and d not in ("__pycache__", "site-packages", "test"))
        for name in sorted(files):
            path = os.path.join(where, name)
            if name.endswith(endings) and stat.S_ISREG(os.lstat(path).st_mode):
                found.append(path)
    return found


# --- the pictures: drawn here ---------------------------------------------------------------------------------------


def _pictures() -> Iterator[tuple[bytes, bytes, int]]:
    seed = 0
    for album, count in _ALBUMS:
        for number in range(1, count + 1):
            seed += 1
            data = draw_picture(seed)
            yield f"home/pictures/{album}/IMG_{seed:04d}.png".encode(), data, 0o666
            if album == "2024/lisbon" and number == 3:
                yield b"home/pictures/best of/tram 28.png", data, 0o666  # one content under two names


def draw_picture(seed: int) -> bytes:
    """A valid PNG of a landscape: sky, sun and hills of its own; stored, not packed, so as large as a photo is."""
    dice = random.Random(seed)
    top = [dice.randrange(20, 120), dice.randrange(60, 160), dice.randrange(140, 256)]
    low = [dice.randrange(180, 256), dice.randrange(120, 220), dice.randrange(90, 180)]
    hill = bytes((dice.randrange(10, 60), dice.randrange(60, 130), dice.randrange(20, 80)))
    sun_x, sun_y, sun = dice.randrange(60, 340), dice.randrange(40, 120), dice.randrange(18, 40)
    waves = [(dice.uniform(10, 40), dice.uniform(40, 130), dice.uniform(0, 6)) for _ in range(3)]
    ridge = [int(185 + sum(a * math.sin(x / b + c) for a, b, c in waves) / 2) for x in range(_WIDTH)]
    rows = []
    for y in range(_HEIGHT):
        share = y / _HEIGHT
        sky = bytes(int(a + (b - a) * share) for a, b in zip(top, low, strict=True))
        row = bytearray(sky * _WIDTH)
        if abs(y - sun_y) <= sun:
            half = int(math.sqrt(sun * sun - (y - sun_y) ** 2))
            row[3 * (sun_x - half) : 3 * (sun_x + half)] = b"\xff\xf0\xb0" * (2 * half)
        if y >= min(ridge):
            for x in range(_WIDTH):
                if y >= ridge[x]:
                    row[3 * x : 3 * x + 3] = hill
        rows.append(b"\0" + bytes(row))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows), level=0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
