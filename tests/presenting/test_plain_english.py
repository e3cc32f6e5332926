"""Every sentence the program can say, its help, its pages, its docstrings and comments, read for turns that people of
the trade don't use."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.presenting.refusals import COMMANDS, KEYS, REASONS, REFUSALS, WARNINGS

ROOT = Path(__file__).parents[2]
SPEAKING = ("medback_tui", "core/medback_core/cli", "core/medback_core/presenting", "core/medback_core/demo")
BANNED = re.compile(
    r"hearsay|vouch|\bwhoever\b|\bnobody\b|\bsomebody\b|stand where they should|stands? in the way|\bjust so\b|"
    r"\b(is|are|it|them|has|count|holds|expected|there) no more[.:;,]|\b(it|them) no more\b|loses? (its|their) last copy|die together|\bcan't be had\b|\banew\b|wanted copies of all|"
    r"\bclaim(s|ed)?\b|\bnot un(?!der|mounted\b)\w+|\bgo on from there\b|\bat hand\b",
    re.IGNORECASE,
)


def literals(path: Path) -> Iterator[str]:
    """The words in a module: its strings but for docstrings, and the docstrings of commands, which are their help."""
    tree = ast.parse(path.read_text())
    quiet: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_help = isinstance(node, ast.FunctionDef) and any(
                "command(" in ast.unparse(d) for d in node.decorator_list
            )
            if isinstance(first, ast.Expr) and not is_help:
                quiet.add(id(first.value))
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in quiet:
            yield node.value


def sentences() -> dict[str, str]:
    """What is said, and where."""
    found = {
        text: name
        for name, table in (
            ("REFUSALS", REFUSALS),
            ("WARNINGS", WARNINGS),
            ("REASONS", REASONS),
            ("COMMANDS", COMMANDS),
            ("KEYS", KEYS),
        )
        for text in table.values()
    }
    for room in SPEAKING:
        for path in (ROOT / room).rglob("*.py"):
            found |= {text: path.name for text in literals(path) if len(re.findall(r"[A-Za-z]{2,}", text)) > 2}
    for path in (ROOT / "core").rglob("*.py"):
        found |= dict.fromkeys(re.findall(r'Progress\(\s*"([^"]+)"', path.read_text()), path.name)
    return found


def test_nothing_that_is_said_has_a_banned_turn() -> None:
    found = sentences()
    assert len(found) > 600
    assert {"checking unverified files", "restoring", "scanning"} <= found.keys()
    wrong = [f"{where}: {text}" for text, where in found.items() if BANNED.search(text)]
    assert not wrong, "\n".join(wrong)


def pages() -> dict[str, str]:
    """The prose of the pages, paragraph by paragraph, less what is code."""
    found: dict[str, str] = {}
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        prose = re.sub(r"```.*?```|`[^`]*`", "X", path.read_text(), flags=re.DOTALL)
        found |= {" ".join(text.split()): path.name for text in prose.split("\n\n") if text.strip()}
    return found


def test_no_page_has_a_banned_turn() -> None:
    found = pages()
    assert {"README.md", "CHANGELOG.md", "design.md", "format.md"} <= set(found.values())
    wrong = [
        f"{where}: …{text[max(0, hit.start() - 60) : hit.end() + 60]}…"
        for text, where in found.items()
        for hit in BANNED.finditer(text)
    ]
    assert not wrong, "\n".join(wrong)


def remarks(path: Path) -> Iterator[str]:
    """What a module says to those who read it: its docstrings and comments, less what is code."""
    code = path.read_text()
    said = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for text in [*said, *re.findall(r"(?:^|\s)(# .*)", code)]:
        yield re.sub(r"`[^`]*`", "X", text)


def test_no_docstring_and_no_comment_has_a_banned_turn() -> None:
    modules = [path for room in ("core", "medback_tui", "screenshots") for path in (ROOT / room).rglob("*.py")]
    found = {text: path.relative_to(ROOT) for path in modules for text in remarks(path)}
    assert len(found) > 2000
    wrong = [f"{path}: {' '.join(text.split())}" for text, path in found.items() if BANNED.search(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words", ["4 files by hearsay", "if it dies, they die together", "waits for it no more", "it is not unlikely"]
)
def test_a_banned_turn_is_seen(words: str) -> None:
    assert BANNED.search(words)
