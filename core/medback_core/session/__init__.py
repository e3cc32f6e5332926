"""The session DB: SQLite as a cache of what the sidecars say. The only package that contains SQL."""

from .opening import open_session
from .store import Session
