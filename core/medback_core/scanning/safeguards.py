"""When a scan refuses to believe what it sees: a source that looks unmounted, or that lost or changed too much."""

from __future__ import annotations

from collections.abc import Collection

from medback_core import disk, names
from medback_core.errors import Refused
from medback_core.model import Source
from medback_core.session import Session
from medback_core.session.scanning import ScanChanges, known_before, vanished_paths, weigh
from medback_core.sidecar.source_metadata import SourceMetadata
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import is_empty, may_lack_metadata, was_scanned

FEW = 10  # so many may always go or change
SHARE = 4  # beyond that, at most one in four


def check_there(
    session: Session, source: Source, root: disk.Root, metadata: SourceMetadata | None, *, accept_deletions: bool
) -> None:
    """Raise Refused when what is open is not this source: another one, or the place its drive is not plugged into."""
    if not was_scanned(session, source):
        return
    shown, path = names.display_name(source.alias), names.display_name(source.path)
    if metadata is not None:
        if metadata.id not in ("", source.id):
            raise Refused(
                "not-mounted",
                f"{path} is not {shown} but the source {names.display_name(metadata.alias or metadata.id)}: another "
                "drive is mounted there; nothing was changed",
            )
        return
    if is_empty(root):
        raise Refused(
            "source-empty",
            f"{path} is empty: is the drive of {shown} not plugged in? Nothing was changed. If the source is gone for "
            f"good: medback remove-src {shown}; if it moved: medback set-source {shown} --path NEW",
        )
    if accept_deletions or may_lack_metadata(session, source):
        return
    raise Refused(
        "not-mounted",
        f"{path} has lost its .medback-source.xml: it may not be {shown} but what lies under its mount point; nothing "
        f"was changed. If it is {shown}: medback update {shown} --accept-deletions",
    )


def check_staged(
    session: Session,
    source: Source,
    run: Collection[int],
    newest: int,
    hidden: list[bytes],
    patterns: Patterns,
    *,
    accept_deletions: bool,
    accept_changes: bool,
) -> ScanChanges:
    """Weigh what the scan staged; raise Refused when it must not be believed yet. Returns the counts."""
    staged = weigh(session, source.key, run, newest)
    shown = names.display_name(source.alias)
    gone = staged.vanished
    if not accept_deletions and gone:
        for place in hidden:
            if lost := len(vanished_paths(session, source.key, place)):
                raise _hidden(place, lost, shown)
    if gone and not accept_deletions:
        contents, paths = known_before(session, source.key, newest)
        if gone * SHARE > contents and patterns:
            # What the person has excluded since did not vanish.
            gone = sum(1 for path in vanished_paths(session, source.key) if not patterns.match(path))
        if (gone > FEW and gone * SHARE > contents) or gone >= contents:
            raise Refused(
                "too-many-deletions",
                f"{gone:,} of the {contents:,} contents of {shown} have vanished since the last scan; they are all "
                f"kept on record. If that is right: medback update {shown} --accept-deletions",
            )
    if staged.changes > FEW and not accept_changes:
        _, paths = known_before(session, source.key, newest)
        if staged.changes * SHARE > paths:
            raise Refused(
                "too-many-changes",
                f"{staged.changes:,} of the {paths:,} files of {shown} have changed since the last scan; nothing of "
                f"that was recorded. If that is right: medback update {shown} --accept-changes",
            )
    return staged


def _hidden(place: bytes, lost: int, shown: str) -> Refused:
    return Refused(
        "source-empty",
        f"{names.display_name(place)} of {shown} is empty now, with no sidecar, and {lost:,} of its files are nowhere "
        "else: is a drive not plugged in? They are all kept on record. If they are gone for good: medback update "
        f"{shown} --accept-deletions",
    )
