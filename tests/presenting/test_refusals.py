"""Every refusal and warning the program can make has its sentence, and every way out is one the app has."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from medback_core.errors import MedbackError, NeedsAnswer, Refused
from medback_core.model import Warned
from medback_core.presenting.refusals import (
    COMMANDS,
    KEYS,
    REASONS,
    REFUSALS,
    WARNINGS,
    answered_no,
    kept,
    message,
    way_out,
)
from medback_core.session.sources import kept_text
import medback_tui.app  # noqa: F401  (so that the bindings of the screens are known)
from medback_tui.look.keys import KEYS as BINDINGS

ROOT = Path(__file__).parents[2]
ERRORS = {"MedbackError", "UsageError", "Refused", "NeedsAnswer", "DriveGone", "SessionDamaged"}
EVENTS = {"Warned": "warnings", "Reason": "reasons"}


@cache
def sites() -> list[tuple[str, str, set[str] | None]]:
    """(table, which, facts) of every place that makes one; the facts are None where they can't be read off."""
    found: list[tuple[str, str, set[str] | None]] = []
    for path in [*(ROOT / "core").rglob("*.py"), *(ROOT / "medback_tui").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                table = "refusals" if node.func.id in ERRORS else EVENTS.get(node.func.id, "")
                facts = {word.arg for word in node.keywords if word.arg is not None}
                whole = facts if all(word.arg is not None for word in node.keywords) else None
                found += [(table, which, whole) for which in _texts(node.args[0])] if table else []
    return found


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        assert not any(" " in str(part) for part in parts), f"a sentence, not a kind: {ast.unparse(node)}"
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name} - {"key"}


TABLES = {"refusals": REFUSALS, "warnings": WARNINGS, "reasons": REASONS}


def test_every_refusal_warning_and_reason_has_a_sentence_that_its_facts_fill() -> None:
    assert len(sites()) > 150
    for table, which, facts in sites():
        template = TABLES[table].get(which)
        assert template is not None, f"no sentence for {which}"
        assert facts is None or fields(template) <= facts, which


def test_every_way_out_is_of_a_refusal_or_warning_and_filled_by_its_facts() -> None:
    known = {**REFUSALS, **WARNINGS, **REASONS}
    for which, template in [*COMMANDS.items(), *KEYS.items()]:
        cases = [one for one in known if one == which or one.startswith(f"{which}/")]
        assert cases, which
        for case in cases:
            if not case.endswith("/answered-no") and fields(template):
                given = [facts for _, made, facts in sites() if made == case and facts is not None]
                assert all(fields(template) <= facts for facts in given), (which, case)


def test_no_way_out_says_the_sentence_again() -> None:
    known = {**REFUSALS, **WARNINGS, **REASONS}
    assert not [which for which, template in COMMANDS.items() if template == known.get(which)]


def test_every_key_that_is_named_is_a_binding_of_the_app() -> None:
    for template in KEYS.values():
        for _, name, spec, _ in Formatter().parse(template):
            if name == "key":
                assert spec in BINDINGS, spec


def test_no_sentence_of_the_core_has_a_command_in_it() -> None:
    for template in [*REFUSALS.values(), *WARNINGS.values(), *REASONS.values()]:
        assert "`medback" not in template and "medback update" not in template


@pytest.mark.parametrize("key", [None, lambda _: "K"])
def test_the_way_out_is_for_the_one_who_asks(key: object) -> None:
    refusal = Refused("too-many-deletions", gone=12_000, contents=41_007, source="my photos")
    assert message(refusal, key).startswith("12,000 of the 41,007 different files of my photos are gone")  # type: ignore[arg-type]
    assert ("medback update 'my photos' --accept-deletions" in message(refusal, key)) == (key is None)  # type: ignore[arg-type]
    assert ("(K on screen K)" in message(refusal, key)) == (key is not None)  # type: ignore[arg-type]


def test_a_refusal_is_kept_with_its_source_and_said_later() -> None:
    refusal = Refused("source-empty", path=b"/mnt/ph\xffotos", source="photos")
    assert kept(kept_text(refusal)) == message(refusal)
    assert kept("what an earlier version kept") == "what an earlier version kept" and kept("") == ""


def test_facts_are_shown_each_in_its_way() -> None:
    assert "\x1b" not in message(Warned("cannot-read", path=b"/a\x1b[31m", error="No such file"))
    assert message(Warned("one-disk", targets=("Blue", "Red", "Tin"))).startswith("Blue, Red and Tin are on one disk")
    assert message(Warned("copies-gone", copies=1, target="Blue")).startswith("1 copy is no longer on Blue")
    assert message(Warned("left-out", path=b"/p", because=Refused("no-such-path", path=b"/q"))) == (
        "/p is left out: /q does not exist"
    )
    assert way_out(answered_no(NeedsAnswer("clone"))) == ""
    assert str(MedbackError("overlap/is-source", path=b"/p"))


def test_where_there_is_nothing_further_to_say_nothing_follows() -> None:
    """An empty list of warnings was said to be "none yet"."""
    asked = NeedsAnswer(
        "new-target", path=b"/mnt/x", kind="ext4", mount=b"/mnt/x", total=1 << 30, free=1 << 20, notes=()
    )
    assert "1.0 MiB free). Make it a target?" in message(asked)
