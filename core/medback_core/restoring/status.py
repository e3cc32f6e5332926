"""What of all that should be there stands at its destination, and the best next target."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext

from medback_core import disk
from medback_core.contexts.load import expect_again, finish_expected
from medback_core.model import Count, Event, Progress, RestoreStatus, Unrestored
from medback_core.restoring.destinations import DestinationState, destinations, look, open_destination, scope
from medback_core.restoring.plan import next_target, refuse_unknown, unreachable
from medback_core.restoring.told import known_as_of, unheard
from medback_core.session import Session
from medback_core.session.directories import forget_making
from medback_core.session.expected import wanted_files
from medback_core.session.scanning import has_files
from medback_core.session.sources import list_sources, remove_source


def restore_status(
    session: Session, *, to: bytes | None = None, source: str | None = None, path: bytes | None = None
) -> Iterator[Event]:
    """Look at every destination: an Unrestored for each file that is missing or differs, then RestoreStatus.

    What has the right size and was not read before is read once. What is expected ends here when all of it is there and
    recorded. Options as for `restore`. Raises Refused.
    """
    only = scope(path)
    expected = present = differing = 0
    missing: dict[int, Count] = {}
    with disk.lock_session(os.fsencode(session.path)):
        yield from expect_again(session)
        places = destinations(session, source=source, to=to)
        refuse_unknown(session, places, only)
        for destination in places:
            with open_destination(destination.directory) or nullcontext() as root, session.again() as reader:
                files = wanted_files(reader, destination.source.key, only)
                for found in look(session, destination, root, files):
                    if isinstance(found, Progress):
                        yield found
                        continue
                    row = found.wanted
                    assert row.content is not None
                    expected += 1
                    if found.state is DestinationState.PRESENT:
                        present += 1
                        continue
                    differs = found.state is DestinationState.DIFFERS
                    yield Unrestored(destination.absolute(row.path), row.content.size, differs)
                    if differs:
                        differing += 1
                    else:
                        missing[row.placement] = missing.get(row.placement, Count()) + Count(1, row.content.size)
        if present == expected and to is None and source is None and only is None:
            finish_expected(session, only_if_observed=True)
    total = sum(missing.values(), Count())
    following = next_target(session, missing) if missing else None
    bare = unreachable(session, missing)
    sources = [destination.source for destination in places]
    yield RestoreStatus(
        expected,
        present,
        total.files,
        total.bytes,
        differing,
        bare,
        following,
        known_as_of(sources),
        unheard(session, sources),
    )


def finish_restore(session: Session) -> None:
    """The person's word that the restore is over (`--done`): nothing imported is expected any more. A source that only
    drives told of, and of which nothing was put in its place, is forgotten: if it is asked for again, it is reported
    again."""
    with disk.lock_session(os.fsencode(session.path)):
        finish_expected(session)
        for source in list_sources(session):
            if source.told_at is not None and source.scanned_at is None and not has_files(session, source.key):
                remove_source(session, source.key)
        forget_making(session)
