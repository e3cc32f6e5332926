"""Copies beyond what is wanted: what a reclaim may free, as far as the session knows."""

from __future__ import annotations

from collections.abc import Collection

from medback_core.model import OLD_DIRECTORY, Identity

from .copies import Copy, copies_where
from .needs import begin_asking, needs_of, target_places
from .store import Session

_SURPLUS = """
c.target_id = ? AND c.path IS NOT NULL AND c.ours AND EXISTS (SELECT 1 FROM file f WHERE f.identity_id = c.identity_id)
AND NOT EXISTS (
    SELECT 1 FROM file f JOIN temp.asks a ON a.directory_id = f.directory_id JOIN temp.need n ON n.id = a.need
    WHERE f.identity_id = c.identity_id AND (
        n.copies > (SELECT COUNT(*) FROM copy o WHERE o.identity_id = c.identity_id AND o.standing = 2
            AND o.target_id IN ({others}))
        OR n.elsewhere > 0 AND n.elsewhere > (SELECT COUNT(*) FROM copy o
            JOIN temp.apart x ON x.need = n.id AND x.target_id = o.target_id
            WHERE o.identity_id = c.identity_id AND o.standing = 2 AND o.target_id IN ({others}))
    )
)
"""


def _surplus(session: Session, target: int, counting: frozenset[int]) -> str:
    begin_asking(session)
    return _SURPLUS.format(others=",".join(str(key) for key in counting if key != target) or "NULL")


def surplus_copies(session: Session, target: int, counting: frozenset[int]) -> list[tuple[Identity, Copy]]:
    """Copies of ours on the target whose content has what is wanted of it in verified copies on other counting targets,
    so many of them elsewhere; largest first."""
    condition = _surplus(session, target, counting) + " ORDER BY i.size DESC, c.path"
    return list(copies_where(session, condition, (target,)))


def surplus_bytes(session: Session, target: int, counting: frozenset[int]) -> int:
    """How much `surplus_copies` would free, but for what lies below `.medback-old/`."""
    condition = _surplus(session, target, counting)
    return session.value(
        "SELECT COALESCE(SUM(i.size), 0) FROM copy c JOIN identity i ON i.id = c.identity_id "
        f"WHERE {condition} AND NOT (c.path > ? AND c.path < ?)",
        target,
        OLD_DIRECTORY + b"/",
        OLD_DIRECTORY + b"0",
    )


def are_enough(session: Session, identity: int, targets: Collection[int]) -> bool:
    """Whether copies on these targets are all that any current path wants of a content."""
    where = target_places(session)
    return all(
        len(targets) >= need.copies and sum(where[key] != need.place for key in targets) >= need.elsewhere
        for need in needs_of(session, identity)
    )
