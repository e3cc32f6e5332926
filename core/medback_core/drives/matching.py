"""Does a file on a drive agree with what is on record of it, as far as a look can tell."""

from __future__ import annotations

import stat

from medback_core.drives.open import Drive
from medback_core.model import Identity
from medback_core.session.copies import Copy

_HOUR_NS = 3600 * 10**9
_COARSE_NS = 2 * 10**9


def same_time(drive: Drive, one_ns: int, other_ns: int) -> bool:
    """Whether two mtimes agree, as far as the drive can tell: FAT keeps 2 s, in local time of whatever zone."""
    if one_ns == other_ns:
        return True
    if not drive.filesystem.coarse_times:
        return False
    apart = abs(one_ns - other_ns)
    return apart <= 26 * _HOUR_NS and (apart + _COARSE_NS) % _HOUR_NS <= 2 * _COARSE_NS


def lies_there(drive: Drive, copy: Copy, identity: Identity) -> bool:
    """Whether a file as large and as old as a copy lies where the copy lay, as far as that is known. What we may not
    look at is taken to be there: that says something of us, not of the drive."""
    if copy.path is None:
        return False
    try:
        status = drive.root.stat(copy.path)
    except PermissionError:
        return True
    except OSError:
        return False
    return (
        status is not None
        and stat.S_ISREG(status.st_mode)
        and status.st_size == identity.size
        and (copy.mtime_ns is None or same_time(drive, status.st_mtime_ns, copy.mtime_ns))
    )
