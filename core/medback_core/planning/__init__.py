"""The arithmetic of a restore plan: reads nothing, keeps nothing."""
