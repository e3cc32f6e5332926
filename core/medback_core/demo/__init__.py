"""The demo: a small real world, and the whole story told in it."""
