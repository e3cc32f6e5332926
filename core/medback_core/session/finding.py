"""Finding files by a part of their name or path, or by a glob, among all a session knows: in sources, and gone."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from medback_core import names
from medback_core.model import Identity

from .copies import chunks, marks
from .expected import FILE_AT
from .files import join
from .gone import CAN_BE_ASKED_FOR
from .store import Session
from .values import load_ns


class FoundFile(NamedTuple):
    """A file that was found. `gone`: it is no longer in its source; `replaced`: another content is at its path now."""

    source: int
    path: bytes
    identity: int
    content: Identity
    mtime_ns: int
    gone: bool = False
    gone_at: int | None = None
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class _Condition:
    """SQL about one expression, with its values."""

    sql: str
    values: tuple[bytes, ...] = ()

    def on(self, expression: str, *, cast: bool = True) -> str:
        return self.sql.replace("{}", f"CAST({expression} AS TEXT)" if cast else expression)


def find_files(
    session: Session, pattern: bytes, *, source: int | None = None, limit: int | None = None
) -> list[FoundFile]:
    """The files a pattern finds, in any case: one with `*`, `?` or `[` is compared with the whole name (what stands
    before its last `/` with the end of the directory's path), any other with each part of the path.

    Those in sources first, then what is gone and of which a copy exists. At most `limit`, which need not
    be the best.
    """
    text = names.text(pattern)
    if not text:
        return []
    found = _current(session, text, source, limit)
    for table in (_EXPECTED, _GONE):
        left = None if limit is None else limit - len(found)
        if left is None or left > 0:
            found += _by_path(session, table, text, source, left)
    return found


def _is_glob(text: str) -> bool:
    return any(char in text for char in "*?[")


def _like(text: str, *, before: str = "%", behind: str = "%") -> _Condition:
    """`{}` is like the text. LIKE folds the case of ASCII alone: other letters are given in each of their cases."""
    spelled = {text}
    if not text.isascii():
        for case in (str, str.lower, str.upper, str.title):
            spelled |= {unicodedata.normalize("NFC", case(text)), unicodedata.normalize("NFD", case(text))}
    values = tuple(names.from_text(f"{before}{_escaped(word)}{behind}") for word in sorted(spelled))
    return _Condition("(" + " OR ".join(["{} LIKE CAST(? AS TEXT) ESCAPE '\\'"] * len(values)) + ")", values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _globbed(text: str, *, end_of_path: bool = False) -> _Condition:
    """`{}` is as the glob, in any case; with `end_of_path` its last components are."""
    spelled = _in_any_case(text)
    if not end_of_path:
        return _Condition("{} GLOB CAST(? AS TEXT)", (names.from_text(spelled),))
    values = names.from_text(spelled), names.from_text(f"*/{spelled}")
    return _Condition("({} GLOB CAST(? AS TEXT) OR {} GLOB CAST(? AS TEXT))", values)


def _in_any_case(glob: str) -> str:
    """The glob with each letter given in both cases (`*.[cC][rR]2`): half the time of folding each name, and for
    letters beyond ASCII too. A `[` that is not closed stands for itself."""
    said = []
    for whole, head, inside in re.findall(r"(\[(\^?\]?-?)([^\]]*)\]|.)", glob, re.DOTALL):
        parts = [whole] if len(whole) == 1 else re.findall(".-.|.", inside, re.DOTALL)
        cased = [case for part in parts for case in dict.fromkeys((part.lower(), part.upper(), part))]
        letters = "".join(case for case in cased if len(case) in (1, 3))  # ß in capitals is two
        said.append(whole if len(whole) == len(letters) == 1 and whole != "[" else f"[{head}{letters}]")
    return "".join(said)


def _current(session: Session, text: str, source: int | None, limit: int | None) -> list[FoundFile]:
    """Among the files of sources. Names are looked through in an index that holds nothing else; the paths of
    directories apart from them, as there are few."""
    keys: dict[int, None] = {}
    head, slash, tail = text.rpartition("/")
    if _is_glob(text):
        below = _directories(session, _globbed(head, end_of_path=True), source) if slash else None
        _add_names(session, keys, _globbed(tail), below, source, limit)
    else:
        if not slash:
            _add_names(session, keys, _like(text), None, source, limit)
        else:
            ends = _like(head, behind="")
            _add_names(session, keys, _like(tail, before=""), _directories(session, ends, source), source, limit)
        _add_names(session, keys, None, _directories(session, _like(text), source), source, limit)
    return _files(session, list(keys)[:limit])


def _directories(session: Session, condition: _Condition, source: int | None) -> list[int]:
    """Directories whose path, with the alias of their source before it where one asks for more than a name, is so."""
    of_source = "" if source is None else f"AND d.source_id = {int(source)}"
    # LIMIT keeps the two apart: whether they have files takes ten times as long as what they are called.
    return session.column(
        "SELECT id FROM (SELECT d.id FROM directory d JOIN source s ON s.id = d.source_id "
        f"WHERE {condition.on(_WHOLE_PATH)} {of_source} LIMIT -1) named "
        "WHERE EXISTS (SELECT 1 FROM file f WHERE f.directory_id = named.id)",
        *condition.values,
    )


_WHOLE_PATH = "CASE WHEN length(d.path) THEN s.alias || '/' || CAST(d.path AS TEXT) ELSE s.alias END"


def _add_names(
    session: Session,
    keys: dict[int, None],
    condition: _Condition | None,
    directories: list[int] | None,
    source: int | None,
    limit: int | None,
) -> None:
    """Add the files whose name is so, in these directories or in all."""
    if directories is None and source is not None:
        directories = session.column("SELECT id FROM directory WHERE source_id = ?", source)
    # SQLite can be built so that LIKE matches no bytes; where it does, the cast would take longer than all the rest.
    matches_bytes = session.value("SELECT x'61' LIKE 'a'")
    where = "true" if condition is None else condition.on("f.name", cast=not matches_bytes)
    values, most = () if condition is None else condition.values, -1 if limit is None else limit
    if directories is None:
        keys |= dict.fromkeys(session.column(f"SELECT f.id FROM file f WHERE {where} LIMIT ?", *values, most))
        return
    for chunk in chunks(directories):
        if limit is not None and len(keys) >= limit:
            return
        among = f"f.directory_id IN ({marks(chunk)})"
        query = f"SELECT f.id FROM file f WHERE {among} AND {where} LIMIT ?"
        keys |= dict.fromkeys(session.column(query, *chunk, *values, most))


def _files(session: Session, keys: list[int]) -> list[FoundFile]:
    found: dict[int, FoundFile] = {}
    for chunk in chunks(keys):
        rows = session.db.execute(
            "SELECT f.id, d.source_id, d.path, f.name, i.id, i.size, i.md5, f.mtime_ns FROM file f "
            "JOIN directory d ON d.id = f.directory_id JOIN identity i ON i.id = f.identity_id "
            f"WHERE f.id IN ({marks(chunk)})",
            chunk,
        )
        for key, source, path, name, identity, size, md5, mtime_ns in rows:
            found[key] = FoundFile(source, join(path, name), identity, Identity(size, md5), load_ns(mtime_ns))
    return [found[key] for key in keys if key in found]


# What is known by its whole path: rows `g`, and which of them may be found.
_GONE = f"gone g CROSS JOIN identity i ON i.id = g.identity_id WHERE {CAN_BE_ASKED_FOR} AND"
_EXPECTED = (
    "expected g CROSS JOIN identity i ON i.id = g.identity_id WHERE g.gone_at IS NULL "
    f"AND NOT EXISTS (SELECT 1 FROM {FILE_AT.format('g')}) AND"
)


def _by_path(session: Session, table: str, text: str, source: int | None, limit: int | None) -> list[FoundFile]:
    head, slash, tail = text.rpartition("/")
    if not _is_glob(text):
        condition = _like(text)
        where, values = condition.on(_ALIAS_AND_PATH if slash else "g.path"), list(condition.values)
    else:
        last = _globbed(tail)
        where, values = last.on("name_of(g.path)"), list(last.values)
        if slash:
            above = _globbed(head, end_of_path=True)
            where += f" AND {above.on(_ALIAS_AND_PARENT)}"
            values += above.values
    # The few rows whose path is so are found before anything is asked about them.
    first, rest = table.split(" WHERE ", 1)
    rows = session.db.execute(
        "SELECT g.source_id, g.path, i.id, i.size, i.md5, g.mtime_ns, g.gone_at, "
        f"EXISTS (SELECT 1 FROM {FILE_AT.format('g')}) FROM {first} CROSS JOIN source s ON s.id = g.source_id "
        f"WHERE {where} AND {'true' if source is None else f'g.source_id = {int(source)}'} AND {rest} true "
        "ORDER BY g.source_id, g.path LIMIT ?",
        (*values, -1 if limit is None else limit),
    )
    gone = table is _GONE
    return [
        FoundFile(r[0], r[1], r[2], Identity(r[3], r[4]), load_ns(r[5]), gone, r[6] or None, gone and bool(r[7]))
        for r in rows
    ]


_ALIAS_AND_PATH = "s.alias || '/' || CAST(g.path AS TEXT)"
_ALIAS_AND_PARENT = "s.alias || '/' || CAST(parent_of(g.path) AS TEXT)"
