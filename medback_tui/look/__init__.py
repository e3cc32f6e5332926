"""How the app looks and listens: themes, keys, settings."""
