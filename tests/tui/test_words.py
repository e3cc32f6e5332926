"""Numbers, sizes, dates, paths and commands as the screens say them."""

from __future__ import annotations

import shlex

import pytest

from medback_core import model
from medback_core.errors import Refused
from medback_tui.jobs import operations, upkeep
from medback_core.presenting import units as words
from medback_tui.jobs.queue import JobState, note_of
from medback_core.presenting.outcomes import outcome
from medback_tui.look.sizes import not_a_size, typed_size


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (38_200_000, "36.4 MiB"),
        (1 << 40, "1.0 TiB"),
        (10**12, "931 GiB"),
    ],
)
def test_sizes(count: int, said: str):
    assert words.size(count) == said
    assert len(words.size(count)) <= 8


def test_dates_are_told_as_how_long_ago(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model, "now", lambda: 1_000_000_000)
    said = [words.ago(1_000_000_000 - seconds) for seconds in (0, 60, 7200, 86_400, 172_800, 21 * 86_400, 400 * 86_400)]
    assert said == ["just now", "1 minute ago", "2 hours ago", "yesterday", "2 days ago", "3 weeks ago", "1 year ago"]
    assert words.ago(0) == words.ago(None) == "never"


def test_a_percentage_is_never_more_than_it_is():
    assert words.percent(999_999, 1_000_000) == "99 %"
    assert words.percent(1, 1_000_000) == "1 %"
    assert words.percent(0, 10) == "0 %"
    assert words.percent(10, 10) == "100 %"


def test_a_long_path_keeps_its_start_and_its_name():
    assert words.short_path(b"photos/2019/family/lisbon/IMG_8812.CR2", 26) == "photos/2019/…/IMG_8812.CR2"
    assert len(words.short_path(b"a/" + b"x" * 300, 20)) == 20


def test_commands_can_be_pasted_into_a_shell():
    said = words.command("target", b"/mnt/my drive's", "--label", "Blue 2T")
    assert shlex.split(said) == ["medback", "target", "/mnt/my drive's", "--label", "Blue 2T"]
    assert words.command("add-src", b"/x/\xff\x1b") == "medback add-src $'/x/\\xff\\x1b'"


@pytest.mark.parametrize(
    ("text", "bytes_"), [("500G", 500 << 30), ("2TiB", 2 << 40), ("1.5 GB", 1_500_000_000), ("80%", 800)]
)
def test_sizes_mean_what_they_mean_on_the_command_line(text: str, bytes_: int):
    assert typed_size(text, 1000) == bytes_


@pytest.mark.parametrize("text", ["", "lots", "-5G", "5 parsecs", "0", "120%"])
def test_what_is_no_size_says_how_to_write_one(text: str):
    assert typed_size(text, 1000) is None
    assert "500G" in not_a_size(text)


EVIL = b"\x1b[2J\x1b]0;owned\x07 \xe2\x80\xaegpj.exe\n\xff"


def test_no_job_says_a_name_as_it_is():
    shown = EVIL.decode("utf-8", "surrogateescape")
    path = b"/mnt/" + EVIL
    jobs = [
        operations.add_source(path, alias=shown),
        operations.update([shown]),
        operations.forget_source(shown),
        operations.back_up(path, shown, label=shown),
        operations.back_up(path, shown, dry_run=True),
        operations.discover(path, shown),
        operations.restore(path, shown, source=shown, path=EVIL, to=path),
        operations.restore(path, shown, source=shown),
        operations.load_context(path),
        operations.write_context(path),
        upkeep.verify(path, shown),
        upkeep.repair(path, shown),
        upkeep.prove(shown),
    ]
    for job in jobs:
        assert job.title.isprintable() and job.command.isprintable(), job
    for state in (JobState.REFUSED, JobState.FAILED):
        jobs[0].state, jobs[0].error = state, Refused("missing", path=EVIL)
        assert all(words.isprintable() for words in outcome(jobs[0], lambda _: "x"))


def test_no_line_of_the_log_says_a_name_as_it_is():
    shown = EVIL.decode("utf-8", "surrogateescape")
    reason = model.Reason("system", error=shown)
    for event in (
        model.Skipped(EVIL, reason),
        model.DamageFound(EVIL, reason),
        model.CopyGone(EVIL, "missing"),
        model.Warned("source-away", source=shown),
        model.SourceRefused(shown, Refused("alias-taken", alias=shown)),
        model.Conflict(EVIL, reason),
        model.Unrepairable(EVIL, reason),
        model.Repaired(EVIL, shown),
    ):
        note = note_of(event)
        assert note is not None and note.words.isprintable() and "owned" in note.words
