"""Everything is gone but three drives of different age. On a new machine a person types what the program itself says,
and nothing else; every file comes back as it last was, byte for byte."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from support.shell import Shell
from support.worlds import tree, write_tree


class Machine(Shell):
    """A machine with a session of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        super().__init__(home)

    def type(self, line: str) -> tuple[int, str]:
        """(exit code, all that is shown)."""
        program, *words = shlex.split(line)
        assert program == "medback", line
        answer = self(*words)
        return answer.code, answer.words


def told_commands(shown: str) -> list[str]:
    """The commands a text names in backquotes."""
    return re.findall(r"`(medback [^`]+)`", " ".join(shown.split()))


def lose_a_machine_with_three_drives(base: Path) -> tuple[dict[str, Path], dict[bytes, tuple[bytes, int]]]:
    """All three drives once; then what is new goes to Tin alone, later to Blue, at last to White. Returns the drives and
    what stood in the source at the end."""
    photos = base / "house" / "photos"
    write_tree(photos, {"2024/a.jpg": 5000, "2024/b.jpg": 300, "diary.txt": 40, "old name.txt": 77})
    drives = {name: base / "drives" / name for name in ("tin", "blue", "white")}
    old = Machine(base / "old")
    codes = [old.type(f"medback add-src {photos} --copies 3")[0]]
    for name, drive in drives.items():
        drive.mkdir(parents=True)
        codes.append(old.type(f"medback target {drive} --init --label {name}")[0])
    for number, drive in enumerate(drives.values()):  # a new version, a new file, an empty one, another name
        (photos / "diary.txt").write_text(f"day {number}\n" * (number + 2))
        os.utime(photos / "diary.txt", (2_000_000_000 + number, 2_000_000_000 + number))
        write_tree(photos, {f"later {number}/c.jpg": 400 + number, f"later {number}/empty": 0})
        if number == 1:
            (photos / "old name.txt").rename(photos / "new name.txt")
        codes.append(old.type(f"medback target {drive}")[0])
    assert all(code in (0, 6) for code in codes), codes  # 6: not yet on three drives
    as_it_was = tree(photos)
    shutil.rmtree(base / "house")
    shutil.rmtree(base / "old")
    return drives, as_it_was


def follow(machine: Machine, first: str, out: Path) -> str:
    """Type the first command, then whatever command the program says comes next; returns all that was shown."""
    line, shown, typed = first, "", []
    while line and line not in typed:
        typed.append(line)
        code, words = machine.type(line)
        shown += f"$ {line}\n{words}\nexit {code}\n"
        assert code in (0, 3, 4, 6), shown
        restores = [told for told in told_commands(words) if told.startswith("medback restore ")]
        line = next((f"{told} --to {out}" if "--to" not in told else told for told in restores), "")
    return shown


def test_the_newest_of_everything_comes_back_by_what_the_program_says(tmp_path: Path):
    drives, as_it_was = lose_a_machine_with_three_drives(tmp_path)
    new, out = Machine(tmp_path / "new"), tmp_path / "back"
    # Whichever drive comes to hand first: the oldest one.
    shown = follow(new, f"medback plan {drives['tin']}", out)
    assert "3 sources" not in shown and "1 source" in shown
    # It says of itself that others were written to later, or at least which were not plugged in.
    told_last = shown[shown.rindex("$ ") :]
    assert "blue" in told_last and "white" in told_last
    for name in ("blue", "white"):
        shown = follow(new, f"medback plan {drives[name]}", out)
    assert re.search(r"All [\d,]+ files known as of", shown), shown
    found = tree(out / "photos")
    assert {path: found.get(path) for path in as_it_was} == as_it_was
    # What Tin alone still held under its old name is told of, and removed by nobody.
    assert found.keys() - as_it_was.keys() == {b"old name.txt"} and "old name.txt" in shown, shown


def test_the_newest_drive_alone_is_enough_for_what_it_holds_and_names_the_others(tmp_path: Path):
    drives, as_it_was = lose_a_machine_with_three_drives(tmp_path)
    shutil.rmtree(drives["tin"])
    new, out = Machine(tmp_path / "new"), tmp_path / "back"
    shown = follow(new, f"medback plan {drives['white']}", out)
    assert "tin" in shown  # gone for good, and named
    follow(new, f"medback plan {drives['blue']}", out)
    assert tree(out / "photos") == as_it_was
