"""The totals of every directory by placement, kept right by deltas, and the oldest check below each directory."""

from __future__ import annotations

import sqlite3

# Fold the deltas of this transaction into each directory and all directories above it.
_FOLD = """
INSERT INTO rollup (directory_id, placement_id, files, bytes)
WITH RECURSIVE
    change (directory_id, placement_id, files, bytes) AS (
        SELECT directory_id, placement_id, SUM(files), SUM(bytes) FROM delta
        GROUP BY directory_id, placement_id HAVING SUM(files) <> 0 OR SUM(bytes) <> 0
    ),
    up (directory_id, placement_id, files, bytes) AS (
        SELECT * FROM change
        UNION ALL
        SELECT d.parent_id, up.placement_id, up.files, up.bytes
        FROM up JOIN directory d ON d.id = up.directory_id WHERE d.parent_id IS NOT NULL
    )
SELECT directory_id, placement_id, SUM(files), SUM(bytes) FROM up WHERE true GROUP BY directory_id, placement_id
ON CONFLICT (directory_id, placement_id)
DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes
"""


def flush(db: sqlite3.Connection) -> None:
    """Fold what the triggers wrote since the last flush into the totals. Must run while every directory still exists."""
    if db.execute("SELECT EXISTS (SELECT 1 FROM delta)").fetchone()[0]:
        touched = db.execute("SELECT EXISTS (SELECT 1 FROM delta WHERE files < 0)").fetchone()[0]
        db.execute(_FOLD)
        if touched:
            db.execute(
                "DELETE FROM rollup WHERE files = 0 AND directory_id IN ("
                "WITH RECURSIVE up (id) AS (SELECT DISTINCT directory_id FROM delta UNION "
                "SELECT d.parent_id FROM up JOIN directory d ON d.id = up.id WHERE d.parent_id IS NOT NULL) SELECT id FROM up)"
            )
        db.execute("DELETE FROM delta")


def refresh_oldest(db: sqlite3.Connection) -> None:
    """Recompute `directory.oldest` wherever a check date or a file below changed. Call inside a transaction.

    oldest: the oldest last check among the countable copies of the files below; 0 where one was never read back,
    NULL where nothing below has a countable copy.
    """
    if not db.execute("SELECT EXISTS (SELECT 1 FROM directory WHERE stale)").fetchone()[0]:
        return
    db.execute(
        "UPDATE directory SET oldest_own = (SELECT MIN(i.checked_at) FROM file f JOIN identity i ON i.id = f.identity_id "
        "WHERE f.directory_id = directory.id) WHERE stale"
    )
    db.execute("CREATE TEMP TABLE IF NOT EXISTS touched (id INTEGER PRIMARY KEY, depth INTEGER)")
    db.execute("DELETE FROM touched")
    db.execute(
        "INSERT OR IGNORE INTO touched WITH RECURSIVE up (id) AS (SELECT id FROM directory WHERE stale UNION "
        "SELECT d.parent_id FROM up JOIN directory d ON d.id = up.id WHERE d.parent_id IS NOT NULL) "
        "SELECT up.id, (SELECT CASE WHEN length(path) = 0 THEN 0 ELSE "
        "1 + length(path) - length(replace(CAST(path AS BLOB), x'2f', x'')) END FROM directory WHERE id = up.id) FROM up"
    )
    depths = [row[0] for row in db.execute("SELECT DISTINCT depth FROM touched ORDER BY depth DESC")]
    for depth in depths:
        db.execute(
            "UPDATE directory SET stale = 0, oldest = (SELECT MIN(o) FROM ("
            "SELECT directory.oldest_own AS o UNION ALL SELECT c.oldest FROM directory c WHERE c.parent_id = directory.id)) "
            "WHERE id IN (SELECT id FROM touched WHERE depth = ?)",
            (depth,),
        )
