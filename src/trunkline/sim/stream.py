"""One media socket as the carrier holds it.

Sends the caller's frames, keys and marks; plays what comes out of its own buffer into the caller's
ear; obeys clears as the carrier's facts say. A reader task and a writer task per socket; nothing
here waits without an end. It does not know when a stream is opened or what follows it: ``line``.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from ..carrier import Carrier
from ..errors import LocalProtocolError, RemoteProtocolError
from ..events import (
    Audio,
    Clear,
    Cleared,
    Digit,
    Digits,
    FromCaller,
    Mark,
    Started,
    Stopped,
    ToCaller,
)
from ..media.formats import L16_8K
from ..media.transcode import Transcoder, convert
from ..sockets import SocketClosed
from .buffer import Hole, PlayoutBuffer
from .deadline import Overdue, deadline
from .ear import Ear, Earpiece
from .faults import Gremlin, Way
from .network import Connection
from .record import BOT, CARRIER, Kind

__all__ = ["FRAME_MS", "Media", "MediaStream"]

FRAME_MS = 20
"""Carriers send the caller's audio in messages of 20 ms: one RTP packet's worth."""

# How long the server may leave a message unread before the carrier gives the stream up.
_WRITE_S = 10.0
# How long the farewell may take: what is still queued, and the closing handshake.
_CLOSE_S = 3.0

Note = Callable[..., None]


class Media(ABC):
    """What a call asks of a media stream of its own, whoever paces it.

    ``complaints`` are the server's breaches of the protocol, as sentences. ``closed`` is done when
    the socket is, and says with which code.
    """

    __slots__ = ()

    complaints: list[str]
    closed: asyncio.Future[SocketClosed]

    @property
    def holes(self) -> list[Hole]:
        """Where speech broke off because audio came too late, where that is kept."""
        return []

    @abstractmethod
    def press(self, digit: str, duration_ms: int) -> None:
        """The caller presses a key, and the carrier tells on the socket."""

    @abstractmethod
    async def close(self, reason: str = "") -> None:
        """The carrier ends the stream: says so, sends what is queued, closes the socket."""

    @abstractmethod
    async def ended(self) -> None:
        """Let go of a socket that has closed."""


class MediaStream(Media):
    """An open media socket and what lies behind it on the carrier's side.

    Args:
        started: what the stream says first.
        ear: where what is played goes.
        began: when the call began, on the loop's clock.
        note: ``note(kind, text="", channel="")`` takes moments down.
        on_digits: is given keys that the server wants pressed.
    """

    def __init__(
        self,
        carrier: Carrier,
        connection: Connection,
        started: Started,
        gremlin: Gremlin,
        *,
        ear: Ear,
        began: float,
        note: Note,
        on_digits: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.name = started.stream_name
        self.complaints = []
        self.closed = self._loop.create_future()
        self.buffer = PlayoutBuffer(started.outbound, carrier.marks)
        self.frames_sent = 0
        self.messages_received = 0
        self._carrier = carrier
        self._connection = connection
        self._wire = carrier.carrier_end(started.outbound)
        self._gremlin = gremlin
        self._note = note
        self._on_digits = on_digits
        self._ear = ear
        self._began = began
        self._earpiece = Earpiece(ear, started.outbound, began)
        self._playing = False
        self._to_wire = Transcoder(L16_8K, started.inbound)
        self._frame_bytes = started.inbound.bytes_in(FRAME_MS)
        self._rest = b""
        self._outbox: deque[tuple[float, str | bytes]] = deque()
        self._wake = asyncio.Event()
        self._way_out = Way(gremlin)
        self._way_in = Way(gremlin)
        self._arriving: deque[str | bytes] = deque()
        self._opened = self._loop.time()
        self._leaving = False
        self._mark_timer: asyncio.TimerHandle | None = None
        self._timers = self._plan_faults()
        self.post(started)
        if gremlin.faults.repeat_start:
            self.post(started)
        self._tasks = [
            self._loop.create_task(self._read(), name="media reader"),
            self._loop.create_task(self._write(), name="media writer"),
        ]

    def _plan_faults(self) -> list[asyncio.TimerHandle]:
        after = self._gremlin.faults.drop_after
        return [] if after is None else [self._loop.call_later(after, self._drop)]

    @property
    def holes(self) -> list[Hole]:
        return self.buffer.holes

    # From the caller.

    def speak(self, pcm: bytes) -> None:
        """The caller's next ``FRAME_MS`` of L16 at 8 kHz; leaves in whole messages."""
        data = self._rest + self._to_wire.push(pcm)
        size = self._frame_bytes
        whole = len(data) // size * size
        self._rest = data[whole:]
        for start in range(0, whole, size):
            self.post(Audio(data[start : start + size], self.frames_sent * FRAME_MS))
            self.frames_sent += 1

    def press(self, digit: str, duration_ms: int) -> None:
        """The caller presses a key, and the carrier tells on the socket."""
        self.post(Digit(digit, duration_ms))

    def post(self, event: FromCaller) -> None:
        """Say something on the socket; it leaves as soon as the network takes it."""
        if self.closed.done() or self._leaving:
            return
        self._wire.send(event)
        for message in self._wire.outgoing():
            real = self._gremlin.media(message) if isinstance(event, Audio) else [message]
            for each in real:
                self._queue(each)

    def _queue(self, message: str | bytes) -> None:
        self._outbox.append((self._way_out.arrival(self._loop.time()), message))
        self._wake.set()

    # To the caller.

    def tick(self) -> None:
        """Let the caller hear all that is due, and return the marks it passed."""
        now = self._loop.time()
        for piece in self.buffer.played(now):
            self._earpiece.play(piece)
        for name in self.buffer.reached(now):
            self._return(name)
        self._arm()

    def _return(self, name: str) -> None:
        if not self._gremlin.strikes(self._gremlin.faults.lose_marks):
            self._note(Kind.MARK, name, CARRIER)
            self.post(Mark(name))

    def _arm(self) -> None:
        """Wake up for the next mark: the server hears of it when it happens, not a frame later."""
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        due = self.buffer.next_mark()
        if due is not None and not self.closed.done():
            self._mark_timer = self._loop.call_at(due, self.tick)

    def _take(self, message: str | bytes) -> None:
        if self.closed.done():
            return
        self.messages_received += 1
        try:
            events = self._wire.receive(message)
        except RemoteProtocolError as error:
            self._complain(f"the server broke the protocol: {error}")
            return
        for event in events:
            self._obey(event)
        for reply in self._wire.outgoing():
            self._queue(reply)

    def _obey(self, event: ToCaller) -> None:
        now = self._loop.time()
        if isinstance(event, Audio):
            audio = self._as_playing(event)  # which may put another buffer in place
            self.buffer.add(audio, now)
        elif isinstance(event, Mark):
            self.buffer.mark(event.name, now)
            self.tick()
        elif isinstance(event, Clear):
            self._clear(now)
        elif isinstance(event, Digits):
            self._on_digits(event.digits)
        else:
            self._complain(f"the server sent {event.kind!r}, which means nothing here")

    def _as_playing(self, event: Audio) -> bytes:
        """The audio in the encoding that the buffer plays: the first message's, where each says."""
        audio = event.format or self.buffer.audio
        if not self._playing:
            self._playing = True
            if audio != self.buffer.audio:
                self.buffer = PlayoutBuffer(audio, self._carrier.marks)
                self._earpiece = Earpiece(self._ear, audio, self._began)
        if audio == self.buffer.audio:
            return event.payload
        return convert(event.payload, audio, self.buffer.audio)

    def _clear(self, now: float) -> None:
        self.tick()
        dropped = self.buffer.buffered_ms(now)
        flushed = self.buffer.clear(now)
        self._earpiece.silence()
        self._note(Kind.CLEAR, f"{dropped:.0f} ms unheard", BOT)
        if Cleared in self._carrier.hears:
            self.post(Cleared())
        for name in flushed:
            self._return(name)
        self._arm()

    def _complain(self, text: str) -> None:
        self.complaints.append(text)
        self._note(Kind.FAULT, text, BOT)

    # The socket.

    async def _read(self) -> None:
        stall = self._gremlin.faults.stall_after
        try:
            while stall is None or self._loop.time() < self._opened + stall:
                message = await self._connection.receive()
                now = self._loop.time()
                due = self._way_in.arrival(now)
                if due > now or self._arriving:
                    # Timers of one moment fire in any order; messages arrive in theirs.
                    self._arriving.append(message)
                    self._loop.call_at(due, lambda: self._take(self._arriving.popleft()))
                else:
                    self._take(message)
        except SocketClosed as closed:
            self._over(closed)
        else:
            self._note(Kind.FAULT, "stops reading", CARRIER)

    async def _write(self) -> None:
        try:
            while not (self._leaving and not self._outbox):
                if not self._outbox:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                due, message = self._outbox[0]
                if due > self._loop.time():
                    await asyncio.sleep(due - self._loop.time())
                self._outbox.popleft()
                if not self._muted():
                    async with deadline(_WRITE_S, "the server to read what is sent"):
                        await self._connection.send(message)
        except SocketClosed as closed:
            self._over(closed)
        except Overdue as error:
            self._complain(str(error))
            self._tear()

    def _muted(self) -> bool:
        mute = self._gremlin.faults.mute_after
        return mute is not None and self._loop.time() >= self._opened + mute

    def _drop(self) -> None:
        code = self._gremlin.faults.drop_code
        self._note(Kind.FAULT, f"closes the socket with {code}" if code else "tears the socket off")
        if code:
            self._tasks.append(self._loop.create_task(self._close_socket(code)))
        else:
            self._tear()

    async def _close_socket(self, code: int) -> None:
        try:
            async with deadline(_CLOSE_S, "the server to close the socket"):
                await self._connection.close(code)
        except Overdue:
            self._connection.abort()
        self._over(SocketClosed(code))

    def _tear(self) -> None:
        self._connection.abort()
        self._over(SocketClosed())

    def _over(self, closed: SocketClosed) -> None:
        if not self.closed.done():
            self.tick()
            self._earpiece.silence()
            self.closed.set_result(closed)
            self._leaving = True
            self._wake.set()
            for timer in self._timers:
                timer.cancel()
            self._arm()

    async def close(self, reason: str = "") -> None:
        """The carrier ends the stream: says so, sends what is queued, closes the socket."""
        if not self.closed.done():
            if Stopped in self._carrier.hears:
                with contextlib.suppress(LocalProtocolError):
                    self.post(Stopped(reason))
            self._leaving = True
            self._wake.set()
            try:
                async with deadline(_CLOSE_S, "the server to take the last messages"):
                    await asyncio.shield(self._tasks[1])
            except Overdue:
                self._connection.abort()
            await self._close_socket(1000)
        await self.ended()

    async def ended(self) -> None:
        """Let go of a socket that has closed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
