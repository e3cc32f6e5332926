"""Which files are hashed."""

import pytest

from medback_core import hashing


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Names of the files that are hashed."""
    seen: list[bytes] = []
    really = hashing.open_for_reading

    def open_for_reading(directory: int | None, name: bytes) -> int:
        seen.append(name)
        return really(directory, name)

    monkeypatch.setattr(hashing, "open_for_reading", open_for_reading)
    return seen
