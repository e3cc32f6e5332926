"""The settings file: which values there are, what they are without it, and where each comes from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from medback_core.errors import Refused
from medback_core.model import WANTED_DEFAULT, OnPlug
from medback_core.settings.sizes import Size, parse_size

ENVIRONMENT = "MEDBACK_SETTINGS"  # names another file
COPIES_MAX = 99


@dataclass(frozen=True, slots=True)
class Preferences:
    """All values, each from the file or as it is without one; `given` are the names the file has."""

    session: str | None = None  # path of the session DB; None: ~/.bkup_dest
    copies: int = WANTED_DEFAULT  # wanted copies of a new source
    reserve: Size | None = None  # left free on a drive; None: 1 %, at least 64 MiB
    on_plug: OnPlug = OnPlug.NOTHING  # what `medback watch` does with a target that has no word of its own
    theme: str | None = None  # of the app; None: the one chosen last
    keys: Mapping[str, str] = field(default_factory=dict)  # binding id -> keys, of the app
    given: frozenset[str] = frozenset()


NAMES = tuple(one.name for one in fields(Preferences) if one.name != "given")

EXAMPLE = """\
# Settings of medback. Every line may be left out; what stands behind the = here is what holds then.

# session = "~/.bkup_dest"   # the session DB
# copies = 2                 # how many copies a new source wants
# reserve = "1%"             # how much of a drive stays free: "500M", "2GiB", "5%"
# on_plug = "nothing"        # what `medback watch` does with a target: "backup", "verify", "nothing"
# theme = "medback-dark"     # of the app

# [keys]                     # keys of the app, by the names that `medback config --keys` shows
# "targets.back-up" = "B"
"""


def settings_path() -> Path:
    """Where the file lies, whether there is one or not."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(os.path.expanduser(named))
    import platformdirs

    return platformdirs.user_config_path("medback") / "settings.toml"


def read_preferences(path: Path | None = None) -> Preferences:
    """The values as they are now. Raises Refused for a file that can't be read, naming what is wrong: a mistyped
    session would be another session."""
    path = settings_path() if path is None else path
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and path != Path(os.devnull):
            raise _refused(path, "it is not a regular file")  # a pipe would be waited for, for ever
        text = path.read_text("utf-8-sig")
        import tomllib  # only where there is something to read

        table = tomllib.loads(text)
    except FileNotFoundError:
        return Preferences()
    except OSError as error:
        raise _refused(path, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise _refused(path, f"it is not UTF-8 text (byte {error.start + 1})") from error
    except RecursionError as error:
        raise _refused(path, "its brackets are nested too deep") from error
    except ValueError as error:
        raise _refused(path, str(error)) from error
    found = Preferences(given=frozenset(table))
    for name, value in table.items():
        reader = _READERS.get(name)
        if reader is None:
            raise _refused(path, f"there is no setting called {name!r}; there are {', '.join(NAMES)}")
        try:
            found = replace(found, **{name: reader(value)})
        except ValueError as error:
            raise _refused(path, f"{name}: {error}") from error
    return found


def _refused(path: Path, reason: str) -> Refused:
    return Refused("settings", path=str(path), reason=reason)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a text in quotes is wanted")
    return value


def _copies(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= COPIES_MAX:
        raise ValueError(f"a number from 1 to {COPIES_MAX} is wanted")
    return value


def _on_plug(value: Any) -> OnPlug:
    if value not in list(OnPlug):
        raise ValueError(f"one of {', '.join(OnPlug)} is wanted")
    return OnPlug(value)


def _keys(value: Any, above: str = "") -> dict[str, str]:
    """Binding id -> keys. Without quotes TOML takes a dot in a name for a table in the table: that is the same here."""
    if not isinstance(value, dict):
        raise ValueError('a table of keys is wanted: [keys] and lines like "targets.back-up" = "B"')
    found: dict[str, str] = {}
    for name, keys in value.items():
        if isinstance(keys, dict):
            found |= _keys(keys, f"{above}{name}.")
        else:
            found[above + name] = ",".join(key.strip() for key in _text(keys).split(","))
    return found


_READERS: dict[str, Callable[[Any], object]] = {
    "session": lambda value: os.path.expanduser(_text(value)),
    "copies": _copies,
    "reserve": lambda value: parse_size(_text(value)),
    "on_plug": _on_plug,
    "theme": _text,
    "keys": _keys,
}
