"""Keeping copies good over the years: verify, repair, reclaim, prove, rebuild, manifests."""
