"""systemd user units, by which medback works without being asked: what they say, and putting them in their place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medback_core.errors import Refused

MARK = "# Written by medback service install"
_SYSTEMCTL_SECONDS = 30
_UNIT_MAX = 1 << 16
_UNITS = {
    "medback-watch.service": """\
[Unit]
Description=medback: drives do their part when they are plugged in

[Service]
ExecStart={medback} watch --no-progress
Restart=on-failure
RestartSec=60
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=143

[Install]
WantedBy=default.target
""",
    "medback-update.service": """\
[Unit]
Description=medback: look for what is new in the sources

[Service]
Type=oneshot
ExecStart={medback} update --no-progress
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=143
""",
    "medback-update.timer": """\
[Unit]
Description=medback: look for what is new in the sources, once a day

[Timer]
OnCalendar=*-*-* 12:00
Persistent=true

[Install]
WantedBy=timers.target
""",
    "medback-verify.service": """\
[Unit]
Description=medback: read again what was not read for longest, for an hour
After=medback-update.service

[Service]
Type=oneshot
ExecStart={medback} verify --all --for 1h --no-progress
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=143
""",
    "medback-verify.timer": """\
[Unit]
Description=medback: read again what was not read for longest, once a day

[Timer]
OnCalendar=*-*-* 13:00
Persistent=true

[Install]
WantedBy=timers.target
""",
}
STARTED = ("medback-watch.service", "medback-update.timer", "medback-verify.timer")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file: where it belongs, what it should say, and what stands there (None: no file)."""

    path: Path
    text: str
    there: str | None

    @property
    def state(self) -> str:
        """`absent`, `installed`, `differs` (another version of it) or `foreign` (medback did not write it)."""
        if self.there is None:
            return "absent"
        if self.there == self.text:
            return "installed"
        return "differs" if self.there.startswith(MARK) else "foreign"


def units(words: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> list[Unit]:
    """The units as they should be and as they are. `words` go behind the program on each command line, `environment` is
    set for it. Raises Refused where it isn't known how medback is started."""
    program = _installed_program()
    lines = "".join(f"Environment={_quoted(f'{key}={value}')}\n" for key, value in (environment or {}).items())
    command = " ".join(_quoted(word, is_command=True) for word in (program, *words))
    found = []
    for name, text in _UNITS.items():
        text = text.replace("[Service]\n", f"[Service]\n{lines}").replace("{medback}", command)
        path = _directory() / name
        found.append(Unit(path, f"{MARK}; `medback service remove` removes it.\n{text}", _read(path)))
    return found


def install(wanted: Iterable[Unit]) -> None:
    """Write the units, durably. Raises Refused, before anything is written, where a file of another origin is in the
    place of one, and where they can't be written."""
    from medback_core import disk

    wanted = list(wanted)
    for unit in wanted:
        if unit.state == "foreign":
            raise Refused("foreign-unit", path=str(unit.path))
    directory = _directory()
    try:
        with disk.Root.made(os.fsencode(directory), 0o755) as root:
            for unit in wanted:
                disk.write_whole(root, os.fsencode(unit.path.name), unit.text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise Refused("not-writable", path=os.fsencode(directory), error=error.strerror) from error


def remove_units(wanted: Iterable[Unit]) -> list[Path]:
    """Remove those that medback wrote; which. Raises Refused."""
    from medback_core import disk

    gone = [unit.path for unit in wanted if unit.state in ("installed", "differs")]
    if not gone:
        return []
    directory = os.fsencode(_directory())
    try:
        with disk.Root(directory) as root:
            for path in gone:
                status = root.stat(os.fsencode(path.name))
                if status is not None:
                    disk.remove(root, os.fsencode(path.name), expect=status)
    except OSError as error:
        raise Refused("not-writable", path=directory, error=error.strerror) from error
    return gone


def commands(*, start: bool) -> list[list[str]]:
    """What systemd is told once the units stand there, or before they are removed."""
    if start:
        return [["systemctl", "--user", "daemon-reload"], ["systemctl", "--user", "enable", "--now", *STARTED]]
    return [["systemctl", "--user", "disable", "--now", *STARTED]]


def run_commands(wanted: Iterable[list[str]]) -> Iterator[tuple[list[str], str]]:
    """Run such commands; each with what it complained of, "" where it did what it should."""
    for command in wanted:
        try:
            ran = subprocess.run(command, capture_output=True, timeout=_SYSTEMCTL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            yield command, getattr(error, "strerror", None) or str(error)
            continue
        words = (ran.stderr or ran.stdout).decode("utf-8", "replace").strip()
        yield command, "" if ran.returncode == 0 else words.rpartition("\n")[2] or f"it ended with {ran.returncode}"


def _directory() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".config") / "systemd/user"


def _installed_program() -> str:
    """The full path by which medback was started, else of the one beside this Python. A link stays one: it outlives an
    upgrade."""
    beside = Path(sys.executable).parent / "medback"
    for place in (sys.argv[0], str(beside)):
        if os.path.basename(place) == "medback" and os.path.isfile(place) and os.access(place, os.X_OK):
            return os.path.abspath(place)
    raise Refused("no-program")


def _quoted(word: str, *, is_command: bool = False) -> str:
    """A word as systemd takes it back from a unit."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    word = word.replace("$", "$$") if is_command else word
    plain = all(char.isalnum() or char in "/._-=+:,%" for char in word)
    return word if plain and word else f'"{word}"'


def _read(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(_UNIT_MAX).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError:
        return ""  # whatever it is, medback did not write it
