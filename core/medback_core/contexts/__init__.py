"""Restore contexts: writing them, loading them, keeping them until all is back."""
