"""A source whose metadata file is gone, and a new session: the drives say which source it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.disk import Mount
from medback_core.drives.story import story_at
from medback_core.model import Warned
from medback_core.presenting.refusals import message
from medback_core.restoring.told import news_of
from medback_core.scanning.sources import add_source
from medback_core.session import open_session
from medback_core.session.sources import list_sources
from support.worlds import Ran, add, back, write_tree


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Backed up onto a drive that is plugged in; then its metadata file and the session are lost."""
    photos = tmp_path / "photos"
    write_tree(photos, {"a": 100, "b": 200, "sub/c": 300})
    with open_session(tmp_path / "old.db") as session:
        add(session, photos, copies=3)
        back(session, tmp_path / "blue")
    (photos / ".medback-source.xml").unlink()
    mount = Mount(os.fsencode(tmp_path / "blue"), "/dev/sdx1", "ext4", True, False, 10**9, 10**9)
    monkeypatch.setattr(disk, "removable_mounts", lambda: [mount])
    return photos


def id_in(db: Path) -> str:
    with open_session(db) as session:
        return list_sources(session)[0].id


def test_it_is_that_source_again_and_nothing_is_planned_twice(tmp_path: Path, photos: Path):
    write_tree(photos, {"new": 10})
    with open_session(tmp_path / "new.db") as session:
        warned = Ran(add_source(session, os.fsencode(photos))).of(Warned)
        assert any("it is the source photos again" in message(one) for one in warned)
        (source,) = list_sources(session)
        assert (source.id, source.wanted) == (id_in(tmp_path / "old.db"), 3)
        story = story_at(os.fsencode(tmp_path / "blue"))
        assert story is not None and story.sections and not news_of(session, story).sections
        assert [one.alias for one in list_sources(session)] == ["photos"]


def test_a_directory_that_only_lies_at_the_same_path_is_a_source_of_its_own(tmp_path: Path, photos: Path):
    """Another machine's: were it taken for the same, all that the drive remembers would be told as deleted."""
    for name in ("a", "b"):
        (photos / name).unlink()
    with open_session(tmp_path / "new.db") as session:
        add(session, photos)
        assert list_sources(session)[0].id != id_in(tmp_path / "old.db")
