"""One command line after another, in this process, as a script sees it: exit code, standard output, standard error."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medback_core.cli import main


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command line ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that is all of standard output."""
        found = json.loads(self.out)
        assert found["exit_code"] == self.code
        return found

    @property
    def words(self) -> str:
        return self.out + self.err


class Shell:
    """Runs command lines in one directory, on one session DB."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.session = where / "session.db"

    def __call__(self, *words: str) -> Answer:
        out, err = _Stream(), _Stream()
        with self._there(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*words])
        return Answer(code, out.text(), err.text())

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        """(exit code, the JSON object)."""
        answer = self(*words, "--json")
        return answer.code, answer.json

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        before, name = os.getcwd(), "MEDBACK_SESSION_DB"
        named = os.environ.get(name)
        os.chdir(self.where)
        os.environ[name] = str(self.session)
        try:
            yield
        finally:
            os.chdir(before)
            os.environ.pop(name) if named is None else os.environ.update({name: named})


class _Stream(io.TextIOWrapper):
    """Standard output as a pipe is: bytes behind text."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]
