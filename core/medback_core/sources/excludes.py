"""Which entries of a source its patterns leave out: gitignore-style, relative to the source."""

from __future__ import annotations

from collections.abc import Iterable

from medback_core import names
from medback_core.errors import UsageError


class Patterns:
    """Compiled patterns: a later one wins over an earlier one, `!` takes back, a trailing `/` means directories."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises UsageError naming a pattern that can't be one."""
        self.patterns = tuple(patterns)
        if not self.patterns:
            return
        import pathspec  # its time is spared to who has none

        for pattern in self.patterns:
            try:
                pathspec.GitIgnoreSpec.from_lines([pattern])
            except ValueError as error:
                raise UsageError("usage/pattern", pattern=pattern, error=str(error)) from error
        self._spec = pathspec.GitIgnoreSpec.from_lines(self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, path: bytes, *, directory: bool = False) -> bool:
        """Whether a path relative to the source is matched itself (or by a pattern for a directory above it)."""
        return bool(self.patterns) and self._spec.match_file(names.text(path + b"/" if directory else path))
