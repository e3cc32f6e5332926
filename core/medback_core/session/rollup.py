"""The totals of every directory by placement, kept right by deltas, and the oldest check below each directory."""

from __future__ import annotations

import sqlite3

# What a connection needs for `flush` and `refresh_oldest`.
TEMPORARY = """
CREATE TEMP TABLE change (directory_id INTEGER, placement_id INTEGER, files INTEGER, bytes INTEGER);
CREATE TEMP TABLE touched (id INTEGER PRIMARY KEY, depth INTEGER);
CREATE INDEX temp.touched_by_depth ON touched (depth);
"""

# Files that came or went are weighed at the placement their identity had when the totals were last right, and every
# file there is now of an identity that moved goes from that placement to the present one. Together that is the exact
# difference, whatever the order of events was.
_CHANGES = """
INSERT INTO temp.change
SELECT d.directory_id, COALESCE(m.placement_id, i.placement_id), SUM(d.files), SUM(d.files * i.size)
    FROM delta d CROSS JOIN identity i ON i.id = d.identity_id LEFT JOIN moved m ON m.identity_id = d.identity_id
    GROUP BY 1, 2
UNION ALL
SELECT f.directory_id, m.placement_id, -COUNT(*), -SUM(i.size)
    FROM moved m CROSS JOIN identity i ON i.id = m.identity_id CROSS JOIN file f ON f.identity_id = i.id
    WHERE m.placement_id <> i.placement_id GROUP BY 1, 2
UNION ALL
SELECT f.directory_id, i.placement_id, COUNT(*), SUM(i.size)
    FROM moved m CROSS JOIN identity i ON i.id = m.identity_id CROSS JOIN file f ON f.identity_id = i.id
    WHERE m.placement_id <> i.placement_id GROUP BY 1, 2
"""

# Fold the changes into each directory and all directories above it.
_FOLD = """
INSERT INTO rollup (directory_id, placement_id, files, bytes)
WITH RECURSIVE up (directory_id, placement_id, files, bytes) AS (
    SELECT directory_id, placement_id, SUM(files), SUM(bytes) FROM temp.change
        GROUP BY directory_id, placement_id HAVING SUM(files) <> 0 OR SUM(bytes) <> 0
    UNION ALL
    SELECT d.parent_id, up.placement_id, up.files, up.bytes
        FROM up JOIN directory d ON d.id = up.directory_id WHERE d.parent_id IS NOT NULL
)
SELECT directory_id, placement_id, SUM(files), SUM(bytes) FROM up WHERE true GROUP BY directory_id, placement_id
ON CONFLICT (directory_id, placement_id)
DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes
"""

_EMPTIED = """
DELETE FROM rollup WHERE files = 0 AND (directory_id, placement_id) IN (
    WITH RECURSIVE up (directory_id, placement_id) AS (
        SELECT directory_id, placement_id FROM temp.change WHERE files < 0
        UNION
        SELECT d.parent_id, up.placement_id
            FROM up JOIN directory d ON d.id = up.directory_id WHERE d.parent_id IS NOT NULL
    )
    SELECT directory_id, placement_id FROM up
)
"""

# Placement 1 is "nowhere": how many contents have no copy is never asked.
_PLACED = """
UPDATE placement SET identities = placement.identities + x.identities, bytes = placement.bytes + x.bytes FROM (
    SELECT placement_id, SUM(identities) AS identities, SUM(bytes) AS bytes FROM (
        SELECT m.placement_id AS placement_id, -1 AS identities, -i.size AS bytes
            FROM moved m CROSS JOIN identity i ON i.id = m.identity_id
        UNION ALL
        SELECT i.placement_id, 1, i.size FROM moved m CROSS JOIN identity i ON i.id = m.identity_id
    ) GROUP BY placement_id
) x WHERE placement.id = x.placement_id AND placement.id <> 1
"""


def flush(db: sqlite3.Connection) -> None:
    """Fold what the triggers wrote since the last flush into the totals, and note where the oldest check may be another
    one. Must run while every directory still exists."""
    came, went, moved = db.execute(
        "SELECT EXISTS (SELECT 1 FROM delta), EXISTS (SELECT 1 FROM delta WHERE files < 0), "
        "EXISTS (SELECT 1 FROM moved)"
    ).fetchone()
    if not came and not moved:
        return
    db.execute(_CHANGES)
    db.execute(_FOLD)
    if went or moved:
        db.execute(_EMPTIED)
    if moved:
        db.execute(_PLACED)
    db.execute("UPDATE directory SET stale = 1 WHERE NOT stale AND id IN (SELECT directory_id FROM temp.change)")
    for table in ("temp.change", "delta", "moved"):
        db.execute(f"DELETE FROM {table}")


def refresh_oldest(db: sqlite3.Connection) -> None:
    """Recompute `directory.oldest` wherever a check date or a file below changed. Call inside a transaction.

    oldest: the oldest last check among the countable copies of the files below; 0 where one was never read back,
    NULL where nothing below has a countable copy.
    """
    flush(db)
    if not db.execute("SELECT EXISTS (SELECT 1 FROM directory WHERE stale)").fetchone()[0]:
        return
    db.execute(
        "UPDATE directory SET oldest_own = (SELECT MIN(i.checked_at) FROM file f "
        "JOIN identity i ON i.id = f.identity_id WHERE f.directory_id = directory.id) WHERE stale"
    )
    db.execute("DELETE FROM temp.touched")
    # By depth, so that what is below is right before what is above: the slashes in the path (replace answers in text).
    db.execute(
        "INSERT INTO temp.touched WITH RECURSIVE up (id) AS (SELECT id FROM directory WHERE stale UNION "
        "SELECT d.parent_id FROM up JOIN directory d ON d.id = up.id WHERE d.parent_id IS NOT NULL) "
        "SELECT d.id, CASE WHEN length(d.path) = 0 THEN 0 ELSE "
        "1 + length(d.path) - length(CAST(replace(d.path, x'2f', x'') AS BLOB)) END "
        "FROM up JOIN directory d ON d.id = up.id"
    )
    depths = [row[0] for row in db.execute("SELECT DISTINCT depth FROM temp.touched ORDER BY depth DESC")]
    for depth in depths:
        db.execute(
            "UPDATE directory SET stale = 0, oldest = (SELECT MIN(o) FROM ("
            "SELECT directory.oldest_own AS o UNION ALL "
            "SELECT c.oldest FROM directory c WHERE c.parent_id = directory.id)) "
            "WHERE id IN (SELECT id FROM temp.touched WHERE depth = ?)",
            (depth,),
        )
    db.execute("DELETE FROM temp.touched")
