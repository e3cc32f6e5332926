"""Placements: which targets hold a content, as one interned set. A million identities share a few hundred of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from medback_core.model import Count, Standing

from .store import Session
from .values import Placement


def intern_placement(session: Session, members: Iterable[tuple[int, int]]) -> int:
    """The id of the placement with these (target key, standing) pairs, in target order."""
    members = tuple(members)
    known = session.placement_ids.get(members)
    if known is None:
        text = " ".join(f"{target}:{standing}" for target, standing in members)
        known = session.value("SELECT id FROM placement WHERE members = ?", text)
        known = known or session.db.execute("INSERT INTO placement (members) VALUES (?)", (text,)).lastrowid
        assert known is not None
        session.placement_ids[members] = known
    return known


def placement_by_id(session: Session, placement_id: int) -> Placement:
    found = session.placements.get(placement_id)
    if found is None:
        members = session.value("SELECT members FROM placement WHERE id = ?", placement_id)
        found = placement_said(session, placement_id, members)
    return found


def placement_said(session: Session, placement_id: int, members: str) -> Placement:
    """The placement of a row that says these members."""
    found = session.placements.get(placement_id)
    if found is None:
        sets: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        for member in members.split():
            target, standing = member.split(":")
            sets[int(standing)].add(int(target))
        found = session.placements[placement_id] = Placement(
            frozenset(sets[Standing.VERIFIED]), frozenset(sets[Standing.WRITTEN]), frozenset(sets[Standing.CLAIMED])
        )
    return found


def all_placements(session: Session) -> dict[int, Placement]:
    rows = session.db.execute("SELECT id, members FROM placement").fetchall()
    return {key: placement_said(session, key, members) for key, members in rows}


def identities_by_placement(session: Session) -> dict[int, Count]:
    """Identities and bytes by placement id, of all contents that have a copy anywhere, current or gone."""
    rows = session.db.execute("SELECT id, identities, bytes FROM placement WHERE identities > 0")
    return {row[0]: Count(row[1], row[2]) for row in rows}


def current_identities(session: Session, placements: Collection[int]) -> dict[int, Count]:
    """Identities and bytes by placement id, of these placements only and only of contents that have a current path.

    Looks at every content of these placements: about a second for a million.
    """
    rows = session.db.execute(
        "SELECT i.placement_id, COUNT(*), SUM(i.size) FROM identity i "
        f"WHERE i.placement_id IN ({','.join(str(int(key)) for key in placements)}) "
        "AND EXISTS (SELECT 1 FROM file f WHERE f.identity_id = i.id) GROUP BY i.placement_id"
    )
    return {row[0]: Count(row[1], row[2]) for row in rows}
