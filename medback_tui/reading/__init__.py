"""What the screens show, read from the session."""
