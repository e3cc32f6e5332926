"""What the app remembers of itself between two runs: theme, sort order, last screen. Nothing about backups."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import platformdirs

from medback_core import disk
from medback_core.coverage.tree import ORDERS

SCREENS = ("sources", "targets", "coverage", "restore")


@dataclass(frozen=True, slots=True)
class Settings:
    """The values with their defaults; `path` is where they are kept, None: nowhere."""

    theme: str = "medback-dark"
    order: str = "name"
    screen: str = "sources"
    path: Path | None = None


def settings_path() -> Path:
    """Where the settings lie unless a test says otherwise."""
    return platformdirs.user_config_path("medback") / "app.json"


def load(path: Path | None) -> Settings:
    """The settings kept at `path`; the defaults where there are none or they make no sense."""
    settings = Settings(path=path)
    if path is None:
        return settings
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return settings
    if not isinstance(kept, dict):
        return settings
    theme, order, screen = kept.get("theme"), kept.get("order"), kept.get("screen")
    if isinstance(theme, str):
        settings = replace(settings, theme=theme)
    if isinstance(order, str) and order in ORDERS:
        settings = replace(settings, order=order)
    if screen in SCREENS:
        settings = replace(settings, screen=screen)
    return settings


def save(settings: Settings) -> str | None:
    """Keep the settings. Returns why they could not be kept, None when they are: never worth stopping for."""
    if settings.path is None:
        return None
    return write_beside(settings.path, {key: value for key, value in asdict(settings).items() if key != "path"})


def write_beside(path: Path, values: object) -> str | None:
    """Write what the app remembers. Returns why it could not, None when it is written."""
    problem = write_file(path, (json.dumps(values, indent=1) + "\n").encode())
    return None if problem is None else f"the app's settings are not kept: {problem}"


def write_file(path: Path, data: bytes) -> str | None:
    """Write a file whole, making the directory. Returns why it could not, None when it is written."""
    try:
        there = next(parent for parent in path.parents if parent.is_dir())
        with disk.Root(os.fsencode(there)) as root:
            disk.write_whole(root, os.fsencode(path.relative_to(there)), data)
    except OSError as error:
        return str(error.strerror)
    return None


def next_order(order: str) -> str:
    """The order of the coverage list after this one."""
    orders = list(ORDERS)
    return orders[(orders.index(order) + 1) % len(orders)]
