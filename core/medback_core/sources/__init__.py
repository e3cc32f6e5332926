"""One source's own files: its identity, its sidecars, its exclude patterns."""
