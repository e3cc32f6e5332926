"""Seeded sessions for pictures and tests: damaged, hostile and large shelves beside the made-up one of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medback_core.session import open_session
from medback_core.session.files import ensure_directory
from medback_core.session.rollup import refresh_oldest
from medback_core.session.sources import find_source, save_source
from medback_core.model import Trouble
from support.stored import Seen, put_file
import made_up_shelf
from made_up_shelf import DAY, NOW, add_copies, add_files, add_source, add_target, identity

__all__ = ["NOW", "damaged", "hostile", "large", "small", "years"]


def made_once(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """The second session of a kind is a copy of the first one's DB."""
    made: list[bytes] = []

    def copied(path: Path) -> Path:
        if made:
            path.write_bytes(made[0])
        else:
            made.append(make(path).read_bytes())
        return path

    return copied


small = made_once(made_up_shelf.small)
years = made_once(made_up_shelf.years)


@made_once
def damaged(path: Path) -> Path:
    """The small world after a bad night: damage, a refused update."""
    small(path)
    with open_session(path) as session:
        photos = find_source(session, "photos")
        add = Seen(b"map.pdf", identity("rot", 3_200_000), NOW * 10**9, 0o644, 1, 9, NOW * 10**9, Trouble.DAMAGED)
        with session.transaction():
            key = ensure_directory(session, photos.key, b"2024/lisbon")
            put_file(session, key, add)
        research = find_source(session, "research")
        save_source(session, replace(research, refused="it looks unmounted: it is empty, and its records say 39 files"))
    return path


HOSTILE = (
    b"a[b].jpg", b"[red]red[", b"[", b"[$x]", b"[@click=app.quit]x", b"\x1b[2J\x1b[31mesc", b"line\nbreak",
    b"tab\there",     b"bad-\xff\xfe-utf8", "rtl-\u202egpj.exe".encode(), "zero\u200bwidth".encode(), b"bell\x07",
    "c1-\u009b31m".encode(), b" leading and trailing ", "wide-\u65e5\u672c\u8a9e\u5199\u771f.jpg".encode(),
    "comb-e\u0301\u0301\u0301\u0301.txt".encode(), "emoji-\U0001f468\u200d\U0001f469\u200d\U0001f467.png".encode(),
    b"x" * 255, "sep-\u2028-line".encode(), b"$(rm -rf ~)`x`'\"", b"\\x1b",
    "surrogate-\udcff".encode("utf-8", "surrogateescape"),
    b"{mustache} %s %n", b"-rf", "\ufeffbom".encode(), b"..hidden", "\u0430lias".encode(),
)  # fmt: skip


@made_once
def hostile(path: Path) -> Path:
    """A source, a drive and files whose names want to break the screen."""
    with open_session(path) as session:
        source = add_source(session, "h0st1le00000", "evil[/b]\x1b[31m", b"/home/[bold]x\xff\x1b]0;t\x07")
        target = add_target(session, "h0st1le1target", "[b]drive\u202e\x1b[2J", path=b"/media/\xff[/]\n")
        keys = add_files(session, source, b"", [(name, 1000 + n) for n, name in enumerate(HOSTILE)])
        for n, name in enumerate(HOSTILE):
            add_files(session, source, name + b"-d", [(name, 5000 + n)])
        add_files(session, source, b"a[", [(b"b].jpg", 77), (b"red]", 78)])
        add_copies(session, target, keys[::2])
    return path


def large(path: Path, files: int = 20_000, *, per_directory: int = 5_000) -> Path:
    """Many files, in directories far larger than any screen."""
    with open_session(path) as session:
        source = add_source(session, "l4rge0000000", "archive", b"/srv/archive")
        drives = [add_target(session, f"dr1ve{n:07d}", f"Shelf {n}", seen_at=NOW - n * DAY) for n in range(1, 9)]
        for number in range(files // per_directory):
            rows = [
                (b"frame-%07d.dpx" % (number * per_directory + n), 12_000_000 + n * 13) for n in range(per_directory)
            ]
            keys = add_files(session, source, b"reel-%03d" % number, rows)
            add_copies(session, drives[number % 8], keys)
            add_copies(session, drives[(number + 3) % 8], keys[: per_directory // 2], days=90)
        with session.transaction():
            refresh_oldest(session.db)
    return path
