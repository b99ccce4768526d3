"""Pipecat's frame serializers and ours side by side: what they hold back, and what they cost.

Run ``python -m benchmarks.pipecat_serializers``; it prints a Markdown table. Each serializer is
driven as ``FastAPIWebsocketTransport`` drives it, 20 ms at a time, for ten seconds:

- **in, out**: how far audio lags behind what came in, from the carrier and towards it, in ms: mean
  and worst, the time by which the output is shifted included;
- **both**: the two means together, what a round trip through them adds;
- **empty**: messages or frames for which nothing came out at all;
- **cost**: µs a frame each way, the best of several rounds, taken in turns so that a machine that
  slows down slows them all.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import time
import warnings
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from trunkline import carriers
from trunkline.carrier import Carrier
from trunkline.events import Audio, Started
from trunkline.media import g711
from trunkline.media.formats import AudioFormat

__all__ = ["main"]

FRAMES = 500
ROUNDS, PUSHES = 5, 250
TONE_HZ = 300.0


class Peer(NamedTuple):
    """A serializer to be compared: whose, made with what."""

    carrier: str
    module: str
    positional: tuple[str, ...]


PEERS = [
    Peer("bandwidth", "pipecat_bandwidth", ("stream-1",)),
    Peer("exotel", "pipecat.serializers.exotel", ("stream-1",)),
    Peer("plivo", "pipecat.serializers.plivo", ("stream-1",)),
    Peer("telnyx", "pipecat.serializers.telnyx", ("stream-1", "PCMU", "PCMU")),
    Peer("twilio", "pipecat.serializers.twilio", ("stream-1",)),
    Peer("vonage", "pipecat.serializers.vonage", ()),
    Peer("wavix", "pipecat_wavix", ("stream-1",)),
]


def tone(rate: int, frames: int = FRAMES) -> bytes:
    at = np.arange(rate * frames // 50) / rate
    return (12_000 * np.sin(2 * np.pi * TONE_HZ * at)).astype("<i2").tobytes()


class Line:
    """One carrier's stream, and serializers for it in a pipeline of ``rate`` Hz."""

    def __init__(self, peer: Peer, rate: int) -> None:
        found = carriers.get(peer.carrier)
        self.peer, self.rate = peer, rate
        self.audio = found.outbound[0]
        self.messages = incoming(found, self.audio)
        frames = importlib.import_module("pipecat.frames.frames")
        size = rate // 50 * 2
        pcm = tone(rate)
        self.frames = [
            frames.OutputAudioRawFrame(audio=pcm[at : at + size], sample_rate=rate, num_channels=1)
            for at in range(0, len(pcm), size)
        ]

    def made(self, module: str, title: str) -> Any:
        kind = getattr(importlib.import_module(module), title)
        made = kind(*self.peer.positional, params=kind.InputParams(auto_hang_up=False))
        asyncio.run(made.setup(SimpleNamespace(audio_in_sample_rate=self.rate)))
        return made


def incoming(found: type[Carrier], audio: AudioFormat) -> list[str | bytes]:
    """The tone, as the carrier sends it."""
    end = found(found.examples()).carrier_end(audio)
    end.send(Started(call_id="call-1", stream_id="stream-1", inbound=audio, outbound=audio))
    end.outgoing()
    spoken, size = g711.encode(tone(audio.rate), audio.encoding), audio.bytes_in(20)
    for at in range(0, len(spoken), size):
        end.send(Audio(spoken[at : at + size]))
    return end.outgoing()


class Lag(NamedTuple):
    mean_ms: float
    worst_ms: float
    empty: float

    def __str__(self) -> str:
        return f"{self.mean_ms:.1f} / {self.worst_ms:.1f}"


def lag(pieces: list[bytes], rate: int) -> Lag:
    """How far the tone in ``pieces`` of L16, one for every 20 ms that came in, lags behind."""
    given = np.cumsum([len(piece) / 2 for piece in pieces]) * 1000 / rate
    taken = np.arange(1, len(pieces) + 1) * 20.0
    lags = taken - given + shift_ms(np.frombuffer(b"".join(pieces), "<i2").astype(float), rate)
    settled = lags[5:]
    empty = sum(not piece for piece in pieces) / len(pieces)
    return Lag(abs(float(settled.mean())), abs(float(settled.max())), empty)


def shift_ms(heard: Any, rate: int) -> float:
    """By how much of its period the tone is late."""
    inner = heard[rate : 2 * rate]
    at = np.arange(rate, 2 * rate) / rate
    phase = np.angle(np.sum(inner * np.exp(-2j * np.pi * TONE_HZ * at))) + np.pi / 2
    turns = (-phase / (2 * np.pi) + 0.25) % 1 - 0.25
    return float(turns / TONE_HZ * 1000)


async def lag_in(line: Line, serializer: Any) -> Lag:
    heard = [await serializer.deserialize(message) for message in line.messages]
    return lag([frame.audio if frame else b"" for frame in heard], line.rate)


async def lag_out(line: Line, serializer: Any) -> Lag:
    said = [await serializer.serialize(frame) for frame in line.frames]
    return lag([g711.decode(payload(one), line.audio.encoding) for one in said], line.audio.rate)


def payload(message: str | bytes | None) -> bytes:
    if isinstance(message, str):
        return base64.b64decode(json.loads(message)["media"]["payload"])
    return message or b""


async def cost(work: Any, items: list[Any]) -> float:
    """µs for each of ``items``."""
    began = time.perf_counter()
    for item in items:
        await work(item)
    return (time.perf_counter() - began) / len(items) * 1e6


def compare(peer: Peer, rate: int) -> None:
    line = Line(peer, rate)
    title = importlib.import_module("trunkline.adapters.pipecat.arguments").class_name(
        carriers.get(peer.carrier)
    )
    homes = {"theirs": peer.module, "trunkline": "trunkline.pipecat"}
    costs = {name: [float("inf")] * 2 for name in homes}
    timed = {name: line.made(module, title) for name, module in homes.items()}
    for _ in range(ROUNDS):
        for name, one in timed.items():
            ways = (one.deserialize, line.messages), (one.serialize, line.frames)
            for way, (work, items) in enumerate(ways):
                costs[name][way] = min(costs[name][way], asyncio.run(cost(work, items[:PUSHES])))
    for name, module in homes.items():
        heard = asyncio.run(lag_in(line, line.made(module, title)))
        said = asyncio.run(lag_out(line, line.made(module, title)))
        print(
            f"| {peer.carrier} {line.audio} | {rate // 1000} | {name} "
            f"| {heard} | {said} | {heard.mean_ms + said.mean_ms:.1f} "
            f"| {heard.empty:.0%} / {said.empty:.0%} "
            f"| {costs[name][0]:.1f} / {costs[name][1]:.1f} |"
        )


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        importlib.import_module("pipecat.frames.frames")
    except ModuleNotFoundError:
        print("Pipecat is not installed here (extra `pipecat`): nothing to compare.")
        return
    for chatty in ("pipecat", "pipecat_bandwidth", "pipecat_wavix"):
        importlib.import_module("loguru").logger.disable(chatty)
    print(
        "| carrier | pipeline kHz | serializer | in ms | out ms | both ms | empty | µs in / out |"
    )
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for peer in PEERS:
        for rate in (8000, 16000):
            compare(peer, rate)


if __name__ == "__main__":
    main()
