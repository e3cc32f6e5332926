"""Where sources and targets are kept, and what is wanted of each file: so many copies, so many of them elsewhere.

Few things are wanted (each source's own numbers, and a rule here and there), so that a directory's totals fall into few
parts, each of which wants one thing.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from medback_core import names
from medback_core.model import HOME, Need, Rule, Source, Target, folded_place

from .sources import list_sources
from .store import Session
from .targets import counting_keys
from .tree import PlacementCounts, directory_key, totals_of

# --- places -----------------------------------------------------------------------------------------------------------


def named_places(session: Session) -> dict[str, str]:
    """Every place that was named, folded -> as first written; empty if there is none."""
    found: dict[str, str] = {}
    for place in session.column(
        "SELECT place FROM source WHERE place IS NOT NULL UNION ALL SELECT place FROM target WHERE place IS NOT NULL"
    ):
        found.setdefault(folded_place(place), place)
    return found


def spelled(session: Session, place: str) -> str | None:
    """A place as it is kept: as it was first written, where it is known; None for an empty one: nothing is said."""
    place = " ".join(names.utf8(place).split())
    return named_places(session).get(folded_place(place), place) if place else None


def machine_place(session: Session) -> str:
    """Where this machine is: at the place of its sources, at home where they are at several."""
    sources = list_sources(session)
    here = [source for source in sources if source.scanned_at is not None] or sources
    places = {folded_place(source.place): source.place for source in here}
    return next(iter(places.values())) or HOME if len(places) == 1 else HOME


@dataclass(frozen=True, slots=True)
class Places:
    """Where each thing of a session is kept."""

    named: dict[str, str]  # folded -> as first written
    here: str  # where this machine is, as it is written

    def of(self, kept: Source | Target) -> str:
        """The place of a source or a target, folded."""
        return folded_place(kept.place or (self.here if isinstance(kept, Target) else HOME))

    def shown(self, place: str) -> str:
        """A folded place as people write it."""
        return self.named.get(place, self.here if folded_place(self.here) == place else place)

    def called(self, kept: Source | Target) -> str:
        """The place of a source or a target, as people write it."""
        return self.shown(self.of(kept))


def places(session: Session) -> Places:
    """Where each thing of this session is kept."""
    return Places(named_places(session), machine_place(session))


def target_places(session: Session) -> dict[int, str]:
    """The key of each target, known or not, -> its place, folded; a drive that is none yet is where this machine is."""
    here = folded_place(machine_place(session))
    rows = session.db.execute("SELECT id, place FROM target").fetchall()
    there = {place: folded_place(place) for place in {row[1] for row in rows} if place}
    return defaultdict(lambda: here, {key: there.get(place, here) for key, place in rows})


# --- rules ------------------------------------------------------------------------------------------------------------


def list_rules(session: Session, source: int) -> list[Rule]:
    """The rules of a source (a key) by path, dropped ones too."""
    rows = session.db.execute(
        "SELECT path, copies, elsewhere, rev FROM rule WHERE source_id = ? ORDER BY path", (source,)
    )
    return [Rule(*row) for row in rows]


def save_rules(session: Session, source: int, rules: Iterable[Rule]) -> None:
    """These rules are true of a source, and others of it stay. Its metadata is out of date then."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO rule (source_id, path, copies, elsewhere, rev) VALUES (?,?,?,?,?)",
            [(source, rule.path, rule.copies, rule.elsewhere, rule.rev) for rule in rules],
        )
        db.execute("UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1) WHERE id = ?", (source,))


def learn_rules(session: Session, source: int, told: Iterable[Rule]) -> None:
    """Take up what a record says of a source's rules: the higher `rev` is true, on a tie the larger numbers."""
    mine = {rule.path: rule for rule in list_rules(session, source)}
    news = []
    for rule in told:
        was = mine.get(rule.path)
        if was is not None and was.rev == rule.rev:
            rule = Rule(rule.path, _larger(was.copies, rule.copies), _larger(was.elsewhere, rule.elsewhere), rule.rev)
        if was is None or (rule != was and rule.rev >= was.rev):
            news.append(rule)
    if news:
        save_rules(session, source, news)


def _larger(one: int | None, other: int | None) -> int | None:
    return max((number for number in (one, other) if number is not None), default=None)


def follow_rules(session: Session, source: int, moved: Mapping[bytes, bytes | None]) -> None:
    """Rules follow their directories, as `moved_rules` has them. Call inside a transaction."""
    rules = {rule.path: rule for rule in list_rules(session, source)}
    news: dict[bytes, Rule] = {}
    for old, new in moved.items():
        if new is None:
            continue
        rule = rules[old]
        rev = max(rule.rev, rules[new].rev if new in rules else 0) + 1
        news[old] = Rule(old, rev=rule.rev + 1)
        news[new] = Rule(new, rule.copies, rule.elsewhere, rev)
    if news:
        save_rules(session, source, news.values())


def moved_rules(session: Session, source: int, number: int, newest: int) -> dict[bytes, bytes | None]:
    """The rules whose directories a scan (its `number`) did not see, though they were there before: old path -> new
    path, if that directory moved or lies in one that did, else None. Files with a key above `newest` are new. To be
    called while what went is still staged."""
    found: dict[bytes, bytes | None] = {}
    for rule in list_rules(session, source):
        if rule.dropped or _seen(session, source, rule.path) in (None, number):
            continue
        found[rule.path], outer = None, rule.path
        while outer and _seen(session, source, outer) != number:
            moved = _moved_to(session, source, outer, newest)
            new = b"" if moved is None else moved + rule.path[len(outer) :]
            if new and _seen(session, source, new) == number:
                found[rule.path] = new
                break
            outer = os.path.dirname(outer)
    return found


def _seen(session: Session, source: int, path: bytes) -> int | None:
    """The number of the scan that last saw a directory; None for one that is not known."""
    return session.value("SELECT seen FROM directory WHERE source_id = ? AND path = ?", source, path)


def _moved_to(session: Session, source: int, directory: bytes, newest: int) -> bytes | None:
    """Where more than half of the files that went from a directory turned up under the same names; None: nowhere."""
    bounds = (source, directory, directory + b"/", directory + b"0")
    gone = (
        "FROM staged s JOIN file f ON f.id = s.file_id JOIN directory d ON d.id = f.directory_id {} "
        "WHERE s.source_id = ?1 AND s.md5 IS NULL AND (d.path = ?2 OR (d.path > ?3 AND d.path < ?4))"
    )
    total = session.value(f"SELECT COUNT(*) {gone.format('')}", *bounds)
    arrived = (
        "JOIN file o ON o.identity_id = f.identity_id AND o.name = f.name AND o.id > ?5 "
        "JOIN directory n ON n.id = o.directory_id AND n.source_id = ?1"
    )
    votes: Counter[bytes] = Counter()
    rows = session.db.execute(f"SELECT DISTINCT f.id, d.path, n.path {gone.format(arrived)}", (*bounds, newest))
    for _, old, new in rows:
        inside = old[len(directory) :]
        if new.endswith(inside) and len(new) > len(inside):
            votes[new[: len(new) - len(inside)]] += 1
    for new, count in votes.most_common(1):
        if 2 * count > total:
            return new
    return None


# --- what is wanted ---------------------------------------------------------------------------------------------------


def _lies_in(path: bytes, directory: bytes) -> bool:
    """Whether a path is a directory, or lies in it; both are relative to the source, b"" the source itself."""
    return not directory or path == directory or path.startswith(directory + b"/")


@dataclass(frozen=True, slots=True)
class Wants:
    """What is wanted inside one source: the deepest rule at or above a directory, else the source's own numbers."""

    source: Source
    rules: tuple[Rule, ...]  # by path: what is outside comes before what is inside

    def at(self, directory: bytes) -> Need:
        """What is wanted of the files directly in a directory, relative to the source."""
        copies, elsewhere = self.source.wanted, self.source.elsewhere
        for rule in self.rules:
            if _lies_in(directory, rule.path):
                copies = copies if rule.copies is None else rule.copies
                elsewhere = elsewhere if rule.elsewhere is None else rule.elsewhere
        return Need(copies, elsewhere, folded_place(self.source.place))

    def parts(self, session: Session, directory: bytes, totals: PlacementCounts) -> list[tuple[Need, PlacementCounts]]:
        """The totals of a directory by what is wanted."""
        inside = [rule.path for rule in self.rules if rule.path != directory and _lies_in(rule.path, directory)]
        parts = [(directory, totals)]
        for path in inside:
            key = directory_key(session, self.source.key, path)
            if key is None:
                continue
            mine = totals_of(session, key)
            number = max(n for n, (outer, _) in enumerate(parts) if _lies_in(path, outer))
            outer, rest = parts[number]
            left = dict(rest)
            for placement, count in mine.items():
                left[placement] -= count
                if not left[placement].files:
                    del left[placement]
            parts[number] = outer, left
            parts.append((path, mine))
        return [(self.at(path), part) for path, part in parts]


def wants_of(session: Session, source: Source) -> Wants:
    """What is wanted inside a source."""
    return Wants(source, tuple(rule for rule in list_rules(session, source.key) if not rule.dropped))


def every_part(session: Session, totals: dict[int, PlacementCounts]) -> Iterator[tuple[Source, Need, PlacementCounts]]:
    """The totals of whole sources (by key) by what is wanted."""
    for source in list_sources(session):
        for need, part in wants_of(session, source).parts(session, b"", totals[source.key]):
            yield source, need, part


def begin_asking(session: Session) -> list[Need]:
    """Fill temp.asks (what is wanted in each directory, by number), temp.need (what that is) and temp.apart (the
    targets that count and lie elsewhere for it); returns what is wanted, by number."""
    db = session.db
    for table in ("asks", "need", "apart"):
        db.execute(f"DROP TABLE IF EXISTS temp.{table}")
    db.execute("CREATE TEMP TABLE asks (directory_id INTEGER PRIMARY KEY, need INTEGER)")
    db.execute("CREATE TEMP TABLE need (id INTEGER PRIMARY KEY, copies INTEGER, elsewhere INTEGER)")
    db.execute("CREATE TEMP TABLE apart (need INTEGER, target_id INTEGER, PRIMARY KEY (need, target_id)) WITHOUT ROWID")
    numbers: dict[Need, int] = {}
    for source in list_sources(session):
        wants = wants_of(session, source)
        number = numbers.setdefault(wants.at(b""), len(numbers))
        db.execute("INSERT INTO temp.asks SELECT id, ? FROM directory WHERE source_id = ?", (number, source.key))
        for rule in wants.rules:
            number = numbers.setdefault(wants.at(rule.path), len(numbers))
            db.execute(
                "UPDATE temp.asks SET need = ?1 WHERE directory_id IN (SELECT id FROM directory "
                "WHERE source_id = ?2 AND (path = ?3 OR (path > ?4 AND path < ?5)))",
                (number, source.key, rule.path, rule.path + b"/", rule.path + b"0"),
            )
    needs = list(numbers)
    db.executemany("INSERT INTO temp.need VALUES (?,?,?)", [(n, need[0], need[1]) for n, need in enumerate(needs)])
    where, counting = target_places(session), counting_keys(session)
    apart = [(n, key) for n, need in enumerate(needs) for key in counting if where[key] != need.place]
    db.executemany("INSERT INTO temp.apart VALUES (?,?)", apart)
    return needs


def needs_of(session: Session, identity: int) -> set[Need]:
    """What is wanted of a content: one need for each of its current paths, empty without any."""
    rows = session.db.execute(
        "SELECT DISTINCT d.source_id, d.path FROM file f JOIN directory d ON d.id = f.directory_id "
        "WHERE f.identity_id = ?",
        (identity,),
    ).fetchall()
    wants = {source.key: wants_of(session, source) for source in list_sources(session)} if rows else {}
    return {wants[source].at(path) for source, path in rows}
