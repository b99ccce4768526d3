"""People who call through Bandwidth: a media socket each, a frame every 20 ms, and what is heard.

All of them share one timer. What a caller hears passes a playout buffer without limit, as at the
carrier: what came early is heard late, and a ``clear`` empties it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import picows
from pybase64 import b64encode_as_string

from trunkline import carriers
from trunkline.events import Started
from trunkline.media.formats import PCMU_8K
from trunkline.media.level import rms
from trunkline.server.tokens import MemoryUsed, Ticket, Tokens
from trunkline.sim.people import clips

from ._bridge_server import TOKEN_SECRET
from ._cartesia_load import stamped

__all__ = ["Caller", "Callers", "sentence"]

FRAME_S = 0.02
SLOTS = 20
ANSWER_S = 10.0
_VOICE_RMS = 300.0


class _Media(msgspec.Struct, frozen=True):
    payload: str = ""


class _Said(msgspec.Struct):
    eventType: str  # noqa: N815 - Bandwidth's word
    media: _Media = _Media()


_read = msgspec.json.Decoder(_Said).decode


def sentence() -> list[bytes]:
    """What callers say, in frames, from the first sound to the last."""
    clip = min(clips(), key=lambda clip: clip.seconds)
    frames = [clip.audio[at : at + 160] for at in range(0, len(clip.audio) - 159, 160)]
    loud = [n for n, frame in enumerate(frames) if rms(frame, PCMU_8K) >= _VOICE_RMS]
    return [_media(frame) for frame in frames[loud[0] : loud[-1] + 1]]


def _media(frame: bytes) -> bytes:
    payload = b64encode_as_string(frame)
    return f'{{"eventType":"media","track":"inbound","payload":"{payload}"}}'.encode()


class Caller(picows.WSListener):
    """One call. Times are of ``time.monotonic``, in seconds."""

    def __init__(self, words: list[bytes]) -> None:
        self._words = words
        self._next = len(words)
        self._transport: Any = None
        self._said = asyncio.Event()
        self._waiting: asyncio.Future[float] | None = None
        self.spoke_at = self.last_sound = 0.0
        self.ends = 0.0
        self.heard: list[tuple[float, float]] = []  # from, to
        self.gone = False

    # The socket.

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: Any) -> None:
        self._transport, self.gone = None, True
        self._said.set()

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        now, said = time.monotonic(), _read(frame.get_payload_as_bytes())
        if said.eventType == "playAudio":
            payload = said.media.payload
            self._hear(now, (len(payload) * 3 // 4 - payload[-2:].count("=")) / 8000)
        elif said.eventType == "clear":
            self.ends = min(self.ends, now)
            self.heard = [(begin, min(end, now)) for begin, end in self.heard if begin < now]

    def _hear(self, now: float, seconds: float) -> None:
        begins = max(now, self.ends)
        self.ends = begins + seconds
        self.heard.append((begins, self.ends))
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(begins)

    # The caller.

    def tell(self, messages: list[str | bytes]) -> None:
        for message in messages:
            data = message.encode() if isinstance(message, str) else message
            self._transport.send(picows.WSMsgType.TEXT, data)

    def frame(self) -> None:
        """Send the next 20 ms."""
        if self._transport is None:
            return
        now = time.monotonic()
        if self._next < len(self._words):
            message = self._words[self._next]
            self.spoke_at = self.spoke_at if self._next else now
            self._next += 1
            self.last_sound = now
            if self._next == len(self._words):
                self._said.set()
        else:
            message = _media(stamped(now))
        self._transport.send(picows.WSMsgType.TEXT, message)

    async def say(self) -> None:
        """Say the sentence, to its end."""
        if self.gone:
            return
        self._next = 0
        self._said.clear()
        await self._said.wait()

    async def answered(self) -> float | None:
        """How long after the last sound an answer is heard, in ms; ``None``: it is not."""
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                return (await self._waiting - self.last_sound) * 1000
        except TimeoutError:
            return None
        finally:
            self._waiting = None

    async def quiet(self, seconds: float = 0.6) -> None:
        """Until nothing was heard for so long."""
        while not self.gone:
            wait = self.ends + seconds - time.monotonic()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def heard_s(self, begin: float, end: float) -> float:
        """How much was heard between two moments."""
        return sum(max(0.0, min(to, end) - max(at, begin)) for at, to in self.heard)

    def hang_up(self) -> None:
        if self._transport is not None:
            self.tell(['{"eventType":"stop"}'])
            self._transport.disconnect()


class Callers:
    """All who call one server. ``frames`` runs beside what they do."""

    def __init__(self, port: int, *, tokens: bool) -> None:
        self.all: list[Caller] = []
        self.behind: list[float] = []  # ms by which frames were sent late
        self._port = port
        self._tokens = tokens
        self._words = sentence()
        kind = carriers.get("bandwidth")
        self._carrier = kind(kind.examples())

    async def call(self) -> Caller:
        """One more call."""
        number = f"c-{time.monotonic_ns()}"
        path = "/media"
        if self._tokens:  # as a verified webhook would have minted it
            tokens = Tokens([TOKEN_SECRET], 60.0, time.time, MemoryUsed(time.time))
            path = f"/bandwidth/media/{tokens.mint(Ticket('bandwidth', number, 'a'))}"
        url = f"ws://127.0.0.1:{self._port}{path}"
        _, caller = await picows.ws_connect(lambda: Caller(self._words), url)
        end = self._carrier.carrier_end(PCMU_8K)
        started = Started(
            call_id=number, stream_id=number, account_id="a", inbound=PCMU_8K, outbound=PCMU_8K
        )
        end.send(started)
        caller.tell(list(end.outgoing()))
        self.all.append(caller)
        return caller

    async def frames(self) -> None:
        """Send everybody's frames, evenly spread over their 20 ms, until cancelled."""
        begun, tick = time.monotonic(), 0
        while True:
            due = begun + tick * FRAME_S / SLOTS
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            for caller in self.all[tick % SLOTS :: SLOTS]:
                caller.frame()
            if self.all:
                self.behind.append((time.monotonic() - due) * 1000)
            tick += 1

    async def each(self, play: Callable[[Caller], Any]) -> list[Any]:
        """What all of them do at once, a little apart; what comes of it."""

        async def one(n: int, caller: Caller) -> Any:
            await asyncio.sleep(n * 0.37 % 1.0)
            return await play(caller)

        return await asyncio.gather(*(one(n, caller) for n, caller in enumerate(self.all)))

    def hang_up(self) -> None:
        for caller in self.all:
            caller.hang_up()
        self.all.clear()
