"""A target's own sidecars: the trusted truth about what lies on that drive."""

from .agreeing import lies_there, same_time
from .contexts_there import CONTEXTS_KEPT, write_contexts
from .looking import Looked, look_at
from .recorder import Recorder, Unrecorded, read_sidecar

__all__ = [
    "CONTEXTS_KEPT",
    "Looked",
    "Recorder",
    "Unrecorded",
    "lies_there",
    "look_at",
    "read_sidecar",
    "same_time",
    "write_contexts",
]
