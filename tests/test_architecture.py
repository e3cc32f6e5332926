"""The boundaries the design stands on, each of which a careless import or a handy call would break."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core" / "medback_core"
TUI = ROOT / "medback_tui"

# What the operations stand on, and what each of these may import of the core. All that is not named is an operation.
FOUNDATIONS = {
    "model": {"errors"},
    "errors": set[str](),
    "names": set[str](),
    "xml_safety": {"names"},
    "disk": {"names", "model", "errors"},
    "hashing": {"disk", "names", "model", "errors"},
    "planning": {"model"},
    "session": {"disk", "names", "model", "errors"},
    "sidecar": {"xml_safety", "names", "model", "errors"},
    "context": {"xml_safety", "names", "model", "errors"},
}
FRONT_ENDS = {"__main__", "cli"}
PACKAGE_FACTS = {"__version__"}
WRITING_MODES = set("wax+")
WRITING_METHODS = {"write_text", "write_bytes", "touch"}
BLOCKED_IMPORT = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("textual", "medback_tui"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import medback_core
found = [module.name for module in pkgutil.walk_packages(medback_core.__path__, "medback_core.")]
for name in found:
    if not name.endswith("__main__"):
        importlib.import_module(name)
assert "textual" not in sys.modules and "medback_tui" not in sys.modules
print(len(found))
"""


@cache
def modules(root: Path) -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted(root.rglob("*.py"))]


def piece_of(path: Path) -> str:
    """The module or package directly below medback_core that a file belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported_pieces(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each piece of the core a module imports, with the line."""
    package = ["medback_core", *path.relative_to(CORE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            parts = [*parts, *(node.module or "").split(".")] if node.module else parts
            for alias in node.names:
                whole = [*parts, alias.name]
                if whole[0] == "medback_core":
                    yield node.lineno, whole[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name.split(".")
                if whole[0] == "medback_core" and len(whole) > 1:
                    yield node.lineno, whole[1]


def test_every_core_module_imports_without_textual() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED_IMPORT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_imports_point_downwards() -> None:
    wrong: list[str] = []
    for path, tree in modules(CORE):
        piece = piece_of(path)
        if piece == "__init__" or piece in FRONT_ENDS:
            continue
        for line, other in imported_pieces(path, tree):
            if other == piece or other in PACKAGE_FACTS:
                continue
            if other not in FOUNDATIONS.get(piece, {other}) or other in FRONT_ENDS:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {piece} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_only_the_session_speaks_sql() -> None:
    """Elsewhere sqlite3 may be imported to name its errors, and for nothing else."""
    wrong: list[str] = []
    for root in (CORE, TUI):
        for path, tree in modules(root):
            if root == CORE and piece_of(path) == "session":
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "sqlite3":
                    named = [alias.name for alias in node.names]
                elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sqlite3":
                    named = [node.attr]
                else:
                    continue
                wrong += [f"{path}:{node.lineno}: sqlite3.{name}" for name in named if not name.endswith("Error")]
    assert not wrong, "\n".join(wrong)


STANDS_ALONE = "medback-restore.py"  # is put on drives for people without medback, and never run by it


def test_only_disk_opens_anything_for_writing() -> None:
    """What ruff's list of banned calls can't see: open(…, "w") and its like."""
    wrong: list[str] = []
    for path, tree in modules(CORE):
        if piece_of(path) == "disk" or path.name == STANDS_ALONE:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _writes(node):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def _writes(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if call.args and ast.unparse(call.args[0]) == "os.devnull":
        return False
    if name in WRITING_METHODS:
        return True
    if name not in ("open", "fdopen", "FileIO"):
        return False
    is_method = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) not in ("os", "io", "builtins")
    modes = [argument for argument in call.args[0 if is_method else 1 :][:1] if not isinstance(argument, ast.Starred)]
    modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    for mode in modes:
        if isinstance(mode, ast.Constant) and isinstance(mode.value, str):
            return bool(WRITING_MODES & set(mode.value))
        if ast.unparse(call.func) != "os.open" and not is_method:
            return True  # a mode that can't be read here
    return False


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("open(p, 'w')", True),
        ("open(p, mode='r+b')", True),
        ("os.fdopen(fd, 'xb')", True),
        ("path.open('a')", True),
        ("path.write_bytes(b'')", True),
        ("open(p, mode)", True),
        ("open(p)", False),
        ("open(os.devnull, 'w')", False),
        ("open(p, 'rb')", False),
        ("os.open(p, flags)", False),
        ("root.open_file(rel)", False),
    ],
)
def test_the_search_for_writing_finds_what_it_should(code: str, writes: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert _writes(call) is writes


def test_pieces_are_named_for_what_they_do() -> None:
    vague = {"manager", "managers", "helper", "helpers", "util", "utils", "misc", "common", "service", "services"}
    assert not [path for root in (CORE, TUI) for path in root.rglob("*.py") if path.stem in vague]


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["--help"], ["lxml", "rich", "sqlite3", "textual", "jinja2", "psutil", "urllib.request", "medback_core.disk"]),
        (["stats"], ["rich.table", "textual", "jinja2", "psutil", "urllib.request", "pathspec", "tempfile"]),
        (["update"], ["rich.table", "textual", "jinja2", "psutil", "tempfile", "medback_core.context"]),
    ],
)
def test_a_short_command_loads_nothing_it_has_no_use_for(tmp_path: Path, words: list[str], spared: list[str]) -> None:
    script = (
        "import sys\nfrom medback_core.cli import main\n"
        f"assert main({words!r}) == 0\nprint([name for name in {spared!r} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "MEDBACK_SESSION_DB": str(tmp_path / "session.db")}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "[]"
