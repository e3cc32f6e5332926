"""Places on the command line: a drive goes to the office, the house burns, and all with a copy elsewhere comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    for path, text in (("photos/2019/wedding/a.jpg", "aaa"), ("photos/2020/b.jpg", "bbbbb")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for drive in ("blue", "red"):
        (tmp_path / drive).mkdir()
    return shell


def ok(shell: Shell, *words: str, code: int = 0) -> dict:
    found, answer = shell.json(*words)
    assert found == code, (words, answer)
    return answer


def test_nothing_is_new_for_who_never_names_a_place(shell: Shell, tmp_path: Path):
    ok(shell, "add-src", "photos")
    ok(shell, "target", "blue", "--init", code=6)
    ok(shell, "target", "red", "--init")
    for file in (tmp_path / "photos/.medback-source.xml", tmp_path / "blue/.medback-target.xml"):
        assert b"where=" not in file.read_bytes() and b"elsewhere" not in file.read_bytes()
    assert b"where=" not in (tmp_path / "blue/.medback-context.xml").read_bytes()
    told = ok(shell, "stats")
    assert told["places"] == [] and told["below_wanted"]["files"] == 0
    file = ("whereis", "--source", "photos", "2020/b.jpg")
    for words in (("stats",), ("targets",), ("sources",), ("plan", "--all"), ("what-if",), ("find", "b.jpg"), file):
        said = shell(*words).words
        assert said and not any(new in said for new in ("3-2-1", "elsewhere", "at home", "fetch")), words


def test_the_house_burns(shell: Shell, tmp_path: Path):
    ok(shell, "add-src", "photos", "--elsewhere", "1")
    ok(shell, "target", "blue", "--init", "--label", "Blue", code=6)
    ok(shell, "target", "red", "--init", "--label", "Red", code=6)  # two copies, and none elsewhere
    told = ok(shell, "stats")
    assert told["without_elsewhere"]["files"] == 2 and told["below_wanted"]["files"] == 2
    moved = ok(shell, "set-target", "Red", "--place", "Office")["target"]
    assert moved["place"] == "Office"
    for written in ("red/.medback-target.xml", "photos/.medback-source.xml"):
        assert b'where="Office"' in (tmp_path / written).read_bytes(), written
    (tmp_path / "photos/new.jpg").write_text("new")
    ok(shell, "target", "blue", code=6)
    told = ok(shell, "stats")
    assert told["without_elsewhere"] == {"files": 1, "bytes": 3}
    assert told["three_two_one"]["holds"]["files"] == 0  # both are directories on one disk, which is one medium
    for label in ("Blue", "Red"):
        ok(shell, "set-target", label, "--disk", label)
    told = ok(shell, "stats")
    assert told["three_two_one"]["holds"]["files"] == 2
    assert [(one["place"], one["behind"]["files"], one["here"]) for one in told["places"]] == [
        ("home", 0, True),
        ("Office", 1, False),
    ]
    assert "3-2-1: 2 files hold it" in shell("stats").words
    burnt = ok(shell, "what-if", "--place", " HOME ")
    assert burnt["lost"]["files"] == 1 and burnt["back"]["files"] == 2 and burnt["by"][0]["label"] == "Red"
    assert (burnt["place"], burnt["kept_at"]) == ("home", ["home"])
    both = ok(shell, "what-if", "--place", "home", "--place", "office")
    assert (both["place"], both["kept_at"], both["lost"]["files"]) == (None, ["home", "Office"], 3)
    assert both["back"]["files"] == 0 and len(both["lost_files"]) == 3
    with_red = ok(shell, "what-if", "--place", "home", "Red")
    assert (with_red["lost"], with_red["kept_at"]) == (both["lost"], ["home"]) and len(with_red["targets"]) == 2
    assert "if all at home and Red are gone (photos, Blue, Red):" in shell("what-if", "--place", "home", "Red").words
    assert "if all at home and all at Office are gone" in shell("what-if", "--place=home", "--place=Office").words
    assert shell.json("what-if", "--place", "home", "Nobody")[1]["error"]["kind"] == "no-such-target"
    assert shell.json("what-if", "--place", "home", "--place", "attic")[1]["error"]["kind"] == "no-such-place"
    plan = ok(shell, "plan", "--all", "--without", "Blue")
    assert [(step["place"], step["trip"]) for step in plan["steps"]] == [("Office", True)]
    assert "at Office: fetch Red" in shell("plan", "--all", "--without", "Blue").words
    # Really: the house with its session, its source and its drive is gone; the drive from the office tells all.
    for path in ("photos", "blue"):
        shutil.rmtree(tmp_path / path)
    for path in tmp_path.glob("session.db*"):
        path.unlink()
    ok(shell, "restore", "red", "--to", "back")
    assert sorted(p.name for p in (tmp_path / "back").rglob("*.jpg")) == ["a.jpg", "b.jpg"]


def test_rules_of_a_directory_follow_it_and_outlive_the_session(shell: Shell, tmp_path: Path):
    ok(shell, "add-src", "photos")
    ok(shell, "target", "blue", "--init", "--label", "Blue", "--place", "office", code=6)
    ok(shell, "target", "red", "--init", "--label", "Red", "--no-fill")
    assert ok(shell, "stats")["below_wanted"]["files"] == 0
    told = ok(shell, "set-source", "photos", "--below", "2019/wedding", "--copies", "3", "--elsewhere", "2")["source"]
    assert told["rules"] == [{"path": "2019/wedding", "copies": 3, "elsewhere": 2, "missing": False}]
    assert told["copies"] == 2 and ok(shell, "stats")["below_wanted"]["files"] == 1
    code, answer = shell.json("set-source", "photos", "--below", "nowhere", "--copies", "3")
    assert code == 4 and answer["error"]["kind"] == "no-such-path"
    assert shell.json("set-source", "photos", "--below", "2020", "--copies", "1", "--elsewhere", "2")[0] == 2
    (tmp_path / "photos/2019").rename(tmp_path / "photos/2018")
    ok(shell, "update")
    assert [rule["path"] for rule in ok(shell, "sources")["sources"][0]["rules"]] == ["2018/wedding"]
    assert ok(shell, "stats", "--path", "2018/wedding")["below_wanted"]["files"] == 1
    # Its files are edited too, so that they say nothing: it lies in a directory that moved.
    for number in range(3):
        (tmp_path / "photos/2018" / f"beside-{number}").write_text(f"beside {number}")
    ok(shell, "update")
    (tmp_path / "photos/2018").rename(tmp_path / "photos/2017")
    for number, path in enumerate((tmp_path / "photos/2017/wedding").iterdir()):
        if not path.name.startswith("."):
            path.write_text(f"edited {number}")
    ok(shell, "update", "--accept-deletions", "--accept-changes")
    assert [rule["path"] for rule in ok(shell, "sources")["sources"][0]["rules"]] == ["2017/wedding"]
    (tmp_path / "photos/2017").rename(tmp_path / "photos/2018")
    ok(shell, "update")
    ok(shell, "target", "blue", code=6)  # the context tells of it too
    assert (
        b'<rule copies="3" elsewhere="2" path="2018/wedding"' in (tmp_path / "blue/.medback-context.xml").read_bytes()
    )
    for path in tmp_path.glob("session.db*"):
        if not path.name.endswith(".sources"):
            path.unlink()
    ok(shell, "rebuild", "photos", "blue", "red")
    rules = ok(shell, "sources")["sources"][0]["rules"]
    assert rules == [{"path": "2018/wedding", "copies": 3, "elsewhere": 2, "missing": False}]
    assert {one["label"]: one["place"] for one in ok(shell, "targets")["targets"]}["Blue"] == "office"
    shutil.rmtree(tmp_path / "photos/2018")
    assert (
        "2018/wedding of photos, which has a rule of its own, is not there any more"
        in shell("update", "--accept-deletions").words
    )
    assert ok(shell, "sources")["sources"][0]["rules"][0]["missing"]  # kept, and shown
    ok(shell, "set-source", "photos", "--no-below", "2018/wedding")
    assert ok(shell, "sources")["sources"][0]["rules"] == []


def test_what_lacks_its_copy_elsewhere_is_said_wherever_copies_are(shell: Shell, tmp_path: Path):
    ok(shell, "add-src", "photos", "--elsewhere", "1")
    ok(shell, "target", "blue", "--init", "--label", "Blue", code=6)
    ok(shell, "target", "red", "--init", "--label", "Red", code=6)  # two copies of all, both at home
    wedding = ("--source", "photos", "2019/wedding/a.jpg")
    assert "still wanted" in shell("whereis", *wedding).words
    ok(shell, "set-target", "Red", "--place", "Office")
    (tmp_path / "photos/2019/wedding/new.jpg").write_text("new")
    ok(shell, "target", "blue", "--no-fill", code=6)
    ok(shell, "set-source", "photos", "--below", "2019", "--copies", "1")
    new = ("--source", "photos", "2019/wedding/new.jpg")
    assert "  1 copy still wanted elsewhere" in shell("whereis", *new).words
    assert "; 1 copy still wanted elsewhere" in shell("find", "new.jpg").words
    assert "still wanted" not in shell("whereis", *wedding).words + shell("find", "a.jpg").words
    file = ok(shell, "whereis", *new)["files"][0]
    assert (file["wanted"], file["elsewhere_wanted"], file["copies"][0]["place"]) == (1, 1, "home")
    assert "too few copies elsewhere: 1 file" in shell("stats").words
    assert "◐ photos/2019" in shell("stats").words and "● photos/2020" in shell("stats").words
    one = ok(shell, "stats", "--source", "photos", "--path", "2019/wedding/new.jpg")
    assert one["below_wanted"]["files"] == one["without_elsewhere"]["files"] == 1
    one = ok(shell, "stats", "--source", "photos", "--path", "2019/wedding/a.jpg")
    assert one["below_wanted"]["files"] == one["without_elsewhere"]["files"] == 0
    listed = ok(shell, "stats", "--unprotected")["unprotected"]
    assert [(f["path"], f["copies"], f["wanted"], f["elsewhere"], f["elsewhere_wanted"]) for f in listed] == [
        ("2019/wedding/new.jpg", 1, 1, 0, 1)
    ]
    assert "too few copies elsewhere: 1 file" in shell("update").words
    ok(shell, "set-source", "photos", "--place", "Cabin")
    said = shell("sources").words
    assert "photos: kept at Cabin, 2 copies wanted, 1 elsewhere\nphotos/2019: 1 copy wanted\n" in said
