"""The two digests of content: which of them a reading makes, and how.

Where the BLAKE3 of a content is known, a reading makes that alone, which is four times as fast. It may only say yes:
when it says no, MD5 decides. Where it is not known, MD5 and BLAKE3 are made in one reading. Worker processes import
this file by itself: it needs nothing of medback.
"""

import _thread  # `threading` and `queue` themselves would double the time a worker takes to start
from _queue import SimpleQueue
from hashlib import md5

try:
    from blake3 import blake3
except ImportError:  # a worker process that does not find it: MD5 alone, then, and nothing is learnt
    blake3 = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BESIDE = 256 << 10  # bytes at once for which a second thread is worth waking


def made_of(data: bytes, known: bytes | None = None) -> tuple[bytes | None, bytes | None]:
    """(MD5, BLAKE3) of content that is in memory. The MD5 is None where BLAKE3 is as known: then it was not made. The
    BLAKE3 is None where it can't be made here."""
    second = blake3(data).digest() if blake3 is not None else None
    if known is not None and second == known:
        return None, second
    return md5(data, usedforsecurity=False).digest(), second


class Reading:
    """The digests of one reading, fed chunk by chunk. Use it in a `with`: it may have a thread."""

    def __init__(self, known: bytes | None = None) -> None:
        """With the BLAKE3 the content is known by, that alone is made."""
        self._second = blake3() if blake3 is not None else None
        self._first = md5(usedforsecurity=False) if known is None or self._second is None else None
        self._beside: Beside | None = None

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        if self._beside is not None:
            self._beside.__exit__()

    def update(self, chunk: memoryview) -> None:
        """Take the next chunk; its buffer may be used again afterwards."""
        if self._first is None or self._second is None:
            (self._first or self._second).update(chunk)  # type: ignore[union-attr]
        elif len(chunk) < _BESIDE:
            self._second.update(chunk)
            self._first.update(chunk)
        else:
            if self._beside is None:
                self._beside = Beside(self._second.update)
            self._beside.begin(chunk)
            try:
                self._first.update(chunk)
            finally:
                self._beside.wait()

    def made(self) -> tuple[bytes | None, bytes | None]:
        """(MD5, BLAKE3) of all that was read; None for one that was not made."""
        first, second = self._first, self._second
        return None if first is None else first.digest(), None if second is None else second.digest()


class Beside:
    """A thread that does one thing after another while its owner does others. Use it in a `with`, which waits for what
    is under way."""

    def __init__(self, do: "Callable[[Any], object]") -> None:
        self._do = do
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._is_busy = self._is_started = False

    def __enter__(self) -> "Beside":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_busy:
            self._done.get()
        if self._is_started:
            self._asked.put(None)

    def _run(self) -> None:
        while (one := self._asked.get()) is not None:
            problem = None
            try:
                self._do(one)
            except BaseException as error:  # noqa: BLE001 - it is its owner's, who is told by `wait`
                problem = error
            del one
            self._done.put(problem)

    def begin(self, one: "Any") -> None:
        """Wait for what is under way, then begin to do this; anything but None. Raises what `wait` raises."""
        self.wait()
        if not self._is_started:
            _thread.start_new_thread(self._run, ())
            self._is_started = True
        self._is_busy = True
        self._asked.put(one)

    def wait(self) -> None:
        """Wait for what is under way. Raises what it raised."""
        if self._is_busy:
            self._is_busy = False
            if (problem := self._done.get()) is not None:
                raise problem
