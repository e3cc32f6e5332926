"""A sentence that names a key names the one that is pressed now, whatever the keymap says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from medback_core.drives.story import Story
from medback_core.model import Gap, Looked
from medback_core.settings.preferences import Preferences
from medback_tui.app import MedbackApp
from medback_tui.look.keys import KEYS
from medback_tui.reading.drives import Drives
from support import picture_sessions as worlds
from support.waiting import press, settle, text_of

ROOT = Path(__file__).parents[2]
OpenApp = Callable[..., MedbackApp]

# --- what stands in the code ------------------------------------------------------------------------------------------

A_KEY = re.compile(
    r"(?<![\w'’.\-/{<$])([B-HJ-Zb-z]|Enter|Esc|esc|Tab|tab|F5|F1|[Ss]pace|ctrl\+\w|\^\w)(?![\w'’.\-/+%}:])"
    r"|\(a\)|\ba(?=: | (brings|adds|takes|marks|plans)\b)|\b[1-4](?=, then| shows|\))"
)
OF_THE_TEXT_FIELD = (  # no bindings of ours: what a field does with Enter and a slash; how keys are called
    "Keys are called",
    "Enter keeps the filter",
    "Enter takes it",
    "tab next",
    "(tab)",
)


def words_in(path: Path) -> Iterator[str]:
    """The strings of a module that are more than one word, but for docstrings."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            has_words = len(re.findall(r"[a-z]{2,}", node.value)) > 1 and " " in node.value.strip()
            if has_words and "{" not in node.value:  # neither keys of a binding nor a style sheet
                yield node.value


def test_no_sentence_names_a_key_by_itself() -> None:
    found = [
        f"{path.name}: {words}"
        for room in ("medback_tui", "core/medback_core/presenting")
        for path in (ROOT / room).rglob("*.py")
        for words in words_in(path)
        if A_KEY.search(words) and not any(known in words for known in OF_THE_TEXT_FIELD)
    ]
    assert found == []


# --- what stands on the screens ---------------------------------------------------------------------------------------

LETTERS = {binding: chr(0x100 + number) for number, binding in enumerate(sorted(KEYS))}


def remapped(session: Path) -> MedbackApp:
    """The app where every key is another one: a letter no sentence has."""
    return MedbackApp(session, watch=False, preferences=Preferences(keys=LETTERS))


async def says(pilot: Pilot[int], *sentences: str) -> None:
    """Each stands there, with the keys of the bindings in braces."""
    text = re.sub(r"[\s│┃▌]+", " ", text_of(pilot))
    for sentence in sentences:
        wanted = re.sub(r"\{([a-z.-]+)\}", lambda found: LETTERS[found[1]], sentence)
        assert wanted in text, f"“{wanted}” does not stand in:\n{text_of(pilot)}"


async def go(pilot: Pilot[int], *bindings: str) -> None:
    await press(pilot, *(LETTERS[binding] for binding in bindings))


def test_every_binding_is_remapped_to_a_key_of_its_own() -> None:
    assert len(LETTERS) > 100 and all(letter.isalpha() for letter in LETTERS.values())
    assert {"sources.add", "restore.take", "question.copy", "dead.mark"} <= LETTERS.keys()


async def test_an_empty_session_names_the_keys_of_the_keymap(tmp_path: Path):
    app = remapped(tmp_path / "none.db")
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await says(pilot, "{sources.add} choose the first one", "{go.restore} or restore something")
        await go(pilot, "sources.update")
        await says(pilot, "there is no source yet: {sources.add} adds the first one")
        await go(pilot, "go.targets")
        await says(pilot, "{go.sources} add a source first", "{targets.new} choose a drive that already holds copies")
        await go(pilot, "go.coverage")
        await says(pilot, "{go.sources} add a source first")
        await go(pilot, "coverage.sort")
        await says(pilot, "there is no source yet: {go.sources}, then {sources.add}")
        await go(pilot, "go.restore")
        await says(pilot, "{restore.load} load a restore context")
        story = Story(b"/media/blue", "b1ue", "Blue", (), (), "1")
        app.drives = Drives(offers=(story,))
        app.tell_screens()
        await settle(pilot)
        await says(pilot, "{restore.take} plan to bring it back", "{restore.refuse} not wanted here")


async def test_a_full_session_names_the_keys_of_the_keymap(tmp_path: Path):
    app = remapped(worlds.damaged(tmp_path / "s.db"))
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        await says(pilot, "mount it, then {sources.update} updates it; {sources.edit} tells where it is now")
        photos, *others = app.facts.sources
        gaps = Looked(gaps=(Gap("photos", b"2024/x", "Permission denied", worlds.NOW),))
        app.facts = replace(app.facts, sources=(replace(photos, mounted=True, damaged=1, looked=gaps), *others))
        app.tell_screens()
        await settle(pilot)
        await says(
            pilot, "{sources.repair} repairs, {go.coverage} shows where", "Permission denied; {sources.gaps} lists them"
        )
        await go(pilot, "sources.gaps")
        await says(pilot, "{sources.edit} leaves one out")
        await go(pilot, "dialog.back", "sources.forget")
        await says(pilot, "({question.copy} copies it)")
        await go(pilot, "dialog.back", "sources.verify")
        await says(pilot, "You can stop it ({job.stop})")
        await go(pilot, "dialog.back", "sources.add")
        await says(pilot, "{dialog.back} back")
        assert app.screen.query_one(Input).placeholder.startswith(f"a path; {LETTERS['pick.complete']} completes it")
        await go(pilot, "dialog.back")

        await go(pilot, "go.targets")
        row = replace(app.facts.targets[0], target=replace(app.facts.targets[0].target, verified_at=None))
        app.facts = replace(app.facts, targets=(row, *app.facts.targets[1:]))
        app.drives = Drives({row.target.id: b"/media/ada/blue"})
        app.queue.damage_at = lambda path: 3  # type: ignore[method-assign]
        app.tell_screens()
        await settle(pilot)
        await says(
            pilot, "{targets.repair} repairs it from a good copy", "not all were ever checked ({targets.verify})"
        )

        await go(pilot, "go.coverage", "coverage.filter")
        await says(pilot, "Enter keeps the filter, {coverage.back} ends it")
        await pilot.press("enter")
        await settle(pilot)
        await go(pilot, "coverage.open", "list.down", "coverage.open", "coverage.open")
        await go(pilot, "list.down", "list.down", "list.down")
        await says(pilot, "{go.sources}, then {sources.repair} repairs")
        await go(pilot, "coverage.map", "coverage.sort")
        await says(pilot, "{coverage.map} shows the list again")

        await go(pilot, "go.restore", "restore.everything")
        await says(pilot, "({restore.unreachable})")
        await go(pilot, "restore.exclude")
        await says(pilot, "{restore.exclude} takes it in")

    app = remapped(tmp_path / "s.db")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        app.drives = Drives({app.facts.targets[0].target.id: b"/media/ada/blue"})
        app.next_drive = app.facts.targets[0].target.id
        assert app._offer(app.facts.targets[0]) == "; the plan waits for it: {}, then {} restores".format(
            LETTERS["go.restore"], LETTERS["restore.restore"]
        )
        app.next_drive = None
        row = app.facts.targets[0]
        assert app._offer(row).endswith(
            "are not safe: {}, then {} backs up onto it".format(LETTERS["go.targets"], LETTERS["targets.back-up"])
        )
