"""The caller's mouth: what is to be said, handed out frame by frame as a line carries it.

Pure: the line asks for one frame after the other, and the mouth has no idea what time it is.
Everything is L16 at 8 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from ..media.formats import L16_8K

__all__ = ["Mouth"]


class _Speech(Struct):
    pcm: bytes
    done: Callable[[], None]


class Mouth:
    """A queue of speech. ``frame_ms`` is what one ``frame`` lasts."""

    def __init__(self, frame_ms: int) -> None:
        self._size = L16_8K.bytes_in(frame_ms)
        self._queue: deque[_Speech] = deque()
        self._position = 0
        self.silence = bytes(self._size)

    @property
    def busy(self) -> bool:
        """Whether something is being said, or will be."""
        return bool(self._queue)

    def say(self, pcm: bytes, done: Callable[[], None]) -> None:
        """Say this after what is being said; ``done`` is called when its last frame has left.

        Raises:
            ValueError: half a sample.
        """
        if len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes are no whole 16-bit samples")
        self._queue.append(_Speech(pcm, done))

    def shut(self) -> None:
        """Stop speaking at once, and forget the rest."""
        queue, self._queue = self._queue, deque()
        self._position = 0
        for speech in queue:
            speech.done()

    def frame(self) -> bytes | None:
        """The next frame, the last of a speech filled up with silence; ``None`` for no speech."""
        if not self._queue:
            return None
        speech = self._queue[0]
        piece = speech.pcm[self._position : self._position + self._size]
        self._position += self._size
        if self._position >= len(speech.pcm):
            self._queue.popleft()
            self._position = 0
            speech.done()
        return piece.ljust(self._size, b"\0")
