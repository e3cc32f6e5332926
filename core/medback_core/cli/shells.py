"""The completion scripts of the shells: the same by `medback completion` and by `_MEDBACK_COMPLETE=bash_source`.

Words come from the session: a label may have any printable letter. Each shell is given what it puts into the line.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

# readline replaces the part of the line behind the last open quote or word break by a word as it is given.
_BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Typed(NamedTuple):
    """A line of bash up to the cursor, without its quoting."""

    words: list[str]  # those before the one that is being typed
    word: str
    kept: str  # the part of `word` that bash leaves in the line
    quote: str  # the quote that is open


def typed(line: str, breaks: str) -> Typed:
    """Read a line as bash does; `breaks` are the letters it ends a word at for completion (`COMP_WORDBREAKS`)."""
    words: list[str] = []
    word, kept, quote, has_begun = "", "", "", False
    letters = iter(line)
    for letter in letters:
        if not quote and letter.isspace():
            if has_begun:
                words.append(word)
            word, kept, has_begun = "", "", False
            continue
        has_begun = True
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote, kept = letter, word
        elif letter == "\\" and quote != "'":
            escaped = next(letters, "")
            word += escaped if not quote or escaped in '"\\$`' else letter + escaped
        else:
            word += letter
            if not quote and letter in breaks:
                kept = word
    return Typed(words, word, kept, quote)


def quoted(word: str, quote: str) -> str:
    """A word as it stands in a line of bash, inside the quote that is open there."""
    if quote == "'":
        return word.replace("'", "'\\''")
    if quote:
        return re.sub(r'(["\\$`])', r"\\\1", word).replace("!", '"\\!"')  # a `!` has its meaning in double quotes too
    return re.sub(r"([^\w./:=@%+,-])", r"\\\1", word)


def _option_of(word: str) -> tuple[str, str]:
    """`--option=` and what was typed of its value; "" and the word where it is none."""
    option, sign, value = word.partition("=")
    return (option + sign, value) if word.startswith("--") and sign else ("", word)


@add_completion_class
class _Bash(BashComplete):
    source_template = _BASH
    _line: Typed | None = None
    _option = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        if "COMP_LINE" not in os.environ:
            return super().get_completion_args()  # a script of an earlier version, which quotes by itself
        self._line = typed(os.environ["COMP_LINE"], os.environ["COMP_WORDBREAKS"])
        self._option, word = _option_of(self._line.word)
        words = list(self._line.words)
        while words and re.match(r"\w+=", words[0]):
            del words[0]  # a variable for this one command
        return words[1:] + [self._option[:-1]] * bool(self._option), word

    def format_completion(self, item: CompletionItem[str]) -> str:
        if self._line is None:
            return super().format_completion(item)
        whole = self._option + item.value
        return f"{item.type},{quoted(whole[len(self._line.kept) :], self._line.quote)}"


class _Value(ShellComplete):
    """A value of `--option=` is completed as that of the option, and keeps it: the shell quotes by itself."""

    _option = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, word = super().get_completion_args()
        self._option, word = _option_of(word)
        return args + [self._option[:-1]] * bool(self._option), word

    def format_completion(self, item: CompletionItem[str]) -> str:
        return super().format_completion(CompletionItem(self._option + item.value, type=item.type, help=item.help))


@add_completion_class
class _Zsh(_Value, ZshComplete):
    """zsh."""


@add_completion_class
class _Fish(_Value, FishComplete):
    """fish; a word ends at the end of its line, and not at a comma in it."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


def completion_of(shell: str) -> type[ShellComplete]:
    """How a shell (bash, zsh, fish) is completed."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind
