"""What a look at a drive asks the session."""

from __future__ import annotations

from pathlib import Path

from medback_core.model import Identity, Standing
from medback_core.session import open_session
from medback_core.session.copies import Copy, identity_key, record_copies
from medback_core.session.looking import believed, believed_many
from medback_core.session.targets import target_key


def test_what_is_asked_of_many_contents_is_what_is_asked_of_each(tmp_path: Path) -> None:
    met = [Identity(size, bytes([number]) * 16) for number in range(3) for size in (5, 7)]  # two sizes with one MD5
    with open_session(tmp_path / "s.db") as session, session.transaction():
        target = target_key(session, "dr1ve1")
        keys = [identity_key(session, one) for one in met]
        record_copies(session, [Copy(keys[0], target, Standing.VERIFIED, b"a/b", 1, 2, True)])
        asked = [*met[:4], Identity(6, met[0].md5), Identity(5, bytes(16 * [9]))]
        found = believed_many(session, target, asked)
        for one in asked:
            assert found.get(one) == believed(session, target, one)
        first = found[met[0]].copy
        assert first is not None and first.path == b"a/b"
        assert found[met[1]].copy is None
