"""Putting files onto a drive: which ones, where they lie there, in which batches, and adopting what is there."""
