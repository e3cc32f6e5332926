"""What the app says a person should do next when a job has ended."""

from __future__ import annotations

from collections import Counter

from medback_core.model import VerifySummary
from medback_core.presenting.outcomes import Ended, outcome


def test_a_repair_is_advised_of_what_is_damaged_and_not_of_what_this_person_may_not_read():
    read = VerifySummary(checked=3, same=2, unreadable=1)
    for kind, repaired in (("Skipped", False), ("DamageFound", True)):
        ended = Ended("verify Blue", kind="verify", summary=read, counts=Counter([kind]))
        _, _, advice = outcome(ended, lambda action: f"<{action}>")
        assert ("<targets.repair>" in advice) == repaired, advice
