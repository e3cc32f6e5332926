"""Verify every drive that is plugged in, the one that was not read for longest first, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

from medback_core.drives.open import find_drives
from medback_core.errors import DriveGone, Refused
from medback_core.model import Event, SourceRefused, VerifySummary, Warned
from medback_core.session import Session
from medback_core.session.targets import list_targets
from medback_core.upkeep.verify_target import verify


def verify_all(
    session: Session, *, older_than: int | None = None, max_bytes: int | None = None, seconds: float | None = None
) -> Iterator[Event]:
    """Verify the targets that are plugged in, one after the other, the one whose oldest check is oldest first;
    `max_bytes` and `seconds` are for all of them together. Ends with one VerifySummary of all.

    A drive that can't be verified now yields SourceRefused, and the others are. Warned ("verify-not-reached") names
    those it did not come to. None being plugged in is no failure.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    targets = sorted(list_targets(session), key=lambda target: target.verified_at or 0)
    plugged = find_drives(session, targets)
    here = [(target, plugged[target.id]) for target in targets if target.id in plugged]
    if not here:
        yield Warned("no-drive-here")
    total = dict.fromkeys(asdict(VerifySummary()), 0)
    left_out = []
    for target, path in here:
        seconds_left = None if ends is None else max(0.0, ends - time.monotonic())
        bytes_left = None if max_bytes is None else max(0, max_bytes - total["checked_bytes"])
        if total["left"] or (total["checked"] and 0 in (seconds_left, bytes_left)):
            left_out.append(target.name)  # the bound was reached on a drive before it
            continue
        try:
            first = not total["checked"]
            for event in verify(
                session,
                path,
                older_than=older_than,
                max_bytes=bytes_left,
                seconds=seconds_left,
                one_at_least=first,
            ):
                if isinstance(event, VerifySummary):
                    for name, number in asdict(event).items():
                        total[name] += number
                else:
                    yield event
        except (Refused, DriveGone) as error:
            yield SourceRefused(target.name, error)
    if left_out:
        yield Warned("verify-not-reached", targets=tuple(left_out))
    yield VerifySummary(**total)
