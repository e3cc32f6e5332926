"""What a person prefers, read from one TOML file that medback never writes; and its units for systemd."""
