"""A target's own sidecars: the trusted truth about what lies on that drive."""

from .contexts_there import write_contexts
from .looking import LookSummary, look_at, same_time
from .recorder import Recorder, read_sidecar

__all__ = ["LookSummary", "Recorder", "look_at", "read_sidecar", "same_time", "write_contexts"]
