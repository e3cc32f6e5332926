"""Notice drives that are plugged in, and do what was asked for each of them."""
