"""Resamplers side by side: ours, and soxr's streams in every quality, fed 20 ms at a time.

Run ``python -m benchmarks.resamplers``; it prints a Markdown table. What is measured:

- **held back**: how far output lags behind input while audio streams, in ms: mean and worst over
  ten seconds, and the share of frames for which nothing came out at all;
- **ripple**: the largest deviation from 0 dB within the pass band, in dB;
- **alias**: the loudest thing in the output that does not belong there, in dB below the sine that
  went in: images of a pass-band sine, and what is left of a sine beyond the stop edge;
- **cost**: µs a 20 ms frame, the best of several rounds, taken in turns so that a machine that
  slows down slows them all;
- **cold**: the same on a server with much else to do: many streams take turns, and before each push
  comes what a server does with a message, and memory enough that the push finds no code or data of
  its own in a core's caches. The median of all pushes, less what reading the clock takes there.
"""

from __future__ import annotations

import base64
import json
import socket
import timeit
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import soxr

from trunkline.media.resample import Resampler

__all__ = ["main"]

# Rates, flat up to, gone from (Hz).
CONVERSIONS = [
    (8000, 16000, 3400, 4600),
    (16000, 8000, 3400, 4600),
    (8000, 24000, 3400, 4600),
    (24000, 8000, 3400, 4600),
    (16000, 24000, 7000, 9000),
    (24000, 16000, 7000, 9000),
]
PEAK = 28000
ROUNDS, PUSHES = 7, 500
COLD_STREAMS, COLD_ROUNDS = 100, 5
COLD_PAGES, ALL_PAGES = 300, 2000
"""Memory touched between two pushes, 1.2 MB, and all there is, 8 MB: what 500 calls hold."""


class Stream(Protocol):
    def push(self, pcm: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class SoxrStream:
    def __init__(self, source: int, target: int, quality: str) -> None:
        self._stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality=quality)

    def push(self, pcm: bytes) -> bytes:
        return self._stream.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()

    def flush(self) -> bytes:
        return self._stream.resample_chunk(np.empty(0, np.int16), last=True).tobytes()


def _soxr(quality: str) -> Callable[[int, int], Stream]:
    return lambda source, target: SoxrStream(source, target, quality)


MAKERS: dict[str, Callable[[int, int], Stream]] = {
    "trunkline": Resampler,
    **{f"soxr {quality}": _soxr(quality) for quality in ("QQ", "LQ", "MQ", "HQ", "VHQ")},
}


class Lag(NamedTuple):
    mean_ms: float
    worst_ms: float
    empty: float


def measure_lag(stream: Stream, source: int, target: int) -> Lag:
    frame = np.random.default_rng(1).integers(-9000, 9000, source // 50).astype("<i2").tobytes()
    taken = given = empty = 0
    lags: list[float] = []
    for _ in range(500):
        out = stream.push(frame)
        taken += len(frame) // 2
        given += len(out) // 2
        empty += not out
        lags.append(1000 * (taken / source - given / target))
    return Lag(float(np.mean(lags)), max(lags), empty / len(lags))


def pass_sine(stream: Stream, hz: float, source: int, target: int) -> tuple[float, float]:
    """Gain of the sine, and RMS of all else as a part of the sine's; without the ends."""
    at = np.arange(source // 2) / source
    pcm = np.rint(PEAK * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()
    out = np.frombuffer(stream.push(pcm) + stream.flush(), "<i2").astype(float)
    out = out[len(out) // 4 : -len(out) // 4]
    if hz >= target / 2:
        return 0.0, float(np.sqrt(2 * np.mean(out**2))) / PEAK
    phase = 2 * np.pi * hz * np.arange(len(out)) / target
    basis = np.stack((np.cos(phase), np.sin(phase)), axis=1)
    parts, *_ = np.linalg.lstsq(basis, out, rcond=None)
    rest = out - basis @ parts
    return float(np.hypot(*parts)) / PEAK, float(np.sqrt(2 * np.mean(rest**2))) / PEAK


def measure_response(
    make: Callable[[int, int], Stream], source: int, target: int, flat_to: int, gone_from: int
) -> tuple[float, float]:
    """Ripple and alias in dB."""
    inside = [
        pass_sine(make(source, target), hz, source, target) for hz in np.linspace(100, flat_to, 34)
    ]
    beyond = [
        pass_sine(make(source, target), hz, source, target)
        for hz in np.arange(gone_from, source / 2, 97.0)
    ]
    ripple = max(abs(20 * np.log10(gain)) for gain, _ in inside)
    return float(ripple), float(20 * np.log10(max(rest for _, rest in inside + beyond)))


def measure_costs(source: int, target: int) -> dict[str, float]:
    """µs a frame by maker."""
    frame = np.random.default_rng(2).integers(-9000, 9000, source // 50).astype("<i2").tobytes()
    best = dict.fromkeys(MAKERS, float("inf"))
    streams = {name: make(source, target) for name, make in MAKERS.items()}
    for _ in range(ROUNDS):
        for name, stream in streams.items():
            took = timeit.timeit(lambda stream=stream: stream.push(frame), number=PUSHES)
            best[name] = min(best[name], took / PUSHES * 1e6)
    return best


@contextmanager
def other_work() -> Generator[Callable[[], object]]:
    """What puts a push's code and data out of the caches: messages, and other calls' memory."""
    message = json.dumps({"media": {"payload": base64.b64encode(bytes(160)).decode()}})
    pages = cycle([bytearray(4096) for _ in range(ALL_PAGES)])
    near, far = socket.socketpair()
    with near, far:

        def work() -> None:
            near.send(message.encode())
            base64.b64decode(json.loads(far.recv(4096))["media"]["payload"])
            for _ in range(COLD_PAGES):
                next(pages).count(1)

        yield work


class Idle:
    """Whose push is what measuring takes."""

    def push(self, pcm: bytes) -> bytes:
        return pcm

    def flush(self) -> bytes:
        return b""


def measure_cold_costs(source: int, target: int) -> dict[str, float]:
    """µs a frame by maker."""
    frame = np.random.default_rng(2).integers(-9000, 9000, source // 50).astype("<i2").tobytes()
    streams: dict[str, list[Stream]] = {"": [Idle() for _ in range(COLD_STREAMS)]}
    for name, make in MAKERS.items():
        streams[name] = [make(source, target) for _ in range(COLD_STREAMS)]
    took: dict[str, list[float]] = {name: [] for name in streams}
    with other_work() as work:
        for _ in range(COLD_ROUNDS):
            for name, some in streams.items():
                for stream in some:
                    work()
                    began = perf_counter()
                    stream.push(frame)
                    took[name].append(perf_counter() - began)
    nothing = median(took.pop(""))
    return {name: (median(times) - nothing) * 1e6 for name, times in took.items()}


def main() -> None:
    print("| kHz | resampler | held back, mean / worst ms | empty | ripple, alias dB | µs | cold |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for source, target, flat_to, gone_from in CONVERSIONS:
        costs = measure_costs(source, target)
        cold = measure_cold_costs(source, target)
        for name, make in MAKERS.items():
            lag = measure_lag(make(source, target), source, target)
            ripple, alias = measure_response(make, source, target, flat_to, gone_from)
            print(
                f"| {source // 1000}→{target // 1000} | {name} | {lag.mean_ms:.1f} / "
                f"{lag.worst_ms:.1f} | {lag.empty:.0%} | {ripple:.3f}, {alias:.0f} "
                f"| {costs[name]:.1f} | {cold[name]:.1f} |"
            )


if __name__ == "__main__":
    main()
