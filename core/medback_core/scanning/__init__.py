"""Reading a source: walk it, compare it with its records, record what changed, refuse what looks wrong."""
