"""One target's drive: who it is, its own records, and what really lies there."""
