"""What an error of the system says: one place decides for all operations."""

from __future__ import annotations

import errno

import pytest

from medback_core import disk
from medback_core.disk import Cause


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.ENOSPC, Cause.NO_ROOM),
        (errno.EDQUOT, Cause.NO_ROOM),
        (errno.EROFS, Cause.READ_ONLY),
        (errno.ENODEV, Cause.GONE),
        (errno.ENXIO, Cause.GONE),
        (errno.ESTALE, Cause.GONE),
        (errno.ENOTCONN, Cause.GONE),
        (errno.ESHUTDOWN, Cause.GONE),
        (errno.ETIMEDOUT, Cause.GONE),
        (errno.EIO, Cause.FAULTY),
        (errno.ENOENT, Cause.NOT_THERE),
        (errno.EISDIR, Cause.NOT_THERE),
        (errno.ENOTDIR, Cause.BLOCKED),
        (errno.ELOOP, Cause.BLOCKED),
        (errno.EFBIG, Cause.TOO_LARGE),
        (errno.EACCES, Cause.ENTRY),
        (errno.ENAMETOOLONG, Cause.ENTRY),
        (errno.EEXIST, Cause.ENTRY),
    ],
)
def test_each_error_has_one_cause(code: int, cause: Cause) -> None:
    assert disk.cause_of(OSError(code, "it failed")) is cause


def test_an_error_without_a_number_is_of_the_entry() -> None:
    assert disk.cause_of(OSError("it failed")) is Cause.ENTRY


def test_a_file_that_changed_is_not_a_drive_that_is_gone() -> None:
    changed = disk.Changed(b"a")
    assert changed.errno == errno.ESTALE  # as the system says it of a network's file that is another one now
    assert disk.cause_of(changed) is Cause.CHANGED
    assert disk.cause_of(changed) not in disk.OF_THE_DRIVE
