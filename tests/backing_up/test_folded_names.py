"""Where directories lie on a drive that holds names differing in case alone to be one, tried on a root that does so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medback_core.model import Answers
from medback_core import disk
from medback_core.backing_up.layout import Layout
from medback_core.drives.open import open_drive
from medback_core.session.sources import list_sources
from support.worlds import add, new_session, write_tree


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    real = disk.Root.stat

    def stat(root: disk.Root, rel: bytes) -> os.stat_result | None:
        parent, _, name = rel.rpartition(b"/")
        try:
            found = [there for there, _ in root.scan(parent) if there.lower() == name.lower()]
        except OSError:
            found = []
        return real(root, os.path.join(parent, found[0]) if found else rel)

    monkeypatch.setattr(disk.Root, "stat", stat)


@pytest.mark.parametrize("made", [False, True])
def test_directories_that_differ_in_case_are_kept_apart(folding: None, tmp_path: Path, made: bool) -> None:
    write_tree(tmp_path / "photos", {"trip/a": 1, "Trip/a": 2, "trip/x/b": 3, "Trip/X/b": 4})
    (tmp_path / "t").mkdir()
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        (source,) = list_sources(session)
        with open_drive(session, os.fsencode(tmp_path / "t"), write=True, answers=Answers(create=True)) as drive:
            layout = Layout(session, drive)
            where: dict[bytes, bytes] = {}
            for path in (b"trip", b"Trip", b"TRIP", b"trip/x", b"trip/X", b"Trip/x"):
                where[path] = layout.place_directory(source.key, path)
                if made:
                    (tmp_path / "t" / os.fsdecode(where[path])).mkdir(parents=True)
            assert len({one.lower() for one in where.values()}) == len(where)
            assert where[b"trip"] == b"photos/trip" and where[b"trip/x"] == b"photos/trip/x"
            if made:  # and the next run goes on with them
                later = Layout(session, drive)
                assert {path: later.place_directory(source.key, path) for path in reversed(where)} == where


def test_on_other_drives_names_stay_as_they_are(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"trip/a": 1, "Trip/a": 2})
    (tmp_path / "t").mkdir()
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        (source,) = list_sources(session)
        with open_drive(session, os.fsencode(tmp_path / "t"), write=True, answers=Answers(create=True)) as drive:
            layout = Layout(session, drive)
            assert [layout.place_directory(source.key, path) for path in (b"trip", b"Trip")] == [
                b"photos/trip",
                b"photos/Trip",
            ]
