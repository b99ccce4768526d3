"""Cartesia for hundreds of calls: its messages at their time, and next to no work.

Nothing is heard or spoken here: frames are speech if they are not silence, a reply is audio that
was made before. What it says and when is as in ``trunkline.sim.services.cartesia``, which bridges
are tested with; that one looks at every sample and could not serve so many.

Silence that callers send is stamped with the moment it was sent (``stamped``): two values that are
next to none, in µ-law, spell it. So it is known how late each frame is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import picows
from pybase64 import b64encode_as_string

from trunkline.sim.people import clips

__all__ = ["WORD_MS", "Cartesia", "Times", "stamped"]

WORD_MS = 300
_CHUNK_MS = 100
_START_MS, _END_MS = 60, 480  # as in trunkline.sim.services.cartesia_stt
_QUIET = b"\xfe\xff"
_BITS, _UNIT_S = 24, 1e-4
_SPELT = bytes.maketrans(b"01", b"\xff\xfe")
_READ = bytes.maketrans(b"\xff\xfe", b"01")
_HEARD = "hello there"


class Times(NamedTuple):
    """What the service takes, in ms: for a message on its way, to the first audio of a reply, to a
    final transcript; and how many times as fast as it is spoken audio comes."""

    way: float = 20.0
    first: float = 90.0
    final: float = 150.0
    pace: float = 5.0


def stamped(now: float) -> bytes:
    """20 ms of silence that say when they were sent."""
    spelt = format(int(now / _UNIT_S) % (1 << _BITS), f"0{_BITS}b").encode()
    return spelt.translate(_SPELT) + b"\xff" * (160 - _BITS)


def _age_s(frame: bytes, now: float) -> float:
    sent = int(frame[:_BITS].translate(_READ), 2)
    return (int(now / _UNIT_S) - sent) % (1 << _BITS) * _UNIT_S


class Cartesia:
    """The service, on a port of 127.0.0.1. Run it in a loop.

    ``late`` takes the age of each stamped frame, in ms, while it is a list.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.opened = {"stt": 0, "tts": 0}
        self.stt: set[_Hearing] = set()
        self.tts: set[_Speaking] = set()
        self.late: list[float] | None = None
        voice = b"".join(clip.audio for clip in clips())
        size = 8 * _CHUNK_MS
        self._voice = [
            b64encode_as_string(voice[at : at + size]) for at in range(0, len(voice) - size, size)
        ]
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        self._server = await picows.ws_create_server(self._route, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.kill("stt")
        self.kill("tts")

    def kill(self, kind: str) -> int:
        """Tear off all sockets of a kind; how many there were."""
        sockets = list(self.stt if kind == "stt" else self.tts)
        for socket in sockets:
            socket.tear()
        return len(sockets)

    def chunks(self, words: int) -> list[str]:
        """So many words as audio: base64 of 100 ms each."""
        count = words * WORD_MS // _CHUNK_MS
        return [self._voice[n % len(self._voice)] for n in range(count)]

    def _route(self, request: Any) -> picows.WSListener:
        path = request.path.decode()
        if path.startswith("/tts/"):
            return _Speaking(self)
        return _Hearing(self, turns=path.startswith("/stt/turns/"))


class _Socket(picows.WSListener):
    def __init__(self, service: Cartesia, kind: str) -> None:
        self.service = service
        self._kind = kind
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport
        self.service.opened[self._kind] += 1
        getattr(self.service, self._kind).add(self)

    def on_ws_disconnected(self, transport: Any) -> None:
        self._transport = None
        getattr(self.service, self._kind).discard(self)

    def tear(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def say(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(picows.WSMsgType.TEXT, message)

    def later(self, ms: float, act: Callable[..., None], *args: Any) -> None:
        self._loop.call_later(ms / 1000, act, *args)


class _Hearing(_Socket):
    """Speech to text: told when a stretch has ended, or with ``turns`` finding out."""

    def __init__(self, service: Cartesia, *, turns: bool) -> None:
        super().__init__(service, "stt")
        self._turns = turns
        self._in_turn = self._any = False
        self._voiced = self._quiet = 0.0

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        said = frame.get_payload_as_bytes()
        if frame.msg_type == picows.WSMsgType.BINARY:
            self._hear(said)
        elif said == b"finalize":
            self._finalize()

    def _hear(self, audio: bytes) -> None:
        ms = len(audio) / 8
        if audio.translate(None, _QUIET):
            self._voiced, self._quiet = self._voiced + ms, 0.0
            self._any = True
        else:
            self._voiced, self._quiet = 0.0, self._quiet + ms
            if self.service.late is not None:
                now = time.monotonic()
                frames = (audio[at : at + 160] for at in range(0, len(audio), 160))
                self.service.late += [1000 * _age_s(frame, now) for frame in frames]
        if not self._turns:
            return
        if not self._in_turn and self._voiced >= _START_MS:
            self._in_turn = True
            self.later(self.service.times.way, self.say, b'{"type":"turn.start"}')
        elif self._in_turn and self._quiet >= _END_MS:
            self._in_turn = False
            ended = {"type": "turn.end", "transcript": _HEARD}
            self.later(self.service.times.final, self.say, msgspec.json.encode(ended))

    def _finalize(self) -> None:
        final = self.service.times.final
        if self._any:
            text = {"type": "transcript", "text": _HEARD, "is_final": True}
            self.later(final, self.say, msgspec.json.encode(text))
        self._any = False
        self.later(final, self.say, b'{"type":"flush_done"}')


class _Speaking(_Socket):
    """Text to speech: contexts, each a list of messages at their time."""

    def __init__(self, service: Cartesia) -> None:
        super().__init__(service, "tts")
        self._going: set[str] = set()

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        told = msgspec.json.decode(frame.get_payload_as_bytes())
        name = told["context_id"]
        if told.get("cancel"):
            self._going.discard(name)
            return
        self._going.add(name)
        words = told["transcript"].split()
        chunks = iter(self.service.chunks(len(words)))
        times = self.service.times
        if told.get("add_timestamps"):
            self.later(times.first, self._tell, name, _timestamps(name, words))
        self.later(times.first, self._chunk, name, chunks)

    def _tell(self, name: str, message: bytes) -> None:
        if name in self._going:
            self.say(message)

    def _chunk(self, name: str, chunks: Any) -> None:
        if name not in self._going or self._transport is None:
            return
        data = next(chunks, None)
        if data is None:
            self._going.discard(name)
            self.say(f'{{"type":"done","done":true,"context_id":"{name}"}}'.encode())
            return
        self.say(f'{{"type":"chunk","done":false,"context_id":"{name}","data":"{data}"}}'.encode())
        self.later(_CHUNK_MS / self.service.times.pace, self._chunk, name, chunks)


def _timestamps(name: str, words: list[str]) -> bytes:
    start = [WORD_MS * n / 1000 for n in range(len(words))]
    end = [WORD_MS * (n + 1) / 1000 for n in range(len(words))]
    times = {"words": words, "start": start, "end": end}
    return msgspec.json.encode({"type": "timestamps", "context_id": name, "word_timestamps": times})
