"""Record the story in the README: the real app in a real terminal, as one SVG that moves by itself. `make recording`

tmux draws, `capture-pane -e` reads each picture with its colours. Lines that stand in several pictures are kept once.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

from medback_core import disk, model
from medback_core.cli import main as medback
from medback_core.drives.drive import identity_at
from support.terminal import PROGRAM, Terminal

OUT = Path(__file__).parent / "story.svg"
WIDTH, HEIGHT = 80, 24
CELL, LINE, EDGE = 8.4, 18, 14  # of a cell, in pixels, and around all of it
FOREGROUND, BACKGROUND = "#d6dae3", "#12151c"
DAY = 86_400
MONTH = 30 * DAY
KIB = 1024


@dataclass(frozen=True)
class Step:
    """Keys, what they are for, what stands there afterwards, and how long one looks at it."""

    keys: tuple[str, ...]
    words: str
    until: str
    seconds: float = 3.0


STORY = (
    Step((), "medback: what is safe, and what is not", "photos"),
    Step(("2",), "2: your drives, and what would be lost with each", "Blue Seagate"),
    Step(("Tab",), "tab: the same as a shelf; ╱ is what lies only there", "free", 4.0),
    Step(("w",), "w: what if this drive were gone?", "Without", 4.5),
    Step(("w",), "w: back in its place", "→"),
    Step(("b",), "b: back up; what would it copy?", "Not now", 4.0),
    Step(("Enter",), "Enter: copied, read back, recorded", "copied", 4.5),
    Step(("Escape",), "the shelf afterwards", "free", 3.5),
    Step(("t",), "t: what happened, month by month", "backed up", 4.5),
    Step(("Left",) * 5, "← : damage was found by a verify, and repaired", "repaired", 4.5),
    Step(("Escape",), "and back", "free", 1.0),
    Step(("3",), "3: coverage, source by source", "photos/", 2.0),
    Step(("Enter",), "Enter: directory by directory", "2016-23", 3.0),
    Step(("m",), "m: as a map; area is bytes", "2016-23", 4.0),
    Step(("4",), "4: if this machine died now: these drives, in this order", "drive", 5.0),
)


# --- the world --------------------------------------------------------------------------------------------------------


def live(home: Path) -> Path:
    """Fourteen months with two sources of change: new pictures, and what happens to drives. Returns the session DB."""
    session, today, number = home / ".bkup_dest", model.now(), 0
    clock = today - 14 * MONTH

    def run(*words: str) -> None:
        code = medback([*words, "--session-db", str(session), "-q", "-y"])
        assert code in (0, 3, 5, 6), (words, code)

    def shoot(directory: str, pictures: int, size: int) -> None:
        nonlocal number
        for _ in range(pictures):
            number += 1
            file = home / "photos" / directory / f"IMG_{number:04d}.CR2"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(size * KIB + number))

    before, model.now = model.now, lambda: clock
    try:
        drives = {"blue": ("Blue Seagate", "60M"), "red": ("Red WD", "34M"), "toshiba": ("Toshiba", "80M")}
        for drive in drives:
            (home / "media" / drive).mkdir(parents=True)

        def back_up(drive: str, *more: str) -> None:
            label, room = drives[drive]
            run("target", str(home / "media" / drive), "--init", "--label", label, "--capacity", room, *more)
            run("set-target", label, "--disk", label)

        shoot("2016-23", 22, 600)
        run("add-src", str(home / "photos"))
        back_up("blue")
        for month in range(1, 14):
            clock = today - (14 - month) * MONTH
            shoot("2025" if month < 6 else "2026", 2, 500)
            back_up("blue") if month not in (9, 13) else run("update")
            if month in (2, 7, 12):
                back_up("red")
            if month in (5, 11):
                back_up("toshiba", "--limit", "16M")
            if month in (4, 10):
                run("verify", str(home / "media/blue"))
            if month == 8:
                rotten = next((home / "media/blue/photos/2016-23").glob("*.CR2"))
                status = rotten.stat()
                rotten.write_bytes(b"\0" * status.st_size)
                os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
                run("verify", str(home / "media/blue"))
                run("repair", str(home / "media/blue"))
            if month == 9:
                for file in sorted((home / "photos/2025").iterdir())[:3]:
                    file.unlink()
                run("update", "--accept-deletions")
        clock = today - DAY
        shoot("2026", 6, 700)
        run("update")
    finally:
        model.now = before
    return session


# --- the pictures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How some cells look; colours as in CSS."""

    front: str = FOREGROUND
    back: str = BACKGROUND
    bold: bool = False
    dim: bool = False
    turned: bool = False


_BASIC = (
    *("#12151c", "#f07178", "#7fbf7f", "#e5b567", "#7aa2d8", "#c792ea", "#5fc4c9", "#d6dae3"),
    *("#5b6578", "#f07178", "#7fbf7f", "#e5b567", "#7aa2d8", "#c792ea", "#5fc4c9", "#ffffff"),
)


def _colour(codes: Iterator[int]) -> str:
    """The colour of `38;5;N` or `38;2;R;G;B`, behind the 38."""
    if next(codes) == 2:
        return "#{:02x}{:02x}{:02x}".format(*(next(codes) for _ in range(3)))
    return _of_256(next(codes))


def _of_256(number: int) -> str:
    if number < 16:
        return _BASIC[number]
    if number >= 232:
        return "#{0:02x}{0:02x}{0:02x}".format(8 + 10 * (number - 232))
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return f"#{steps[number // 36]:02x}{steps[number // 6 % 6]:02x}{steps[number % 6]:02x}"


def _looked(look: Look, codes: Sequence[int]) -> Look:
    """The look after an escape sequence with these codes."""
    rest = iter(codes)
    for code in rest:
        if code == 0:
            look = Look()
        elif code in (1, 2, 7):
            look = replace(look, **{{1: "bold", 2: "dim", 7: "turned"}[code]: True})
        elif code == 22:
            look = replace(look, bold=False, dim=False)
        elif code == 27:
            look = replace(look, turned=False)
        elif code == 38:
            look = replace(look, front=_colour(rest))
        elif code == 48:
            look = replace(look, back=_colour(rest))
        elif code == 39:
            look = replace(look, front=FOREGROUND)
        elif code == 49:
            look = replace(look, back=BACKGROUND)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            look = replace(look, front=_BASIC[code - 30 if code < 40 else code - 82])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            look = replace(look, back=_BASIC[code - 40 if code < 50 else code - 92])
    return look


def spans_of(line: str) -> list[tuple[str, Look]]:
    """A line of `capture-pane -e` as texts and their looks."""
    found, look = [], Look()
    for part in re.split(r"(\x1b\[[0-9;:]*m)", line):
        if part.startswith("\x1b["):
            look = _looked(look, [int(code or 0) for code in re.split("[;:]", part[2:-1])])
        elif part:
            found.append((part, look))
    return found


def drawn(line: str) -> str:
    """A line as SVG, its top left corner at the origin."""
    rects, texts, at = [], [], 0
    for text, look in spans_of(line):
        front, back = (look.back, look.front) if look.turned else (look.front, look.back)
        x, width = round(at * CELL, 1), round(len(text) * CELL, 1)
        if back != BACKGROUND:
            rects.append(f'<rect x="{x}" width="{width}" height="{LINE}" fill="{back}"/>')
        more = (' font-weight="bold"' if look.bold else "") + (' opacity=".6"' if look.dim else "")
        fill = f' fill="{front}"' if front != FOREGROUND else ""
        for word in re.finditer(r"\S+(?: \S+)*", text):  # viewers fold several spaces into one
            x, width = round((at + word.start()) * CELL, 1), round(len(word[0]) * CELL, 1)
            texts.append(f'<text x="{x}" y="13.5" textLength="{width}"{fill}{more}>{escape(word[0])}</text>')
        at += len(text)
    return "".join((*rects, *texts))


def animated(frames: Sequence[tuple[str, str, float]]) -> str:
    """One SVG of (picture, words, seconds), over and over. Who wants less motion sees the first picture."""
    whole = sum(seconds for _, _, seconds in frames)
    lines: dict[str, int] = {}
    groups, rules, began = [], [], 0.0
    for number, (picture, words, seconds) in enumerate(frames):
        uses = []
        for y, line in enumerate(picture.split("\n")[:HEIGHT]):
            shape = drawn(line)
            if shape:
                uses.append(f'<use href="#l{lines.setdefault(shape, len(lines))}" y="{y * LINE}"/>')
        caption = f'<text class="c" y="{HEIGHT * LINE + 24}">{escape(words)}</text>'
        groups.append(f'<g class="f" id="f{number}">{"".join(uses)}{caption}</g>')
        start, end = (100 * at / whole for at in (began, began + seconds))
        before = f"0%,{start:.3f}%{{visibility:hidden}}" if number else ""
        after = f"{end:.3f}%,100%{{visibility:hidden}}" if number + 1 < len(frames) else ""
        rules.append(f"@keyframes k{number}{{{before}{start:.3f}%{{visibility:visible}}{after}}}")
        rules.append(f"#f{number}{{animation:k{number} {whole:.1f}s step-end infinite}}")
        began += seconds
    defs = "".join(f'<g id="l{key}">{shape}</g>' for shape, key in lines.items())
    width, height = WIDTH * CELL + 2 * EDGE, HEIGHT * LINE + 2 * EDGE + 26
    style = (
        "text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:14px}"
        ".c{fill:#e0af68;font-weight:bold}.f{visibility:hidden}"
        + "".join(rules)
        + "@media (prefers-reduced-motion:reduce)"
        "{.f{animation:none!important}#f0{visibility:visible}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        f"<title>medback: the story in a minute</title><style>{style}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/><defs>{defs}</defs>'
        f'<g transform="translate({EDGE} {EDGE})" fill="{FOREGROUND}">{"".join(groups)}</g></svg>\n'
    )


# --- the recording ----------------------------------------------------------------------------------------------------


def _at_rest(terminal: Terminal, until: str) -> str:
    """The picture once the words stand there and nothing moves any more."""
    terminal.wait_for(until)
    same, before = 0, ""
    while same < 8:
        now = terminal._tmux("capture-pane", "-e", "-p")
        same, before = (same + 1, before) if now == before else (0, now)
        time.sleep(0.1)
    return before


def record(home: Path, show: Callable[[str], object] = print) -> str:
    """Play the story and return the SVG."""
    live(home)
    terminal = Terminal(home, WIDTH, HEIGHT)
    try:
        terminal.type(f"clear; COLORTERM=truecolor TEXTUAL_ANIMATIONS=none {PROGRAM}")
        terminal.press("Enter")
        terminal.wait_for("1 Sources")
        frames = []
        for step in STORY:
            for key in step.keys:
                terminal.press(key)
                time.sleep(0.3)  # as a person would; each key is waited for by what follows
            show(step.words)
            frames.append((_at_rest(terminal, step.until), step.words, step.seconds))
        return animated(frames)
    finally:
        terminal.close()


def main() -> int:
    """Record it into `screenshots/story.svg` (or the file named as the only argument)."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    here = [mount.path for mount in disk.removable_mounts() if identity_at(mount.path) is not None]
    if here:
        print("not recorded: the app would show your own drives; unplug", *map(os.fsdecode, here))
        return 4
    with tempfile.TemporaryDirectory(prefix="ada-", ignore_cleanup_errors=True) as home:
        svg = record(Path(home))
    with disk.Root(os.fsencode(out.absolute().parent)) as root:
        disk.write_whole(root, os.fsencode(out.name), svg.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
