"""The sources a session knows."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from medback_core import disk, names
from medback_core.errors import Refused
from medback_core.model import Count, Source

from .rollup import flush
from .source_list import write_source_list
from .states import SOURCE, forget_state
from .store import Session

_FIELDS = tuple(one.name for one in fields(Source))[2:]  # each a column of its own name, behind `id` and `sid`
_COLUMNS = ", ".join(("id", "sid", *_FIELDS))
_facts = attrgetter("alias", "path", "wanted", "excludes", "rev", "elsewhere", "place")
_NEVER_THERE = 2  # of source.metadata_dirty, beside 0 (as written) and 1 (to be written again)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32: no i, l, o, u


def new_id() -> str:
    """A fresh id for a source or a target: 12 characters of lower-case Crockford base32 (60 bits)."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(12))


def _source(row: tuple) -> Source:
    values: dict[str, Any] = dict(zip(_FIELDS, row[2:], strict=True))
    values["excludes"], values["in_place"] = tuple(json.loads(values["excludes"])), bool(values["in_place"])
    if values["one_file_system"] is not None:
        values["one_file_system"] = bool(values["one_file_system"])
    return Source(row[0], row[1], **values)


def _values(source: Source) -> list[object]:
    """The values of all columns of `_FIELDS`. What was scanned here is in its place."""
    source = replace(source, in_place=source.in_place or source.scanned_at is not None)
    return [json.dumps(source.excludes) if name == "excludes" else getattr(source, name) for name in _FIELDS]


def list_sources(session: Session) -> list[Source]:
    """All sources, in the order they were added."""
    return [_source(row) for row in session.db.execute(f"SELECT {_COLUMNS} FROM source ORDER BY id")]


def source_by_key(session: Session, key: int) -> Source:
    return _source(session.db.execute(f"SELECT {_COLUMNS} FROM source WHERE id = ?", (key,)).fetchone())


def source_by_id(session: Session, sid: str) -> Source | None:
    """The source with this lasting id."""
    row = session.db.execute(f"SELECT {_COLUMNS} FROM source WHERE sid = ?", (sid,)).fetchone()
    return _source(row) if row else None


def find_source(session: Session, alias: str) -> Source:
    """The source with this alias (or id). Raises Refused."""
    alias = names.utf8(alias)
    row = session.db.execute(f"SELECT {_COLUMNS} FROM source WHERE alias = ? OR sid = ?", (alias, alias)).fetchone()
    if row is None:
        raise Refused("no-such-source", source=alias, known=tuple(source.alias for source in list_sources(session)))
    return _source(row)


def free_alias(session: Session, base: str, *, but: int | None = None) -> str:
    """`base`, or `base-2`, `base-3`, … where another source (not the one with key `but`) has it."""
    taken = dict(session.db.execute("SELECT alias, id FROM source"))
    return disk.free_name(disk.numbered(base), lambda alias: taken.get(alias, but) != but)


def insert_source(session: Session, source: Source) -> Source:
    """Insert a source (its `key` is ignored) and the directory row of its root; returns it with its key."""
    with session.transaction() as db:
        marks = ",".join("?" * len(_FIELDS))
        key = db.execute(
            f"INSERT INTO source (sid, metadata_dirty, {', '.join(_FIELDS)}) VALUES (?,?,{marks})",
            (source.id, _NEVER_THERE, *_values(source)),
        ).lastrowid
        assert key is not None
        db.execute("INSERT INTO directory (source_id, path) VALUES (?, x'')", (key,))
    write_source_list(session)
    return source_by_key(session, key)


def save_source(session: Session, source: Source) -> None:
    """Write back a changed source; its metadata file is then out of date until it is next written."""
    was = source_by_key(session, source.key)
    with session.transaction() as db:
        now = ", ".join(f"{name} = ?" for name in _FIELDS)
        db.execute(
            f"UPDATE source SET {now}, metadata_dirty = MAX(metadata_dirty, ?) WHERE id = ?",
            (*_values(source), _facts(was) != _facts(source), source.key),
        )
        if was.path != source.path or was.alias != source.alias:
            db.execute("UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1)")  # siblings name each other
        if was.path != source.path:
            write_source_list(session, dropped=[was.path])


def remove_source(session: Session, key: int) -> None:
    """Forget a source and its tree; identities and copies stay known. No file is touched."""
    path = source_by_key(session, key).path
    with session.transaction() as db:
        below = "directory_id IN (SELECT id FROM directory WHERE source_id = ?)"
        db.execute(f"DELETE FROM file WHERE {below}", (key,))
        flush(db)
        for table in ("link", "rollup"):
            db.execute(f"DELETE FROM {table} WHERE {below}", (key,))
        db.execute("UPDATE directory SET parent_id = NULL WHERE source_id = ?", (key,))
        for table in ("directory", "staged", "gone", "expected", "expected_directory", "gap", "nested", "rule", "twin"):
            db.execute(f"DELETE FROM {table} WHERE source_id = ?", (key,))
        sid = source_by_key(session, key).id
        forget_state(session, SOURCE, sid)
        db.execute("DELETE FROM history WHERE source = ?", (sid,))
        db.execute("DELETE FROM source WHERE id = ?", (key,))
        db.execute("UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1)")
        # Before this is for good: a list that names a source the session lacks makes the next update take it up again,
        # one that lacks a source of the session is written again.
        write_source_list(session, dropped=[path])


def metadata_is_dirty(session: Session, key: int) -> bool:
    """Whether `.medback-source.xml` says less than this DB."""
    return session.has("source WHERE id = ? AND metadata_dirty", key)


def mark_metadata(session: Session, key: int | None, *, dirty: bool) -> None:
    """Note that the metadata file of one source (or of all, with None) is out of date, or was just written."""
    with session.transaction() as db:
        now = "MAX(metadata_dirty, 1)" if dirty else "0"
        db.execute(f"UPDATE source SET metadata_dirty = {now} WHERE ?1 IS NULL OR id = ?1", (key,))


def note_metadata(session: Session, key: int) -> None:
    """The metadata file was seen there."""
    with session.transaction() as db:
        db.execute("UPDATE source SET metadata_dirty = 1 WHERE id = ? AND metadata_dirty = ?", (key, _NEVER_THERE))


def had_metadata(session: Session, key: int) -> bool:
    """Whether the metadata file was ever there, as far as this DB knows."""
    return session.value("SELECT metadata_dirty FROM source WHERE id = ?", key) != _NEVER_THERE


def source_totals(session: Session, key: int) -> tuple[Count, int, int]:
    """Files and bytes, links, and directories of a source as last scanned."""
    count = session.count(
        "SELECT COALESCE(SUM(files), 0), COALESCE(SUM(bytes), 0) FROM rollup WHERE directory_id = "
        "(SELECT id FROM directory WHERE source_id = ? AND path = x'')",
        key,
    )
    below = "directory_id IN (SELECT id FROM directory WHERE source_id = ?)"
    links = session.value(f"SELECT COUNT(*) FROM link WHERE {below}", key)
    return count, links, session.value("SELECT COUNT(*) FROM directory WHERE source_id = ?", key)


def kept_text(refusal: Refused) -> str:
    """A refusal as text, to be kept with its source (`Source.refused`); `kept_refusal` reads it."""
    facts = {name: {"bytes": names.text(v)} if isinstance(v, bytes) else v for name, v in refusal.facts.items()}
    return json.dumps([refusal.what, facts], default=str)


def kept_refusal(text: str) -> Refused:
    """What `kept_text` kept. Earlier versions kept a sentence: that is a refusal (`as-kept`) with these words."""
    try:
        what, facts = json.loads(text)
        return Refused(
            what, **{name: names.from_text(v["bytes"]) if isinstance(v, dict) else v for name, v in facts.items()}
        )
    except (ValueError, TypeError, AttributeError, KeyError):
        return Refused("as-kept", words=text)
