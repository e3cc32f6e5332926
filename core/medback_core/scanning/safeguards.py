"""When a scan refuses to believe what it sees: a source that looks unmounted, or that lost or changed too much."""

from __future__ import annotations

from collections.abc import Collection

from medback_core import disk
from medback_core.errors import Refused
from medback_core.model import Answers, Source
from medback_core.session import Session
from medback_core.session.scanning import ScanChanges, known_before, vanished_paths, weigh
from medback_core.sidecar.source_metadata import SourceMetadata
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import has_its_sidecars, is_empty, may_lack_metadata, was_scanned

FEW = 10  # so many may always go or change
SHARE = 4  # beyond that, at most one in four


def check_there(
    session: Session, source: Source, root: disk.Root, metadata: SourceMetadata | None, *, answers: Answers
) -> bool:
    """Raise Refused when what is open is not this source: another one, or the place its drive is not plugged into.

    Returns whether it lost its metadata file and is this source all the same, because its sidecars are those this
    session knows, the very files."""
    if not was_scanned(session, source):
        return False
    if metadata is not None:
        if metadata.id not in ("", source.id):
            raise Refused(
                "not-mounted/another-source", path=source.path, source=source.alias, other=metadata.alias or metadata.id
            )
        return False
    if is_empty(root):
        raise Refused("source-empty", path=source.path, source=source.alias)
    if answers.deletions or may_lack_metadata(session, source):
        return False
    if has_its_sidecars(session, source, root):
        return True
    raise Refused("not-mounted/no-metadata", path=source.path, source=source.alias)


def check_staged(
    session: Session,
    source: Source,
    run: Collection[int],
    newest: int,
    hidden: list[bytes],
    patterns: Patterns,
    *,
    answers: Answers,
) -> ScanChanges:
    """Weigh what the scan staged; raise Refused when it must not be believed yet. Returns the counts."""
    staged = weigh(session, source.key, run, newest)
    gone = staged.vanished
    if not answers.deletions and gone:
        for place in hidden:
            if lost := len(vanished_paths(session, source.key, place)):
                raise Refused("source-empty/directory", path=place, source=source.alias, files=lost)
    if gone and not answers.deletions:
        contents, paths = known_before(session, source.key, newest)
        if gone * SHARE > contents and patterns:
            # What the person has excluded since did not vanish.
            gone = sum(1 for path in vanished_paths(session, source.key) if not patterns.match(path))
        if (gone > FEW and gone * SHARE > contents) or gone >= contents:
            raise Refused("too-many-deletions", gone=gone, contents=contents, source=source.alias)
    if staged.changes > FEW and not answers.changes:
        _, paths = known_before(session, source.key, newest)
        if staged.changes * SHARE > paths:
            raise Refused("too-many-changes", changes=staged.changes, files=paths, source=source.alias)
    return staged
