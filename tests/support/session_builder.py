"""Sessions filled row by row, without any drive: for tests of the session DB and of what reads it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from medback_core.session import open_session
from medback_core.session.copies import believe_copies, identity_key, record_copies, withdraw_copies
from medback_core.session.files import drop_directories, ensure_directory, files_in
from support.stored import Seen, put_file, remove_files
from medback_core.session.rollup import refresh_oldest
from medback_core.session.sources import insert_source, remove_source
from medback_core.session.targets import save_target, target_by_key
from medback_core.model import Count, Identity, Source, Standing, Target, TargetState
from medback_core.session import Session
from medback_core.session.copies import Copy

MTIME = 1_700_000_000_000_000_000


def content(word: str | int, size: int | None = None) -> Identity:
    """An identity by a word."""
    digest = hashlib.md5(str(word).encode()).digest()
    return Identity(digest[0] * 100 if size is None else size, digest)


def seen(name: bytes, identity: Identity, *, trouble: int = 0, inode: int | None = 1) -> Seen:
    return Seen(name, identity, MTIME, 0o644, 1, inode, MTIME, trouble)


def source(session: Session, alias: str = "photos", *, wanted: int = 2) -> Source:
    return insert_source(session, Source(0, f"id-{alias}", alias, b"/src/" + alias.encode(), wanted))


def target(session: Session, name: str, state: TargetState = TargetState.ACTIVE, *, known: bool = True) -> Target:
    return save_target(session, Target(0, name, name.upper(), state, known))


def put(session: Session, of: Source, path: bytes, identity: Identity, *, trouble: int = 0) -> int:
    """Put one file; returns its identity's key."""
    directory, _, name = path.rpartition(b"/")
    with session.transaction():
        key = ensure_directory(session, of.key, directory)
        return put_file(session, key, seen(name, identity, trouble=trouble))


def copy(
    session: Session,
    identity: Identity | int,
    on: Target,
    standing: Standing = Standing.VERIFIED,
    *,
    path: bytes | None = None,
    checked: int | None = 100,
) -> None:
    """Record a copy."""
    key = identity if isinstance(identity, int) else identity_key(session, identity)
    record_copies(session, [Copy(key, on.key, standing, path, None, checked)])


def set_state(session: Session, of: Target, state: TargetState) -> Target:
    now = target_by_key(session, of.key)
    return save_target(session, replace(now, state=state))


def totals(session: Session, directory: int) -> dict[int, Count]:
    """The totals of a directory, counted from the rows of its files."""
    rows = session.db.execute(
        "WITH RECURSIVE below (id) AS (SELECT ? UNION ALL SELECT d.id FROM directory d JOIN below b ON d.parent_id = b.id) "
        "SELECT i.placement_id, COUNT(*), SUM(i.size) FROM below b JOIN file f ON f.directory_id = b.id "
        "JOIN identity i ON i.id = f.identity_id GROUP BY i.placement_id",
        (directory,),
    )
    return {row[0]: Count(row[1], row[2]) for row in rows}


class History:
    """Random things that happen to a session, each through the function an operation would call."""

    def __init__(self, session: Session, rng: random.Random) -> None:
        self.session = session
        self.rng = rng
        self.sources = [source(session, "photos", wanted=2), source(session, "music", wanted=3)]
        self.targets = [
            target(session, f"t{n}", state)
            for n, state in enumerate([*([TargetState.ACTIVE] * 3), TargetState.SUSPECT, TargetState.RETIRED])
        ]
        self.targets.append(target(session, "unknown", known=False))
        self.contents = [content(n, rng.choice([0, 1, 10, 10, 1000, 1 << 40])) for n in range(12)]
        self.directories = [b"", b"a", b"a/b", b"a/b/c", b"\xff\xfe", "a/\u00e9\u00e9".encode(), b"a!", b"x/[y]"]

    def some_contents(self) -> list[int]:
        chosen = self.rng.sample(self.contents, self.rng.randint(1, 5))
        return [identity_key(self.session, one) for one in chosen]

    def step(self) -> None:
        steps = [
            self.put,
            self.put,
            self.put,
            self.remove,
            self.record,
            self.record,
            self.believe,
            self.withdraw,
            self.state,
            self.put_and_record_together,
            self.drop,
            self.forget_source,
            self.introduce,
        ]
        weights = [*([4] * 11), 0.4, 1]
        self.rng.choices(steps, weights)[0]()

    def put(self) -> None:
        with self.session.transaction():
            key = ensure_directory(self.session, self.rng.choice(self.sources).key, self.rng.choice(self.directories))
            for _ in range(self.rng.randint(1, 6)):
                name = b"f%d" % self.rng.randrange(6)
                trouble = int(self.rng.random() < 0.1)
                put_file(self.session, key, seen(name, self.rng.choice(self.contents), trouble=trouble))

    def remove(self) -> None:
        keys = [row[0] for row in self.session.db.execute("SELECT id FROM file")]
        with self.session.transaction():
            remove_files(self.session, self.rng.sample(keys, min(len(keys), self.rng.randint(1, 4))))

    def record(self) -> None:
        on = self.rng.choice(self.targets)
        rows = []
        for key in self.some_contents():
            standing = self.rng.choice(list(Standing))
            date = self.rng.choice([None, self.rng.randint(1, 1000)])
            rows.append(Copy(key, on.key, standing, b"p/%d" % key, MTIME, date, True))
        record_copies(self.session, rows)

    def believe(self) -> None:
        rows = [
            (key, self.rng.choice(self.targets).key, self.rng.choice(list(Standing))) for key in self.some_contents()
        ]
        believe_copies(self.session, rows)

    def withdraw(self) -> None:
        withdraw_copies(self.session, self.rng.choice(self.targets).key, self.some_contents())

    def state(self) -> None:
        set_state(self.session, self.rng.choice(self.targets[:-1]), self.rng.choice(list(TargetState)))

    def put_and_record_together(self) -> None:
        with self.session.transaction():
            for _ in range(self.rng.randint(2, 5)):
                self.rng.choice([self.put, self.record, self.remove, self.withdraw])()

    def drop(self) -> None:
        """Directories that hold nothing go, children with their parents."""
        rows = self.session.db.execute("SELECT id, source_id, path FROM directory WHERE path <> x''").fetchall()
        if not rows:
            return
        _, owner, path = self.rng.choice(rows)
        below = [key for key, s, p in rows if s == owner and (p == path or p.startswith(path + b"/"))]
        with self.session.transaction():
            for key in below:
                remove_files(self.session, [row.key for row in files_in(self.session, key).values()])
            drop_directories(self.session, below)

    def forget_source(self) -> None:
        old = self.rng.choice(self.sources)
        remove_source(self.session, old.key)
        self.sources[self.sources.index(old)] = source(self.session, old.alias, wanted=old.wanted)

    def introduce(self) -> None:
        self.targets[-1] = save_target(self.session, replace(self.targets[-1], known=self.rng.random() < 0.5))


def random_session(path: Path, seed: int, steps: int = 40) -> tuple[Session, History]:
    """A session with a past, in one transaction; that each step alone leaves all right `test_rollup` shows."""
    session = open_session(path)
    with session.transaction():
        history = History(session, random.Random(seed))
        for _ in range(steps):
            history.step()
        refresh_oldest(session.db)
    return session, history


def aliases(files: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    return set(files)
