"""Bringing files back: which drives, what is missing, finding it on a drive, and copying it back."""
