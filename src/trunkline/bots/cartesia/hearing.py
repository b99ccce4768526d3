"""What both ways of having Cartesia listen share: audio sent, and kept until it is written down.

Audio goes out as it comes in, in the line's own encoding. The last two seconds of what no final
transcript covers are kept; when a socket is lost they go out again on the next one, with what was
said meanwhile. Somebody who is
mute may send no audio at all; then silence is sent now and then, since the service closes a socket
that is idle for three minutes (docs.cartesia.ai, use-the-api/concurrency-limits-and-timeouts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ...media.formats import AudioFormat
from ...websocket import Connect
from .link import Link
from .wire import Account

__all__ = ["OUTAGE_MS", "REPLAY_MS", "Hearing", "joined"]

REPLAY_MS = 2_000.0
"""How much of what was sent before a socket was lost is sent again …"""
OUTAGE_MS = 10_000.0
"""… and with what came until there was another one, no more than this."""
_PIECE_MS = 100.0  # what the service is sent at once of what was kept
_SILENCE_MS = 100.0
KEEP_ALIVE_S = 60.0
# Words that may be heard twice where audio was sent again.
_OVERLAP_WORDS = 3


class Hearing:
    """One caller's audio on its way to the service. Make it in a running event loop.

    Args:
        audio: what ``push`` takes.
        replayed: called on each new socket: it sends with ``replay`` and ``say``.
        received: called with each message.
        lost, failed: as for ``Link``.
    """

    def __init__(
        self,
        account: Account,
        url: str,
        audio: AudioFormat,
        connect: Connect,
        *,
        replayed: Callable[[], None],
        received: Callable[[str | bytes], None],
        lost: Callable[[], None],
        failed: Callable[[Exception], None],
        who: Mapping[str, object],
    ) -> None:
        self.end = 0
        """How many bytes were pushed so far."""
        self._audio = audio
        self._kept = bytearray()
        self._loop = asyncio.get_running_loop()
        self._pushed_at = self._loop.time()
        self.link = Link(
            "Cartesia STT",
            connect,
            url,
            account.headers,
            opened=replayed,
            received=received,
            lost=lost,
            failed=failed,
            who=who,
        )
        self._timer = self._loop.call_later(KEEP_ALIVE_S, self._keep_alive)

    def push(self, audio: bytes) -> None:
        """The caller's audio."""
        self._pushed_at = self._loop.time()
        self.end += len(audio)
        self._kept += audio
        del self._kept[: -self._audio.bytes_in(REPLAY_MS if self.link.up else OUTAGE_MS)]
        self.link.send(audio)

    def push_silence(self, ms: float) -> None:
        """Silence, where there is no audio of the caller's."""
        silence = self._audio.silence
        self.push(silence * (self._audio.bytes_in(ms) // len(silence)))

    def silent_s(self) -> float:
        """For how long nothing was pushed."""
        return self._loop.time() - self._pushed_at

    def ms(self, begin: int, end: int) -> float:
        """How long it is from one position to another."""
        return self._audio.ms_in(end - begin)

    def cover(self, position: int, *, but_ms: float = 0.0) -> None:
        """What was pushed up to ``position`` is written down, but for the last ``but_ms``."""
        position -= self._audio.bytes_in(but_ms)
        begin = self.end - len(self._kept)
        del self._kept[: max(0, position - begin)]

    def replay(self, begin: int = 0, end: int | None = None) -> None:
        """Send again what is kept between two positions."""
        first = self.end - len(self._kept)
        begin, end = max(begin, first), self.end if end is None else end
        piece = self._audio.bytes_in(_PIECE_MS)
        for at in range(begin, end, piece):
            self.link.send(bytes(self._kept[at - first : min(at + piece, end) - first]))

    async def close(self) -> None:
        """Let go of the socket."""
        self._timer.cancel()
        await self.link.close()

    def _keep_alive(self) -> None:
        if self.silent_s() >= KEEP_ALIVE_S:
            self.push_silence(_SILENCE_MS)
        self._timer = self._loop.call_later(KEEP_ALIVE_S, self._keep_alive)


def joined(before: str, after: str) -> str:
    """Two parts of what was said as one, where the second may repeat the end of the first."""
    words, more = before.split(), after.split()
    for size in range(min(_OVERLAP_WORDS, len(words), len(more)), 0, -1):
        if _plain(words[-size:]) == _plain(more[:size]):
            return " ".join([*words[:-size], *more])
    return " ".join([*words, *more])


def _plain(words: list[str]) -> list[str]:
    return ["".join(letter for letter in word.lower() if letter.isalnum()) for word in words]
