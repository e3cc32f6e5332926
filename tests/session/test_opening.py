"""What lies where the session DB should be, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import session_builder as rows
from support.mounting import Mounter, mount_fixture  # noqa: F401  (a fixture)
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.session import open_session
from support.stored import put_file
from medback_core.session.files import ensure_directory
from medback_core.session.source_list import listed_sources
from medback_core.session.sources import insert_source, find_source, list_sources, mark_metadata, remove_source
from medback_core.session.tree import directory_key, totals_by_source
from medback_core.errors import Refused
from medback_core.session import intact, opening, schema, source_list, store


@contextlib.contextmanager
def refused(kind: str) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.kind == kind


def everything(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "session"


@pytest.fixture(autouse=True)
def home(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


@pytest.fixture
def used(path: Path) -> Path:
    """A session DB with something in it, closed."""
    with open_session(path) as session:
        photos = rows.source(session)
        with session.transaction():
            for number in range(500):
                rows.put(session, photos, b"a/%d" % number, rows.content(number))
    return path


def test_a_missing_one_is_made_private_from_its_first_byte(path: Path):
    seen: list[tuple[str, int]] = []
    previous = os.umask(0)
    try:
        disk.set_observer(lambda what, *details: seen.append((what, details[-1])) if what == "create" else None)
        with open_session(path) as session:
            assert session.notes == [] and not session.needs_rebuild
            rows.source(session)
            for companion in ("session", "session-wal", "session-shm"):
                assert stat.S_IMODE((path.parent / companion).stat().st_mode) == 0o600
    finally:
        os.umask(previous)
        disk.set_observer(None)
    assert seen[0] == ("create", 0o600)


def test_a_missing_one_is_not_made_when_that_was_not_asked(path: Path):
    with refused("no-session"):
        open_session(path, create=False)
    assert everything(path.parent) == {}


def test_no_directory_for_it_is_refused(path: Path):
    with refused("no-session"):
        open_session(path.parent / "nowhere" / "session")


def test_what_is_there_comes_back(used: Path):
    with open_session(used, create=False) as session:
        assert [one.alias for one in list_sources(session)] == ["photos"]
        assert not session.needs_rebuild and session.notes == []


def test_a_missing_one_beside_a_list_of_sources_wants_a_rebuild(used: Path):
    for suffix in ("", "-wal", "-shm"):
        Path(f"{used}{suffix}").unlink(missing_ok=True)
    with open_session(used) as session:
        assert session.needs_rebuild
    assert listed_sources(used) == [b"/src/photos"]


def test_a_session_whose_sources_were_all_forgotten_wants_none(used: Path):
    with open_session(used) as session:
        remove_source(session, find_source(session, "photos").key)
    with open_session(used) as session:
        assert not session.needs_rebuild


def test_an_empty_file_is_a_new_session(path: Path):
    path.touch(0o600)
    with open_session(path) as session:
        assert list_sources(session) == [] and session.notes == []
    assert sorted(everything(path.parent)) == ["session", "session.crc", "session.lock"]


def test_one_that_was_emptied_wants_a_rebuild(used: Path):
    used.write_bytes(b"")
    with open_session(used) as session:
        assert session.needs_rebuild


@pytest.mark.parametrize(
    "data",
    [b"x", b"not a database\n" * 1000, os.urandom(8192), opening.HEADER + b"\0" * 3],
    ids=["one byte", "text", "noise", "a header alone"],
)
def test_garbage_that_was_never_ours_is_refused_untouched(path: Path, data: bytes):
    path.write_bytes(data)
    before = everything(path.parent)
    with refused("not-a-session"):
        open_session(path)
    assert everything(path.parent) == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"garbage" * 5000, id="garbage"),
        pytest.param(lambda data: data[:50], id="a few bytes"),
        pytest.param(lambda data: data[: len(data) // 2], id="half of it"),
        pytest.param(lambda data: data[:4096], id="one page"),
        pytest.param(lambda data: data[:8192] + os.urandom(len(data) - 8192), id="garbage after two pages"),
        pytest.param(lambda data: data[:20000] + os.urandom(8192) + data[28192:], id="garbage in the middle"),
    ],
)
def test_one_of_ours_that_broke_is_set_aside(used: Path, damage: Callable[[bytes], bytes]):
    broken = damage(used.read_bytes())
    used.write_bytes(broken)
    with open_session(used) as session:
        assert session.needs_rebuild
        assert "kept as session.aside-" in message(session.notes[0])
        assert list_sources(session) == []
    kept = [one for one in used.parent.glob("session.aside-*") if not one.name.endswith(("-wal", "-shm"))]
    assert [one.read_bytes() for one in kept] == [broken]


def test_two_set_aside_in_one_second_are_both_kept(used: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("medback_core.model.now", lambda: 1_800_000_000)
    for data in (b"first" * 100, b"second" * 100):
        used.write_bytes(data)
        open_session(used).close()
    assert sorted(one.read_bytes()[:5] for one in used.parent.glob("session.aside-*")) == [b"first", b"secon"]


def strike(path: Path, at: int, what: bytes) -> None:
    """Overwrite bytes as rot does: size and time of the file stay."""
    status = path.stat()
    with open(path, "r+b") as stream:
        stream.seek(at)
        stream.write(what)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def settled(used: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that was closed a while ago, too large to be gone through for its structure each time."""
    monkeypatch.setattr(intact, "RECENT_NS", 0)
    monkeypatch.setattr(intact, "CHECKED_THOROUGHLY", 0)
    return used


def test_one_flipped_bit_anywhere_is_seen_when_it_is_opened(settled: Path):
    data = settled.read_bytes()
    note = intact.note_path(settled).read_bytes()
    status = settled.stat()
    for at in range(101, len(data), 20011):
        strike(settled, at, bytes([data[at] ^ 4]))
        with open_session(settled) as session:
            assert session.needs_rebuild and "was damaged" in message(session.notes[0]), at
        settled.write_bytes(data)
        os.utime(settled, ns=(status.st_atime_ns, status.st_mtime_ns))
        intact.note_path(settled).write_bytes(note)
    with open_session(settled) as session:
        assert session.notes == []


def test_a_flipped_bit_is_seen_beside_changes_of_a_killed_one_too(settled: Path):
    child = os.fork()
    if child == 0:
        session = open_session(settled)
        rows.source(session, "later")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert intact.has_wal(settled)
    data = settled.read_bytes()
    strike(settled, len(data) // 2, bytes([data[len(data) // 2] ^ 1]))
    with open_session(settled) as session:
        assert session.needs_rebuild


def test_with_no_note_its_structure_is_looked_through(settled: Path):
    intact.note_path(settled).unlink()
    data = settled.read_bytes()
    strike(settled, len(data) - 40960, b"\x5a" * 4096)
    with open_session(settled) as session:
        assert session.needs_rebuild


@pytest.mark.parametrize("note", [b"", b"size=1 mtime_ns=1 crc=00000000\n", b"\xff" * 60, b"x" * 10**6])
def test_a_note_that_says_something_else_costs_nothing(settled: Path, note: bytes):
    intact.note_path(settled).write_bytes(note)
    with open_session(settled) as session:
        assert session.notes == [] and len(list_sources(session)) == 1
    assert intact.note_path(settled).read_bytes().startswith(b"size=%d " % settled.stat().st_size)


def test_the_note_is_of_the_last_to_close_it(settled: Path):
    with open_session(settled) as one:
        rows.source(one, "first")
        intact.note_path(settled).unlink()
        open_session(settled).close()
        assert not intact.note_path(settled).exists()
        with open_session(settled) as other:
            rows.source(other, "other")
        rows.source(one, "one")
    with open_session(settled) as session:
        assert len(list_sources(session)) == 4 and session.notes == []


def test_what_breaks_while_it_is_open_is_told_when_it_is_met(settled: Path):
    with open_session(settled) as session:
        at = settled.stat().st_size - 40960
        strike(settled, at, os.urandom(40960))
        with pytest.raises(store.SessionDamaged) as caught, session.transaction():
            session.db.execute("UPDATE file SET mode = 7")
    assert "rebuild" in message(caught.value) and caught.value.exit_code == 4


def test_one_of_a_later_version_is_refused_untouched(used: Path):
    with contextlib.closing(sqlite3.connect(used)) as raw:
        raw.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = everything(used.parent)
    with refused("too-new"):
        open_session(used)
    assert everything(used.parent) == before


def test_another_programs_database_is_refused_untouched(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
        raw.commit()
        raw.execute("INSERT INTO bookmarks VALUES ('x')")
        raw.commit()
        before = path.read_bytes()
        with refused("not-a-session"):
            open_session(path)
        assert path.read_bytes() == before
        assert raw.execute("SELECT * FROM bookmarks").fetchall() == [("x",)]


def test_the_familys_database_is_set_aside_and_kept(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE src_dirs (id INTEGER PRIMARY KEY, path TEXT)")
        raw.execute("INSERT INTO src_dirs VALUES (1, '/home/ada')")
        raw.commit()
    with open_session(path) as session:
        assert "Python medback" in message(session.notes[0])
    (aside,) = path.parent.glob("session.aside-*")
    with contextlib.closing(sqlite3.connect(aside)) as raw:
        assert raw.execute("SELECT path FROM src_dirs").fetchall() == [("/home/ada",)]


def test_a_directory_is_refused(path: Path):
    path.mkdir()
    with refused("not-a-session"):
        open_session(path)


def test_a_pipe_is_refused_and_not_waited_for(path: Path):
    os.mkfifo(path)
    with refused("not-a-session"):
        open_session(path)


def test_a_link_to_the_db_is_the_same_session(used: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(used)
    with open_session(link) as session:
        assert session.path == used, "its lock and its list are those of the file itself"


def as_nobody(do: Callable[[], None]) -> str:
    """What a Refused says when this is done by a user who may not: another one for root, oneself for everybody else;
    empty when nothing was refused."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        words = "crashed"
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            try:
                do()
                words = ""
            except Refused as refusal:
                words = refusal.kind
        finally:
            os.write(write, words.encode())
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return stream.read()


def test_one_that_cannot_be_written_is_refused_in_words(used: Path):
    for directory in used.parents:  # pytest's own let no other user through; none above them is touched
        if Path(tempfile.gettempdir()) in directory.parents:
            directory.chmod(0o755)

    def write() -> None:
        with open_session(used) as session:
            mark_metadata(session, None, dirty=True)

    used.chmod(0)
    assert as_nobody(write) == "session-unreadable"
    used.chmod(0o444)
    used.parent.chmod(0o555)
    assert as_nobody(write) == "session-read-only"
    assert as_nobody(lambda: open_session(used.parent / "new").close()) == "session-read-only"
    used.parent.chmod(0o755)


@contextlib.contextmanager
def its_lock(path: Path) -> Iterator[None]:
    """As every operation that changes a session holds it, once the others have let go of it."""
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(Refused):
                stack.enter_context(disk.lock_session(os.fsencode(path)))
                break
        yield


@pytest.mark.parametrize("before", [None, b"", b"garbage" * 5000], ids=["missing", "empty", "damaged"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 24, 40, 64, 96])
def test_killed_while_it_is_made_nothing_half_made_is_seen(path: Path, after: int, before: bytes | None):
    if before is not None:
        path.write_bytes(before)
        source_list.list_path(path).write_bytes(b"/src/photos\n")
    child = os.fork()
    if child == 0:  # dies before a change to the directory, or in a statement of the making, a later one each time
        count = 0

        def trace(*_what: object) -> None:
            nonlocal count
            count += 1
            if count > after:
                os.kill(os.getpid(), signal.SIGKILL)

        connect = sqlite3.connect

        def traced(*args: object, **kwargs: object) -> sqlite3.Connection:
            connection = connect(*args, **kwargs)  # type: ignore[call-overload]
            connection.set_trace_callback(trace)
            return connection

        disk.set_observer(trace)
        store.sqlite3.connect = traced  # type: ignore[assignment]
        with contextlib.suppress(Exception):
            open_session(path)
        os._exit(0)
    os.waitpid(child, 0)
    if path.exists() and path.read_bytes() != before:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as raw:
            assert raw.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    with open_session(path) as session:
        assert rows.source(session).alias == "photos"
    assert not [one for one in everything(path.parent) if ".new" in one]


def test_killed_in_a_transaction_it_is_as_before(used: Path):
    child = os.fork()
    if child == 0:
        session = open_session(used)
        with session.transaction() as raw:
            raw.execute("DELETE FROM file")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with open_session(used) as session:
        assert sum(c.files for c in totals_by_source(session)[1].values()) == 500


@contextlib.contextmanager
def locked_by_me(path: Path) -> Iterator[None]:
    """As every operation that changes a session holds it, once the others have let go of it."""
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(Refused):
                stack.enter_context(disk.lock_session(os.fsencode(path)))
                break
        yield


@pytest.mark.parametrize("before", [None, b"", b"garbage" * 5000], ids=["missing", "empty", "damaged"])
def test_many_that_make_one_at_the_same_instant_all_get_the_same(
    path: Path, before: bytes | None, monkeypatch: pytest.MonkeyPatch
):
    for module in (opening, store):
        monkeypatch.setattr(module, "WAIT", 200)  # seconds; on a machine that is busy a transaction may take long
    if before is not None:
        path.write_bytes(before)
        source_list.list_path(path).write_bytes(b"/src/photos\n")
    waiting, go = os.pipe()
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            ok = 1
            try:
                os.close(go)
                os.read(waiting, 1)  # all are let go at once
                for turn in range(4):  # opening it while another closes it is seen too
                    with open_session(path) as session, its_lock(path):
                        rows.source(session, f"s{number}-{turn}")
                ok = 0
            finally:
                os._exit(ok)
        children.append(child)
    os.close(waiting)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    with open_session(path) as session:
        assert len(list_sources(session)) == 24
    assert len(list(path.parent.glob("session.aside-*"))) == (before == b"garbage" * 5000)


def test_one_in_use_is_refused_in_words(used: Path, monkeypatch: pytest.MonkeyPatch):
    with open_session(used) as one, open_session(used) as other:
        other.db.execute("PRAGMA busy_timeout = 10")
        said: list[str] = []
        other.db.set_trace_callback(said.append)
        with one.transaction(), refused("locked"), other.transaction():
            pass
        assert said == ["BEGIN IMMEDIATE"], "SQLite waits for the other one, and nothing else does"
        with other.transaction():
            pass


def test_a_full_disk_is_refused_in_words_and_nothing_is_half_done(used: Path):
    with open_session(used) as session:
        session.db.execute("PRAGMA max_page_count = 1")  # no further page than there are now
        photos = find_source(session, "photos")
        with refused("session-full"), session.transaction():
            key = ensure_directory(session, photos.key, b"new")
            for number in range(5000):
                put_file(session, key, rows.seen(b"%d" % number, rows.content(f"n{number}")))
        assert directory_key(session, photos.key, b"new") is None
        assert not session.db.in_transaction


def test_a_disk_with_no_room_for_what_sqlite_puts_beside_the_db_is_full(tmp_path: Path, mount: Mounter):
    """Even a question needs some: SQLite says "disk I/O error" then."""
    home = tmp_path / "home"
    mount("-t", "tmpfs", "-o", "size=2m", "none", point=home)
    open_session(home / "session.db").close()
    with contextlib.suppress(OSError), open(home / "rest", "wb") as rest:
        while True:
            rest.write(bytes(4096))
            rest.flush()
    with refused("session-full"):
        open_session(home / "session.db")


def test_the_list_of_sources_keeps_any_path(path: Path):
    with open_session(path) as session:
        for number, name in enumerate((b"/plain", b"/with\nnewline", b"/not-\xff-utf8", "/\u202e".encode(), b'/"q"')):
            insert_source(session, rows.Source(0, f"s{number}", f"a{number}", name))
        wanted = [one.path for one in list_sources(session)]
    assert listed_sources(path) == wanted


def test_lines_of_the_list_that_make_no_sense_are_passed_over(path: Path):
    source_list.list_path(path).write_bytes(b'/good\nrelative\n"/also good"\n"broken\n\xff\xfe\n"\\ud800x"\n')
    assert listed_sources(path) == [b"/good", b"/also good"]


def test_a_sound_db_is_never_taken_for_a_damaged_one(tmp_path: Path) -> None:
    """quick_check of SQLite 3.40 sees NULLs in a table WITHOUT ROWID whose columns stand in another order than its key."""
    with open_session(tmp_path / "s.db") as session:
        tables = session.db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for table, sql in tables:
            if "WITHOUT ROWID" in sql:
                keys = [row[5] for row in session.db.execute(f"PRAGMA table_info({table})")]
                assert keys[: max(keys)] == sorted(key for key in keys if key), table
