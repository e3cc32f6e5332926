"""The completion scripts of the shells: the same by `medback completion` and by `_MEDBACK_COMPLETE=bash_source`."""

from __future__ import annotations

from click.shell_completion import BashComplete, ShellComplete, add_completion_class, get_completion_class


@add_completion_class
class _Bash(BashComplete):
    """bash puts a word into the line as it is given: one with a space would be two."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", """COMPREPLY+=("$(printf '%%q' "$value")")"""
    )


def completion_of(shell: str) -> type[ShellComplete]:
    """How a shell (bash, zsh, fish) is completed."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind
