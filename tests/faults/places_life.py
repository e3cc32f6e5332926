"""A life of rotation: drives go to other places and come back, directories with rules move, drives die. Every month each
number medback tells is held against a recount that knows the bytes that lie there, and what people said."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from medback_core import model
from medback_core.presenting.next_drive import next_drive
from medback_core.session import open_session
from support.shell import Shell

START = 1_800_000_000
DAY = 86_400
HOME = "home"
NAMES = ("Ash", "Birch", "Cedar", "Dogwood", "Elm", "Fir")
PLACES = ("Office", "at Mia's", "home", " OFFICE ", "Attic")
DIRECTORIES = ("", "2019", "2019/wedding", "2019/wedding/raw", "2020", "2020/lisbon", "letters")

Tally = tuple[int, int]  # files, bytes


def folded(place: str) -> str:
    return " ".join(place.split()).casefold()


@dataclass
class Drive:
    """A drive as people know it. `said`: where it is kept, None where nobody said so."""

    name: str
    said: str | None
    state: str = "active"
    seen: int = 0
    holds: frozenset[bytes] = frozenset()  # the contents that lie there

    @property
    def counts(self) -> bool:
        return self.state == "active"

    @property
    def usable(self) -> bool:
        return self.state != "lost"


@dataclass
class Tree:
    """A source as people know it: its numbers, its place, and the rules of its directories."""

    alias: str
    copies: int = 2
    elsewhere: int = 0
    said: str | None = None
    rules: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # path -> content, as they are now

    def wanted(self, path: str) -> tuple[int, int]:
        """(copies, copies elsewhere) wanted of a file: what the deepest rule above it says, else the source."""
        copies, elsewhere = self.copies, self.elsewhere
        for directory, rule in sorted(self.rules.items()):
            if path.startswith(directory + "/"):
                copies = copies if rule[0] is None else rule[0]
                elsewhere = elsewhere if rule[1] is None else rule[1]
        return copies, elsewhere


class Life:
    """One household: two sources on one machine, up to six drives."""

    def __init__(self, where: Path, seed: int) -> None:
        self.where, self.dice = where, Random(seed)
        where.mkdir(parents=True)
        self.shell = Shell(where)
        self.trees = [Tree("photos"), Tree("papers")]
        self.drives: list[Drive] = []
        self.date = START
        self.made = 0
        self.log: list[str] = []
        model.now = lambda: self.date

    # --- what people do -----------------------------------------------------------------------------------------------

    def ok(self, *words: str, codes: Collection[int] = (0, 3, 6)) -> dict[str, Any]:
        code, answer = self.shell.json(*words)
        self.log.append(" ".join(words))
        assert code in codes, (code, words, answer)
        return answer

    def begin(self) -> None:
        for tree in self.trees:
            for directory in DIRECTORIES:
                for _ in range(self.dice.randint(1, 3)):
                    self.write(tree, directory)
            self.ok("add-src", tree.alias)
        self.read_sources()

    def root(self, tree: Tree) -> Path:
        return self.where / tree.alias

    def write(self, tree: Tree, directory: str, name: str | None = None) -> None:
        self.made += 1
        name = f"f{self.made:03}.jpg" if name is None else name
        path = self.root(tree) / directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            hashlib.sha256(b"%d %d" % (self.dice.randrange(1 << 30), self.made)).digest() * self.dice.randint(1, 90)
        )
        self.log.append(f"write {path.relative_to(self.where)}")

    def month(self, number: int) -> None:
        self.date = START + number * 30 * DAY
        for tree in self.trees:
            self.change_numbers(tree)
            self.change_files(tree)
        for tree in self.trees:  # last: what a later change makes under the old name is no part of it
            if tree.files and self.dice.random() < 0.35:
                self.rename_directory(tree)
        self.ok("update", "--accept-deletions", "--accept-changes")
        self.read_sources()
        if len(self.drives) < 2 or (len(self.drives) < len(NAMES) and self.dice.random() < 0.35):
            self.buy()
        for drive in self.drives:
            if drive.usable and self.dice.random() < (0.3 if self.place(drive) != folded(self.machine()) else 0.6):
                self.visit(drive)
        if len(self.drives) > 2 and self.dice.random() < 0.15:
            self.fate(self.dice.choice(self.drives))
        self.read_drives()

    def change_numbers(self, tree: Tree) -> None:
        dice = self.dice
        if dice.random() < 0.3:
            tree.copies = dice.randint(1, 3)
            tree.elsewhere = dice.randint(0, min(2, tree.copies))
            self.ok("set-source", tree.alias, "--copies", str(tree.copies), "--elsewhere", str(tree.elsewhere))
        if dice.random() < 0.06:
            self.move_source(tree, dice.choice(PLACES))
        if dice.random() < 0.4:
            there = sorted({os.path.dirname(path) for path in tree.files} - {""})
            if there:
                directory, copies = dice.choice(there), dice.randint(1, 3)
                rule = dice.choice(((copies, None), (copies, dice.randint(0, copies)), (None, dice.randint(0, 1))))
                if rule[0] is None and tree.copies < (rule[1] or 0):
                    return
                tree.rules[directory] = rule
                if rule[0] is None:
                    self.ok("set-source", tree.alias, "--below", directory, "--elsewhere", str(rule[1]))
                elif rule[1] is None:
                    self.ok("set-source", tree.alias, "--below", directory, "--copies", str(rule[0]), codes=(0, 2))
                else:
                    self.ok(
                        "set-source",
                        tree.alias,
                        "--below",
                        directory,
                        "--copies",
                        str(rule[0]),
                        "--elsewhere",
                        str(rule[1]),
                    )
                self.hear_rules(tree)
        elif tree.rules and dice.random() < 0.1:
            directory = dice.choice(sorted(tree.rules))
            del tree.rules[directory]
            self.ok("set-source", tree.alias, "--no-below", directory)

    def hear_rules(self, tree: Tree) -> None:
        """What its rules say now: an option that is not given leaves the other number as it was, and two that don't go
        together are refused."""
        said = {source["alias"]: source for source in self.ok("sources")["sources"]}[tree.alias]["rules"]
        tree.rules = {rule["path"]: (rule["copies"], rule["elsewhere"]) for rule in said}

    def move_source(self, tree: Tree, place: str) -> None:
        before = self.machine()
        tree.said = self.spelled(place)
        if len({folded(each.said or HOME) for each in self.trees}) > 1 and before != HOME:  # that stays where it was
            for drive in self.drives:
                drive.said = drive.said or before
        self.ok("set-source", tree.alias, "--place", place)

    def change_files(self, tree: Tree) -> None:
        dice, root = self.dice, self.root(tree)
        files = sorted(tree.files)
        for _ in range(dice.randint(0, 2)):
            self.write(tree, dice.choice(DIRECTORIES))
        if files and dice.random() < 0.4:
            path = dice.choice(files)
            self.write(tree, os.path.dirname(path), os.path.basename(path))  # an edit
        if len(files) > 4 and dice.random() < 0.3:
            path = dice.choice(files)
            (root / path).unlink()
            self.log.append(f"delete {tree.alias}/{path}")
        if files and dice.random() < 0.3:  # a second path of one content, maybe in the other source
            path, other = dice.choice(files), dice.choice(self.trees)
            if (root / path).exists():
                self.made += 1
                to = self.root(other) / dice.choice(DIRECTORIES) / f"twin{self.made}.jpg"
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / path, to)
                self.log.append(f"copy {tree.alias}/{path} {to.relative_to(self.where)}")

    def rename_directory(self, tree: Tree) -> None:
        """Rules follow the directory, and those inside it."""
        known = sorted({os.path.dirname(path) for path in tree.files} - {""})
        known = [d for d in known if (self.root(tree) / d).is_dir()]
        if not known:
            return
        old = self.dice.choice(known)
        self.made += 1
        new = "/".join(filter(None, (self.dice.choice(("", os.path.dirname(old), "archive")), f"d{self.made}")))
        if new.startswith(old + "/"):
            return
        # What stands there now and did before must be more than half of what went from there.
        inside = [p for p in tree.files if p.startswith(old + "/")]
        same = [
            p for p in inside if (self.root(tree) / p).is_file() and (self.root(tree) / p).read_bytes() == tree.files[p]
        ]
        if 2 * len(same) <= len(inside):
            return
        target = self.root(tree) / new
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root(tree) / old).rename(target)
        self.log.append(f"rename {tree.alias}/{old} {new}")
        for directory in sorted(tree.rules):
            moves = directory == old or directory.startswith(old + "/")
            if moves and (target / directory[len(old) + 1 :]).is_dir():
                tree.rules[new + directory[len(old) :]] = tree.rules.pop(directory)

    def named(self) -> bool:
        return any(one.said is not None for one in (*self.trees, *self.drives))

    def spelled(self, place: str) -> str | None:
        return " ".join(place.split()) or None

    def machine(self) -> str:
        """Where the machine is: at the place of its sources, at home where they are at several."""
        places = {folded(tree.said or HOME): tree.said or HOME for tree in self.trees}
        return next(iter(places.values())) if len(places) == 1 else HOME

    def place(self, drive: Drive) -> str:
        return folded(drive.said or self.machine())

    def source_place(self, tree: Tree) -> str:
        return folded(tree.said or HOME)

    def buy(self) -> None:
        name = NAMES[len(self.drives)]
        (self.where / name).mkdir()
        place = self.dice.choice((None, None, *PLACES)) if len(self.drives) else None
        words = ["target", name, "--init", "--label", name]
        words += ["--place", place] if place else []
        if self.dice.random() < 0.3:
            words += ["--capacity", str(self.dice.randint(15, 60) * 1000)]
        drive = Drive(name, self.spelled(place) if place else self.machine() if self.named() else None)
        self.drives.append(drive)
        drive.seen = self.date
        self.ok(*words)
        self.ok("set-target", name, "--disk", name)  # here they are directories on one disk
        self.put_away(drive)

    def put_away(self, drive: Drive) -> None:
        (self.where / "away").mkdir(exist_ok=True)
        (self.where / drive.name).rename(self.where / "away" / drive.name)

    def fetch(self, drive: Drive) -> None:
        self.date += DAY
        (self.where / "away" / drive.name).rename(self.where / drive.name)

    def visit(self, drive: Drive) -> None:
        self.fetch(drive)
        if drive.state == "active":
            drive.seen = self.date
            extra = self.dice.choice(([], [], ["--no-fill"], ["--limit", "20k"], ["--no-verify"]))
            self.ok("target", drive.name, *extra)
            if self.dice.random() < 0.1:
                self.ok("reclaim", drive.name, "--old", "--surplus", "-y", codes=(0, 1, 3, 4, 6))
        if self.dice.random() < 0.4:
            place = self.dice.choice((*PLACES, ""))
            drive.said = self.spelled(place)
            self.ok("set-target", drive.name, "--place", place)
        self.put_away(drive)

    def fate(self, drive: Drive) -> None:
        if not drive.usable:
            return
        self.read_drives()
        fate = self.dice.choice(("lost", "retired", "suspect", "active"))
        if fate == "lost":
            shutil.rmtree(self.where / "away" / drive.name)
        drive.state = fate
        self.ok("set-target", drive.name, "--state", fate)

    # --- what is there ------------------------------------------------------------------------------------------------

    def read_sources(self) -> None:
        for tree in self.trees:
            tree.files = dict(read_tree(self.root(tree)))

    def read_drives(self) -> None:
        for drive in self.drives:
            if drive.usable:
                drive.holds = frozenset(content for _, content in read_tree(self.where / "away" / drive.name))

    # --- what it is held against --------------------------------------------------------------------------------------

    def every(self) -> Iterator[tuple[Tree, str, bytes]]:
        for tree in self.trees:
            for path, content in tree.files.items():
                yield tree, path, content

    def holders(self, content: bytes, gone: Collection[str] = ()) -> list[Drive]:
        return [d for d in self.drives if d.usable and content in d.holds and d.name not in gone]

    def rated(self, tree: Tree, content: bytes, gone: Collection[str] = ()) -> tuple[int, int]:
        """(copies that count, of which so many elsewhere)."""
        counting = [drive for drive in self.holders(content, gone) if drive.counts]
        return len(counting), sum(self.place(drive) != self.source_place(tree) for drive in counting)

    def is_safe(self, tree: Tree, path: str, content: bytes, gone: Collection[str] = ()) -> bool:
        return all(
            has >= wanted for has, wanted in zip(self.rated(tree, content, gone), tree.wanted(path), strict=True)
        )


def read_tree(root: Path) -> Iterator[tuple[str, bytes]]:
    """What people have below a directory, and older versions there."""
    for directory, _, names in os.walk(root):
        if "/.medback-damaged" in directory:
            continue
        for name in names:
            if not name.startswith((".medback", "medback-")):
                path = Path(directory, name)
                yield str(path.relative_to(root)), path.read_bytes()


def tally(contents: Iterable[bytes]) -> Tally:
    sizes = [len(content) for content in contents]
    return len(sizes), sum(sizes)


def told(count: Mapping[str, int]) -> Tally:
    return count["files"], count["bytes"]


class Differences(list[str]):
    """What medback said and a recount does not."""

    def compare(self, what: str, said: object, counted: object) -> None:
        if said != counted:
            self.append(f"{what}: said {said}, counted {counted}")


def ask(life: Life) -> Differences:
    """Every number of the command line against the recount."""
    found = Differences()
    _stats(life, found)
    _sources(life, found)
    _plan(life, found)
    _what_if(life, found)
    _next(life, found)
    return found


def _stats(life: Life, found: Differences) -> None:
    said = life.ok("stats", "--depth", "9", "--unprotected")
    every = list(life.every())
    found.compare("files", told(said), tally(c for _, _, c in every))
    copies = Counter(life.rated(tree, content)[0] for tree, _, content in every)
    found.compare("by_copies", {int(k): v["files"] for k, v in said["by_copies"].items() if v["files"]}, dict(copies))
    unsafe = [(t, p, c) for t, p, c in every if not life.is_safe(t, p, c)]
    found.compare("below_wanted", told(said["below_wanted"]), tally(c for _, _, c in unsafe))
    apart = [(t, p, c) for t, p, c in every if not life.rated(t, c)[1]]
    found.compare("without_elsewhere", told(said["without_elsewhere"]), tally(c for _, _, c in apart))
    whole = said["three_two_one"]
    second = [c for t, _, c in every if life.rated(t, c)[0] < 2]
    holds = [c for t, _, c in every if life.rated(t, c)[0] >= 2 and life.rated(t, c)[1]]
    found.compare("3-2-1 holds", told(whole["holds"]), tally(holds))
    found.compare("3-2-1 elsewhere", told(whole["without_elsewhere"]), tally(c for _, _, c in apart))
    found.compare("3-2-1 second", told(whole["without_second"]), tally(second))
    found.compare(
        "unprotected",
        sorted(
            (f["source"], f["path"], f["size"], f["copies"], f["wanted"], f["elsewhere"], f["elsewhere_wanted"])
            for f in said["unprotected"]
        ),
        sorted(
            (t.alias, p, len(c), life.rated(t, c)[0], t.wanted(p)[0], life.rated(t, c)[1], t.wanted(p)[1])
            for t, p, c in unsafe
        ),
    )
    asked = set()
    for line in said["directories"]:
        alias, directory = line["source"], line["path"]
        asked.add((alias, directory))
        below = [
            (t, p, c) for t, p, c in every if t.alias == alias and (not directory or p.startswith(directory + "/"))
        ]
        where = f"{alias}/{directory}"
        found.compare(where, told(line), tally(c for _, _, c in below))
        found.compare(
            f"{where} below", told(line["below_wanted"]), tally(c for t, p, c in below if not life.is_safe(t, p, c))
        )
        found.compare(
            f"{where} apart", told(line["without_elsewhere"]), tally(c for t, _, c in below if not life.rated(t, c)[1])
        )
        many = Counter(life.rated(t, c)[0] for t, _, c in below)
        found.compare(
            f"{where} by copies", {int(k): v["files"] for k, v in line["by_copies"].items() if v["files"]}, dict(many)
        )
    with_files = {(t.alias, d) for t, p, _ in every for d in above(p)}
    found.compare("directories", with_files - asked, set())
    _places(life, found, said["places"])


def above(path: str) -> Iterator[str]:
    while path:
        path = os.path.dirname(path)
        yield path


def _places(life: Life, found: Differences, said: list[dict[str, Any]]) -> None:
    if not life.named():
        found.compare("places", said, [])
        return
    counted = {}
    for place in {life.place(drive) for drive in life.drives if drive.usable}:
        there = [drive for drive in life.drives if drive.usable and life.place(drive) == place]
        behind = []
        for tree, path, content in life.every():
            (copies, elsewhere), (wanted, apart) = life.rated(tree, content), tree.wanted(path)
            held = any(drive.counts and content in drive.holds for drive in there)
            if not held and (copies < wanted or (elsewhere < apart and place != life.source_place(tree))):
                behind.append(content)
        counted[place] = (
            sorted(drive.name for drive in there),
            tally(behind),
            model.iso_date(max(drive.seen for drive in there)),
            place == folded(life.machine()),
        )
    labels = {one["id"]: one["label"] for one in life.ok("targets")["targets"]}
    found.compare(
        "places",
        {
            folded(one["place"]): (
                sorted(labels[t["target"] if isinstance(t, dict) else t] for t in one["targets"]),
                told(one["behind"]),
                one["last_there"],
                one["here"],
            )
            for one in said
        },
        counted,
    )


def _sources(life: Life, found: Differences) -> None:
    for source in life.ok("sources")["sources"]:
        (tree,) = (tree for tree in life.trees if tree.alias == source["alias"])
        directories = {directory for path in tree.files for directory in above(path)}
        found.compare(
            f"rules of {tree.alias}",
            {rule["path"]: (rule["copies"], rule["elsewhere"], rule["missing"]) for rule in source["rules"]},
            {d: (*rule, d not in directories and not (life.root(tree) / d).is_dir()) for d, rule in tree.rules.items()},
        )
        found.compare(f"place of {tree.alias}", folded(source["place"]), life.source_place(tree))
    for target in life.ok("targets")["targets"]:
        (drive,) = (drive for drive in life.drives if drive.name == target["label"])
        found.compare(f"place of {drive.name}", folded(target["place"]), life.place(drive))
        found.compare(f"state of {drive.name}", target["state"], drive.state)


_RANKS = {"active": 0, "retired": 1, "suspect": 2}


def _plan(life: Life, found: Differences) -> None:
    every = list(life.every())
    groups = Counter(frozenset(d.name for d in life.holders(c)) for _, _, c in every)
    reachable = [holders for holders in groups if holders]
    here = folded(life.machine())
    away = {drive.name: life.place(drive) for drive in life.drives if drive.usable and life.place(drive) != here}
    names = [drive.name for drive in life.drives if drive.usable]
    ranks = {drive.name: _RANKS[drive.state] for drive in life.drives if drive.usable}
    for prefer in ("trips", "drives"):

        def cost(chosen: Collection[str]) -> tuple[object, ...]:
            trips = len({away[name] for name in chosen if name in away})
            worst = [sum(ranks[name] == rank for name in chosen) for rank in (2, 1)]
            return (trips, len(chosen), worst) if prefer == "trips" else (len(chosen), worst, trips)  # noqa: B023

        said = life.ok("plan", "--all", "--prefer", prefer)
        found.compare("plan missing", told(said["missing"]), tally(c for _, _, c in every))
        bare = [c for _, _, c in every if not life.holders(c)]
        found.compare("plan unreachable", told(said["unreachable"]), tally(bare))
        chosen = [step["label"] for step in said["steps"]]
        best = min(
            cost(some)
            for number in range(len(names) + 1)
            for some in combinations(names, number)
            if all(holders & set(some) for holders in reachable)
        )
        found.compare(f"plan --prefer {prefer} cost", cost(chosen), best)
        found.compare("plan exact", said["exact"], True)
        left = list(every)
        for step in said["steps"]:
            drive = next(drive for drive in life.drives if drive.name == step["label"])
            brings = [one for one in left if drive in life.holders(one[2])]
            left = [one for one in left if drive not in life.holders(one[2])]
            found.compare(f"plan step {drive.name}", told(step), tally(c for _, _, c in brings))
            rest = step["remaining_files"], step["remaining_bytes"]
            found.compare(f"plan after {drive.name}", rest, tally(c for _, _, c in left))
            found.compare(f"plan place {drive.name}", folded(step["place"]), life.place(drive))
            found.compare(f"plan trip {drive.name}", step["trip"], drive.name in away)
        visited = [away.get(name, "") for name in chosen]
        found.compare(
            "plan place by place",
            len([a for a, b in zip(["-", *visited], visited, strict=False) if a != b]),
            len(set(visited)),
        )


def _what_if(life: Life, found: Differences) -> None:
    said = life.ok("what-if")
    usable = {drive.name for drive in life.drives if drive.usable}
    found.compare(
        "already bare", told(said["already_bare"]), tally(c for _, _, c in life.every() if not life.holders(c))
    )
    for number, lines in ((1, said["single"]), (2, said["pairs"])):
        found.compare(
            "what-if sets",
            sorted(sorted(one["labels"]) for one in lines),
            sorted(map(sorted, combinations(usable, number))),
        )
        for line in lines:
            gone = line["labels"]
            found.compare(f"what-if {gone}", (told(line["lost"]), told(line["weakened"])), _loss(life, gone, ()))
    places = {life.place(drive) for drive in life.drives if drive.usable} | {life.source_place(t) for t in life.trees}
    found.compare("what-if places", {folded(one["place"]) for one in said["places"]}, places if life.named() else set())
    for line in said["places"]:
        place = folded(line["place"])
        gone = [drive.name for drive in life.drives if drive.usable and life.place(drive) == place]
        asked = life.ok("what-if", "--place", line["place"].upper())
        for one in (line, asked):
            found.compare(f"what-if {place}", (told(one["lost"]), told(one["weakened"])), _loss(life, gone, (place,)))
            back = [c for t, _, c in life.every() if life.source_place(t) == place and life.holders(c, gone)]
            found.compare(f"what-if {place} back", told(one["back"]), tally(back))
            found.compare(f"what-if {place} by", sum(by["files"] for by in one["by"]), len(back))
        lost = [(t.alias, p) for t, p, c in life.every() if life.source_place(t) == place and not life.holders(c, gone)]
        found.compare(
            f"what-if {place} files", sorted((f["source"], f["path"]) for f in asked["lost_files"]), sorted(lost)
        )


def _loss(life: Life, gone: Collection[str], places: Collection[str]) -> tuple[Tally, Tally]:
    """(lost, weakened) when these drives die, and with places the sources at them."""
    lost, weakened = [], []
    for tree, path, content in life.every():
        before, after = life.holders(content), life.holders(content, gone)
        is_lost = not after and (life.source_place(tree) in places if places else bool(before))
        fewer = sum(drive.counts for drive in after) < sum(drive.counts for drive in before)
        if is_lost:
            lost.append(content)
        elif fewer and not life.is_safe(tree, path, content, gone):
            weakened.append(content)
    return tally(lost), tally(weakened)


def _next(life: Life, found: Differences) -> None:
    with open_session(life.shell.session) as session:
        answer = next_drive(session)
    every = list(life.every())
    unsafe = [(t, p, c) for t, p, c in every if not life.is_safe(t, p, c)]
    found.compare("next unsafe", (answer.unsafe.files, answer.unsafe.bytes), tally(c for _, _, c in unsafe))
    for offer in answer.offers:
        drive = next(drive for drive in life.drives if drive.name == offer.target.label)
        takes, saves = [], []
        for tree, path, content in unsafe:
            (copies, elsewhere), (wanted, apart) = life.rated(tree, content), tree.wanted(path)
            away = life.place(drive) != life.source_place(tree)
            if content not in drive.holds and (copies < wanted or (away and elsewhere < apart)):
                takes.append(content)
                if copies + 1 >= wanted and elsewhere + away >= apart:
                    saves.append(content)
        found.compare(f"next {drive.name} takes", (offer.takes.files, offer.takes.bytes), tally(takes))
        found.compare(f"next {drive.name} saves", (offer.saves.files, offer.saves.bytes), tally(saves))
    if answer.apart.files:
        offered = {offer.target.label for offer in answer.offers}
        takers = [life.place(drive) for drive in life.drives if drive.name in offered]
        apart = [
            c
            for t, p, c in unsafe
            if life.rated(t, c)[1] < t.wanted(p)[1] and all(place == life.source_place(t) for place in takers)
        ]
        found.compare("next apart", (answer.apart.files, answer.apart.bytes), tally(apart))


# --- the fire ---------------------------------------------------------------------------------------------------------


def fires(life: Life, where: Path) -> Iterator[str]:
    """What goes wrong when each place in turn burns: see `burn`."""
    kept = {life.source_place(tree) for tree in life.trees} | {life.place(each) for each in life.drives if each.usable}
    for number, place in enumerate(sorted(kept)):
        yield from burn(life, place, where / f"machine-{number}")


def burn(life: Life, place: str, machine: Path) -> Differences:
    """Ask what a fire at a place would take; then restore on a new machine, from the drives of the other places alone.
    A file came back if its bytes did: a drive that lags knows it under the name it had."""
    found = Differences()
    lost = {(file["source"], file["path"]) for file in life.ok("what-if", "--place", place)["lost_files"]}
    machine.mkdir()
    shell = Shell(machine)
    left = [drive for drive in life.drives if drive.usable and life.place(drive) != place]
    for drive in left:
        shutil.copytree(life.where / "away" / drive.name, machine / drive.name)
    words = [("restore", drive.name, "--to", "back") for drive in (*left, *left)]  # each may know what another has
    words += [("restore", drive.name, "--deleted", "--to", "gone") for drive in left]
    for one in words:
        code, answer = shell.json(*one)
        assert code in (0, 3, 4, 6), answer
    back = {content for root in ("back", "gone") for _, content in read_tree(machine / root)}
    for tree, path, content in life.every():
        if life.source_place(tree) == place:
            came_back = f"{tree.alias}/{path} comes back after a fire at {place}"
            found.compare(came_back, (tree.alias, path) not in lost, content in back)
    shutil.rmtree(machine)
    return found
