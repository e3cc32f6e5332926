"""Where the program starts. Ctrl-C ends it without a word also while all of it is still being read in."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """The command line of this process; returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell has it ignored for what runs beside
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from medback_core.cli import main as medback

    return medback()


if __name__ == "__main__":
    sys.exit(main())
