"""One media socket of a load test, as the carrier holds it: paced by the wheel, without tasks.

Sends the caller's frames and returns marks; keeps the times of what comes, not the sound. Which
carrier's messages these are, its own stream (``carrier_end``) knows.
"""

from __future__ import annotations

from time import perf_counter

from ...carrier import Carrier, Marks
from ...errors import RemoteProtocolError
from ...events import Audio, Clear, Cleared, Digit, Digits, Mark, Started, Stopped, ToCaller
from ...media.formats import AudioFormat
from ..stream import FRAME_MS, Media
from .callers import Caller
from .fast_socket import FastSocket
from .figures import Live
from .playout import Playout
from .wheel import Wheel

__all__ = ["LoadMedia"]

# As many complaints as are kept of one stream; they are all counted.
_KEPT = 3
_KEY_MS = 160
# A server that reads nothing for so many frames is given up, as a carrier would.
_STUCK = 10_000 // FRAME_MS


class LoadMedia(Media):
    """An open media socket.

    Args:
        started: what the stream says first.
        wheel: paces it.
        live: what is counted in.
        playout: the caller's playout buffer.
        caller: says and hears.

    ``heard`` tells whether any audio ever came, ``left`` whether it was our end that closed,
    ``opened`` when it began, on ``perf_counter``.
    """

    # A thousand of these have their turn, one after the other, before the first has it again: each
    # is cold in the processor's cache, and slots are a line or two of it.
    __slots__ = (
        "_bytes_per_second",
        "_caller",
        "_carrier",
        "_format",
        "_frames",
        "_live",
        "_marked",
        "_outbound",
        "_playout",
        "_socket",
        "_stuck",
        "_wheel",
        "_wire",
        "closed",
        "complaints",
        "heard",
        "left",
        "opened",
    )

    def __init__(
        self,
        carrier: Carrier,
        socket: FastSocket,
        started: Started,
        *,
        wheel: Wheel,
        live: Live,
        playout: Playout,
        caller: Caller,
    ) -> None:
        self.complaints = []
        self.closed = socket.closed
        self.heard = False
        self.left = False
        self.opened = perf_counter()
        self._carrier = carrier
        self._socket = socket
        self._wire = carrier.carrier_end(started.outbound)
        self._wheel = wheel
        self._live = live
        self._playout = playout
        self._caller = caller
        self._outbound = started.outbound
        self._format: AudioFormat | None = None
        self._bytes_per_second = 0
        self._frames = 0
        self._marked = False
        self._stuck = 0
        self._say(started)
        socket.begin(self._take)
        wheel.add(self)
        socket.closed.add_done_callback(lambda _: wheel.remove(self))

    # From the caller.

    def turn(self, now: float) -> None:
        """Twenty milliseconds have passed: the next frame leaves."""
        if self._marked:
            self._reach_marks(now)
        audio = self._caller.frame(now)
        socket, wire = self._socket, self._wire
        if socket.paused:
            self._live.figures.frames_unsent += 1
            self._wait_for_reader()
            return
        frames = self._frames
        self._frames = frames + 1
        self._live.figures.frames_sent += 1
        for message in wire.messages(Audio(audio, frames * FRAME_MS)):
            socket.send(message)

    def _reach_marks(self, now: float) -> None:
        for name in self._playout.reached(now):
            self._say(Mark(name))
        self._marked = bool(self._playout.marks)

    def _wait_for_reader(self) -> None:
        self._stuck += 1
        if self._stuck == _STUCK:
            self._complain("the server did not read what was sent for 10 s")
            self._socket.abort()

    def _say(self, event: Started | Mark | Digit | Cleared | Stopped) -> None:
        for message in self._wire.messages(event):
            self._socket.send(message)

    def press(self, digit: str, duration_ms: int = _KEY_MS) -> None:
        self._say(Digit(digit, duration_ms))

    # To the caller.

    def _take(self, message: str | bytes) -> None:
        now = perf_counter()
        try:
            events = self._wire.receive(message)
        except RemoteProtocolError as error:
            self._complain(f"the server broke the protocol: {error}")
            return
        for event in events:
            if type(event) is Audio:
                self._hear(event, now)
            else:
                self._obey(event, now)
        for reply in self._wire.outgoing():
            self._socket.send(reply)

    def _hear(self, event: Audio, now: float) -> None:
        audio = event.format or self._outbound
        if audio is not self._format:
            self._begin(audio, now)
        payload, playout = event.payload, self._playout
        lasts = len(payload) / self._bytes_per_second
        begins = playout.ends
        if now < begins:  # it still plays: this follows
            playout.ends = begins + lasts
        else:
            begins = self._play_again(lasts, now)
        self._caller.hear(payload, now, begins)

    def _play_again(self, lasts: float, now: float) -> float:
        """Nothing was left to play when audio came: it is heard from when on, and was it a gap."""
        playout = self._playout
        gaps, missing = playout.gaps, playout.gap_ms
        begins = playout.add(lasts, now)
        if playout.gaps != gaps:
            self._live.figures.gaps += playout.gaps - gaps
            self._live.figures.gap_ms += playout.gap_ms - missing
        return begins

    def _begin(self, audio: AudioFormat, now: float) -> None:
        """The first audio, or the first in another encoding."""
        self._format = audio
        self._bytes_per_second = audio.bytes_per_second
        if not self.heard:
            self.heard = True
            self._live.figures.first.add((now - self.opened) * 1000)

    def _obey(self, event: ToCaller, now: float) -> None:
        if isinstance(event, Mark):
            if self._carrier.marks is not Marks.NONE:
                self._playout.mark(event.name, now)
                self._marked = True
        elif isinstance(event, Clear):
            self._clear(now)
        elif not isinstance(event, Digits):
            self._complain(f"the server sent {type(event).__name__}, which means nothing here")

    def _clear(self, now: float) -> None:
        names = self._playout.clear(now)
        self._caller.cleared(now)
        if Cleared in self._carrier.hears:
            self._say(Cleared())
        if self._carrier.marks is Marks.RETURNED:
            for name in names:
                self._say(Mark(name))

    def _complain(self, text: str) -> None:
        self._live.figures.error("protocol", text)
        if len(self.complaints) < _KEPT:
            self.complaints.append(text)

    # The end.

    async def close(self, reason: str = "") -> None:
        self._wheel.remove(self)
        if self.closed.done():
            return
        self.left = True
        if Stopped in self._carrier.hears:
            self._say(Stopped(reason))
        await self._socket.close()

    async def ended(self) -> None:
        self._wheel.remove(self)
