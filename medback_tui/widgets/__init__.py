"""The pieces the screens are made of, top to bottom: safety header, lists, details, job bar, key hints."""
