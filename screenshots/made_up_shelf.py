"""A made-up shelf for the pictures in the README: a session without any drive, its dates hanging on one moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from medback_core.model import Happened, HistoryEntry, Identity, Source, Standing, Target, TargetState
from medback_core.session import Session, open_session
from medback_core.session.copies import Copy, identity_key, record_copies
from medback_core.session.files import ensure_directory
from medback_core.session.history import note_event
from medback_core.session.rollup import refresh_oldest
from medback_core.session.scanning import put_files
from medback_core.session.sources import insert_source, save_source
from medback_core.session.targets import save_target

NOW = 1_795_493_153  # 2026-11-24
DAY = 86_400
GB = 10**9


def identity(seed: str, size: int) -> Identity:
    """A content that is always the same for a seed."""
    return Identity(size, hashlib.md5(seed.encode()).digest())


def add_files(session: Session, source: Source, directory: bytes, files: Iterable[tuple[bytes, int]]) -> list[int]:
    """Files of a directory as a scan would have put them there; returns their identities' keys."""
    keys = []
    with session.transaction():
        key = ensure_directory(session, source.key, directory)
        for name, size in files:
            mtime = (NOW - 400 * DAY + size % 1000) * 10**9
            content = identity(f"{source.id}/{directory!r}/{name!r}", size)
            put_files(session, key, [(name, *content, mtime, 0o644, 1, 7, mtime, 0, None)])
            keys.append(identity_key(session, content))
    return keys


def add_copies(
    session: Session, target: Target, keys: Iterable[int], *, standing: Standing = Standing.VERIFIED, days: int = 21
) -> None:
    """These contents lie on that target."""
    date = NOW - days * DAY if standing is Standing.VERIFIED else None
    record_copies(session, [Copy(key, target.key, standing, b"photos/%d" % key, None, date, True) for key in keys])


def add_target(session: Session, tid: str, label: str, **more: object) -> Target:
    """A known drive."""
    facts: dict[str, object] = {
        "seen_at": NOW - 21 * DAY, "verified_at": NOW - 21 * DAY, "total_bytes": 2000 * GB, "free_bytes": 1400 * GB,
        "path": b"/media/ada/" + label.split()[0].lower().encode(), "fs_type": "ext4",
    }  # fmt: skip
    facts.update(more)
    return save_target(session, Target(-1, tid, label, **facts))  # type: ignore[arg-type]


def add_source(session: Session, sid: str, alias: str, path: bytes, *, wanted: int = 2, days: int = 3) -> Source:
    """A source that was scanned."""
    source = insert_source(session, Source(-1, sid, alias, path, wanted))
    source = replace(source, scanned_at=NOW - days * DAY)
    save_source(session, source)
    return source


def small(path: Path) -> Path:
    """Two sources, three drives, every state of safety."""
    with open_session(path) as session:
        photos = add_source(session, "p4photos0000", "photos", b"/home/ada/photos")
        research = add_source(session, "r3search0000", "research", b"/home/ada/research", wanted=3, days=20)
        blue = add_target(session, "k3v9q2x8ab7m", "Blue Seagate 2T")
        red = add_target(
            session, "m8w2c5r1dd3q", "Red WD 1T", total_bytes=1000 * GB, free_bytes=90 * GB, seen_at=NOW - 2 * DAY
        )
        old = add_target(
            session, "z1x7t4n9kk2p", "Old Toshiba", state=TargetState.SUSPECT, total_bytes=500 * GB, free_bytes=20 * GB,
            verified_at=NOW - 500 * DAY, seen_at=NOW - 200 * DAY,
        )  # fmt: skip
        raw = add_files(
            session, photos, b"2024/lisbon/raw", [(b"DSC_%04d.NEF" % n, 38_200_000 + n * 1000) for n in range(410, 430)]
        )
        edited = add_files(
            session, photos, b"2024/lisbon/edited", [(b"lisbon-%02d.tif" % n, 61_000_000 + n) for n in range(12)]
        )
        web = add_files(
            session, photos, b"2024/lisbon/web", [(b"lisbon-%02d.jpg" % n, 2_400_000 + n) for n in range(12)]
        )
        top = add_files(session, photos, b"2024/lisbon", [(b"notes.txt", 1_804), (b"map.pdf", 3_200_000)])
        family = add_files(
            session, photos, b"2019/family", [(b"IMG_%04d.CR2" % n, 25_000_000 + n) for n in range(8800, 8840)]
        )
        add_files(session, photos, b"2025", [(b"new-%d.jpg" % n, 5_000_000 + n) for n in range(5)])
        data = add_files(
            session, research, b"survey/2023", [(b"wave-%d.parquet" % n, 900_000_000 + n) for n in range(9)]
        )
        papers = add_files(session, research, b"papers", [(b"draft-%d.pdf" % n, 700_000 + n) for n in range(30)])
        add_copies(session, blue, [*web, *top, *family, *data, *papers])
        add_copies(session, red, [*edited, *web, *family[:30], *data[:6], *papers], days=2)
        add_copies(session, old, [*papers, *data], days=500)
        add_copies(session, old, raw[:3], standing=Standing.CLAIMED)
        with session.transaction():
            refresh_oldest(session.db)
    return path


def years(path: Path) -> Path:
    """A shelf in two places and what happened to it in fourteen months."""
    with open_session(path) as session:
        photos = replace(add_source(session, "p4photos0000", "photos", b"/home/ada/photos"), place="home")
        save_source(session, photos)
        blue = add_target(
            session, "k3v9q2x8ab7m", "Blue Seagate", total_bytes=64 * GB, free_bytes=14 * GB, place="home", seen_at=NOW
        )
        red = add_target(
            session, "m8w2c5r1dd3q", "Red WD", total_bytes=64 * GB, free_bytes=9 * GB, place="at Mia's",
            seen_at=NOW - 70 * DAY,
        )  # fmt: skip
        tin = add_target(
            session, "z1x7t4n9kk2p", "Toshiba", total_bytes=96 * GB, free_bytes=76 * GB, place="at Mia's",
            seen_at=NOW - 37 * DAY,
        )  # fmt: skip
        white = add_target(
            session, "w7h1t3w7h1t3", "White", total_bytes=32 * GB, free_bytes=16 * GB, place="home", seen_at=NOW
        )
        new = add_files(session, photos, b"2024", [(b"DSC_%04d.NEF" % n, GB + n) for n in range(24)])
        old = add_files(session, photos, b"2016-23", [(b"IMG_%04d.CR2" % n, GB + n) for n in range(32)])
        family = add_files(session, photos, b"family", [(b"clip-%02d.mov" % n, 2 * GB + n) for n in range(7)])
        add_copies(session, blue, [*new, *old[:14], *family[:4]], days=9)
        add_copies(session, red, [*new[:21], *old], days=70)
        add_copies(session, tin, new[:18], days=37)
        add_copies(session, white, family, days=2)
        for month in range(14):
            date = NOW - (13 - month) * 30 * DAY
            note = _Notes(session, date)
            kept = (31 + 3 * month) * GB
            note(0, Happened.VISIT, blue)
            note(0, Happened.BACKUP, blue, files=3, bytes=3 * GB)
            unsafe = {0: 31, 3: 6, 7: 9, 8: 9, 12: 21, 13: 27}.get(month, 0) * GB
            note_event(session, HistoryEntry(date, Happened.SAFETY, "", photos.id, 0, kept, unsafe))
            if month % 3 == 1:
                note(1, Happened.VERIFY, blue, files=29 + month, bytes=(33 + month) * GB)
            if month in (2, 5, 9, 11):
                note(2, Happened.BACKUP, red, files=7, bytes=7 * GB)
            if month in (4, 10):
                note(3, Happened.VERIFY, red, files=40, bytes=40 * GB)
            if month in (6, 12):
                note(2, Happened.BACKUP, tin, files=18, bytes=18 * GB)
            if month > 9:
                note(4, Happened.VISIT, white)
        _Notes(session, NOW - 6 * 30 * DAY)(4, Happened.DAMAGE, blue, files=3)
        _Notes(session, NOW - 6 * 30 * DAY)(5, Happened.REPAIR, blue, files=3)
        for month, files in ((9, 36), (3, 4)):
            note_event(session, HistoryEntry(NOW - month * 30 * DAY, Happened.DELETION, "", photos.id, files))
        with session.transaction():
            refresh_oldest(session.db)
    return path


class _Notes:
    """Notes what happened to drives in one month."""

    def __init__(self, session: Session, date: int) -> None:
        self.session, self.date = session, date

    def __call__(self, day: int, what: Happened, target: Target, *, files: int = 0, bytes: int = 0) -> None:
        """It happened so many days on."""
        note_event(self.session, HistoryEntry(self.date - (9 - day) * DAY, what, target.id, "", files, bytes))
