"""Keep the traceback of an unexpected error where a person can find it."""

from __future__ import annotations

import os
import shlex
import traceback

from medback_core import model, names


def keep_traceback(words: list[str], error: BaseException) -> str:
    """Write the traceback to medback's log directory; where it is, or why it is nowhere."""
    import platformdirs

    from medback_core import disk

    lines = [f"medback {shlex.join(words)}\n", *traceback.format_exception(error)]
    data = "".join(names.display_name(line.rstrip("\n")) + "\n" for line in "".join(lines).splitlines()).encode()
    directory = platformdirs.user_log_path("medback", appauthor=False)
    name = f"error-{model.date_stamp(model.now())}-{os.getpid()}.log"
    there = next(parent for parent in (directory, *directory.parents) if parent.is_dir())
    try:
        with disk.Root(os.fsencode(there)) as root:
            rel = os.fsencode((directory / name).relative_to(there).as_posix())
            disk.write_whole(root, rel, data, mode=0o600)
    except OSError as problem:
        return f"no log could be written: {problem.strerror}; -v shows the traceback"
    return f"log: {names.display_name(str(directory / name))}"
