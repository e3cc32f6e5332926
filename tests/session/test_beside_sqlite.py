"""A process that has the DB open reads its file beside SQLite too: SQLite's locks must stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from medback_core.session import open_session
from medback_core.session.intact import _kept, beside_sqlite
from medback_core.session.sources import insert_source, list_sources
from medback_core.model import Source

ANOTHER = """
import sys
from medback_core.session import open_session
from medback_core.session.sources import list_sources
with open_session(sys.argv[1]) as session:
    print([source.alias for source in list_sources(session)])
"""


def seen_by_another_process(path: Path) -> str:
    """What another process reads, and then closes as the last one would: without a WAL, if it is alone."""
    done = subprocess.run([sys.executable, "-c", ANOTHER, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def add(path: Path, alias: str) -> None:
    with open_session(path) as session, session.transaction():
        insert_source(session, Source(0, alias, alias, b"/" + alias.encode()))


def test_another_process_neither_ends_nor_misses_what_this_one_writes(tmp_path: Path):
    """As the app does it: one session open all the time, one more for each job; and the command line meanwhile."""
    path = tmp_path / "s.db"
    open_session(path).close()
    with open_session(path) as reader:
        add(path, "a")
        assert seen_by_another_process(path) == "['a']"
        add(path, "b")
        assert seen_by_another_process(path) == "['a', 'b']"
        assert [source.alias for source in list_sources(reader)] == ["a", "b"]
    assert seen_by_another_process(path) == "['a', 'b']"


def test_the_descriptor_goes_with_the_last_connection(tmp_path: Path):
    path = tmp_path / "s.db"
    open_session(path).close()
    status = path.stat()
    file = status.st_dev, status.st_ino
    with beside_sqlite(path):
        pass
    assert file not in _kept
    with open_session(path):
        with open_session(path), beside_sqlite(path):
            pass
        assert file in _kept
    assert file not in _kept
