"""Sessions, sources and drives that earlier versions wrote: taken up as they are, nothing hashed, nothing asked, nothing
lost. What was once on a person's drives must be readable for ever."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from support.worlds import files_below

import pytest

from support.shell import Shell
from old_versions.make import DELETED, LINKS, OLD, WORLD

HERE = Path(__file__).parent
EVERY = sorted(path.name.removesuffix(".tar.gz") for path in HERE.glob("*.tar.gz"))
PATHS = {(alias, os.fsdecode(path)) for alias, files in WORLD.items() for path in files}


class World(Shell):
    """One fixture, unpacked; the paths of its sources are those of the machine it was made on."""

    def __init__(self, name: str, where: Path) -> None:
        super().__init__(where)
        self.name = name
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress((HERE / f"{name}.tar.gz").read_bytes()))) as tar:
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # not there before 3.11.4
            tar.extractall(where)
            for member in tar.getmembers():  # `extractall` sets times from floats, which hold no nanoseconds
                if member.isreg() and "mtime" in member.pax_headers:
                    seconds, _, places = member.pax_headers["mtime"].partition(".")
                    time_ns = int(seconds) * 10**9 + int(f"{places:0<9}")
                    os.utime(where / member.name, ns=(time_ns, time_ns))

    def told(self, *words: str, code: int = 0) -> dict:
        found, answer = self.json(*words)
        assert found == code, (words, answer)
        return answer

    def move_in(self) -> None:
        """Tell the session where its sources lie on this machine."""
        for alias in WORLD:
            self.told("set-source", alias, "--path", f"house/{alias}")

    def lose_db(self) -> None:
        for file in self.where.glob("session.db*"):
            file.unlink()

    def everything(self) -> dict[bytes, bytes]:
        """What a restore into one directory must bring back."""
        return {
            os.fsencode(alias) + b"/" + path: data for alias, files in WORLD.items() for path, data in files.items()
        }


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def check_knowledge(world: World, *, places: bool = True) -> None:
    """All that was known is known: files, wanted copies, drives and their states, and where everything lies."""
    stats = world.told("stats")
    assert (stats["files"], stats["below_wanted"]["files"]) == (len(PATHS), 0)
    sources = {source["alias"]: source for source in world.told("sources")["sources"]}
    assert {alias: (source["copies"], source["excludes"]) for alias, source in sources.items()} == {
        "photos": (2, []),
        "notes": (1, ["*.tmp"]),
    }
    assert sources["photos"]["links"] == len(LINKS)
    targets = {target["label"]: target["state"] for target in world.told("targets")["targets"]}
    assert targets == {"Blue": "active", "Red": "active", "Tin": "lost"}
    for alias in WORLD:
        for file in world.told("whereis", "--source", alias, ".")["files"]:
            counting = {copy["label"]: copy for copy in file["copies"] if copy["counts"]}
            assert counting.keys() == {"Blue", "Red"}, file
            if places:
                for copy in counting.values():
                    there = world.where / "mnt" / copy["label"].lower() / copy["path"]
                    assert there.read_bytes() == WORLD[alias][os.fsencode(file["path"])]


def check_work(world: World) -> None:
    """Every command does its work on it, and nobody is asked anything."""
    for drive in ("blue", "red"):
        world.told("discover", f"mnt/{drive}")
        assert world.told("target", f"mnt/{drive}")["copied"] == 0
        verified = world.told("verify", f"mnt/{drive}")
        assert verified["checked"] == verified["same"] > 0
    plan = world.told("plan", "--all")
    assert plan["unreachable"]["files"] == 0 and plan["missing"]["files"] == len(PATHS)
    assert world.told("what-if", "Blue", "Tin")["lost"]["files"] == 0
    restored = world.told("restore", "mnt/red", "--to", "back")
    assert restored["restored"] == len(PATHS) and restored["missing"] == 0
    assert files_below(world.where / "back") == world.everything()
    photos = os.fsencode(world.where / "back/photos")
    assert {name: os.readlink(os.path.join(photos, name)) for name in LINKS} == LINKS
    assert (world.where / "back/photos/empty").is_dir()
    assert (world.where / "back/photos/private/key").stat().st_mode & 0o777 == 0o600


def test_a_session_of_before_is_taken_up_as_it_is(world: World) -> None:
    world.move_in()
    for scan in world.told("update")["sources"]:
        assert (scan["hashed"], scan["added"], scan["changed"], scan["removed"]) == (0, 0, 0, 0), scan
    check_knowledge(world)
    check_work(world)
    gone = {file["path"]: file for file in world.told("whereis", "--source", "photos", ".", "--deleted")["files"]}
    older = {"2024/lisbon.jpg": len(OLD)}  # by the first version, only an older context on the drives tells of it
    assert {path: file["size"] for path, file in gone.items()} == {"2024/deleted.jpg": len(DELETED)} | older
    world.told("restore", "mnt/blue", "--deleted", "--to", "old", "--source", "photos")
    assert (world.where / "old/photos/2024/deleted.jpg").read_bytes() == DELETED


def test_without_its_db_sources_and_drives_of_before_say_it_all(world: World) -> None:
    world.lose_db()
    for scan in world.told("rebuild", "house/photos", "house/notes", "mnt/blue", "mnt/red")["sources"]:
        assert scan["hashed"] == 0
    for scan in world.told("update")["sources"]:
        assert (scan["hashed"], scan["changed"]) == (0, 0), scan
    check_knowledge(world)
    check_work(world)


@pytest.mark.parametrize("where", ["context.xml", "mnt/blue/.medback-context.xml"])
def test_a_context_of_before_is_enough_for_a_restore(world: World, where: str) -> None:
    world.lose_db()
    (world.where / "house").rename(world.where / "burnt")
    world.told("add-restore-context", where)
    restored = world.told("restore", "mnt/blue", "--to", "back")
    assert restored["missing"] == 0
    assert files_below(world.where / "back") == world.everything()
