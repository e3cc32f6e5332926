"""The XML beside the files: sidecars, a source's metadata, a target's identity. Bytes in, objects out, and back."""

from .metadata import METADATA_LIMIT
from .reading import parse, parse_family, whole
from .records import (
    MODE_DEFAULT,
    NOTHING,
    RECORDS_MAX,
    SIDECAR_LIMIT,
    Bd,
    DirRecord,
    Extra,
    FileRecord,
    LinkRecord,
    Place,
    Sidecar,
    Trust,
    valid_id,
)
from .source_metadata import Sibling, SourceMetadata, TargetFact, parse_source_metadata, render_source_metadata
from .target_identity import (
    Holder,
    Remembered,
    TargetIdentity,
    family_target_id,
    parse_target_identity,
    render_target_identity,
)
from .wholeness import is_whole
from .writing import render
