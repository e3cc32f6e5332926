"""What all tests share: the table of the fault campaigns."""

from faults.table import campaign, pytest_terminal_summary  # noqa: F401  (pytest finds them here)
