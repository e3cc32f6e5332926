"""Whether one of medback's own files is whole: what a power cut left under a temporary name is adopted only then."""

from __future__ import annotations

from ..model import SIDECAR_NAME, SOURCE_METADATA_NAME, TARGET_IDENTITY_NAME
from .reading import whole
from .source_metadata import parse_source_metadata
from .target_identity import parse_target_identity


def is_whole(name: bytes, data: bytes) -> bool:
    """Whether these bytes are all that a file of this name should be. Other files than sidecars and the two that say
    who a source or a drive is are never adopted."""
    if name == SIDECAR_NAME:
        return whole(data)
    if name == SOURCE_METADATA_NAME:
        found = parse_source_metadata(data)
    elif name == TARGET_IDENTITY_NAME:
        found = parse_target_identity(data)
    else:
        return False
    return bool(found.id) and not found.damage
