"""Pipecat's transport and ours side by side: delay, barge-in, and how many calls a core holds.

Run ``python -m benchmarks.pipecat_transport [--out DIR]``, under three minutes on two cores of
Linux. It prints a Markdown table and writes ``pipecat_transport.json`` and ``.svg``. Each way to
hold calls has a process of its own on one core, callers are on another, real WebSockets between
them (no TLS); the bot's pipeline returns what it hears. G.711 at 8 kHz on the wire, 20 ms messages.
All ways are measured in turn, twice.

- **delay**: of the last sample of a message that comes back, since it was spoken: median and p99,
  in ms, with one call; resamplers' own delay is in it;
- **barge-in**: from a key that interrupts, at the caller, to the ``clear``, in ms;
- **CPU**: ms a second for each call, of the server's process, at ``FEW`` calls;
- **calls a core**: the most at which less than one message in a hundred came back ``LATE_MS`` or
  more later than the median with one call;
- **memory**: for each further call, in KB.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from trunkline import carriers
from trunkline.events import Audio, Digit, Started
from trunkline.media import g711
from trunkline.media.formats import PCMU_8K, Encoding

from ._bars import Bar, Panel, chart

__all__ = ["main"]

CARRIER = "twilio"
NAMES = {
    "theirs": "Pipecat's transport and serializer",
    "serializer": "Pipecat's transport, our serializer",
    "transport": "our transport",
}
RATES = (8000, 16000)
FRAME_S = 0.02
FEW = 8
LEVELS = (FEW, 20, 30, 45, 68, 100)
FINE = 5
LATE_MS = 20.0
ALONE_S, SETTLE_S, WINDOW_S = 2.5, 0.4, 1.5
KEYS, KEY_EVERY_S = 20, 0.1
LOOKED_AT = 400  # messages whose delay is looked up, for each level
QUIET_S = 0.4
REACH_S = 1.5
SPEECH_S = 60.0

Figures = dict[str, float]


class Speech:
    """What every caller says: noise, which is found again wherever it comes back."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).normal(0, 6000, round(SPEECH_S * 8000))
        kernel = np.ones(4) / 4  # telephone speech has little above 2 kHz
        pcm = np.clip(np.convolve(noise, kernel, "same"), -30000, 30000).astype("<i2")
        self.samples = pcm.astype(np.float32)
        kind = carriers.get(CARRIER)
        carrier = kind(kind.examples())
        end = carrier.carrier_end(PCMU_8K)
        ids = {"call_id": "CA1", "stream_id": "MZ1", "account_id": "AC1"}
        end.send(Started(**ids, inbound=PCMU_8K, outbound=PCMU_8K))
        self.hello = end.outgoing()
        end.send(Digit("5"))
        (self.key,) = end.outgoing()
        coded = g711.encode(pcm.tobytes(), Encoding.PCMU)
        self.messages: list[Any] = []
        for at in range(0, len(coded), 160):
            end.send(Audio(coded[at : at + 160], at // 8))
            self.messages += end.outgoing()


class Caller:
    """Speaks in real time, and notes when what came back."""

    def __init__(self, speech: Speech, socket: Any) -> None:
        self._speech, self._socket = speech, socket
        self.sent: list[float] = []
        self.back: list[tuple[float, str]] = []
        self.cleared: asyncio.Future[float] | None = None
        self.talking = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._talk()), loop.create_task(self._listen())]

    async def _talk(self) -> None:
        for message in self._speech.hello:
            await self._socket.send(message)
        while len(self.sent) < len(self._speech.messages):
            await self.talking.wait()
            begun, first = time.perf_counter(), len(self.sent)
            while self.talking.is_set():
                due = begun + (len(self.sent) - first) * FRAME_S
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self.sent.append(time.perf_counter())
                await self._socket.send(self._speech.messages[len(self.sent) - 1])

    async def _listen(self) -> None:
        async for message in self._socket:
            now = time.perf_counter()
            if '"media"' in message:
                self.back.append((now, message))
            elif self.cleared is not None and '"clear"' in message and not self.cleared.done():
                self.cleared.set_result(now)

    async def interrupt(self) -> float | None:
        """Ms from a key to the clear; ``None`` where there was nothing to be cleared."""
        self.cleared = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        await self._socket.send(self._speech.key)
        with contextlib.suppress(TimeoutError):
            return (await asyncio.wait_for(self.cleared, KEY_EVERY_S) - begun) * 1000
        return None

    def delay(self, at: float, message: str) -> float | None:
        """Ms between the coming and the going of a message's last sample; ``None``: not found."""
        payload = base64.b64decode(json.loads(message)["media"]["payload"])
        piece = np.frombuffer(g711.decode(payload, Encoding.PCMU), "<i2").astype(np.float32)
        last = np.searchsorted(self.sent, at)
        first = max(0, int(last) - round(REACH_S / FRAME_S))
        said = self._speech.samples[first * 160 : int(last) * 160]
        if not 80 <= len(piece) <= len(said):
            return None
        found = np.correlate(said, piece, "valid")
        n, sample = divmod(first * 160 + int(found.argmax()) + len(piece) - 1, 160)
        return (at - self.sent[n]) * 1000 + (159 - sample) / 8

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._socket.close()


class Server:
    """One way to hold calls, in its process."""

    def __init__(self, process: Any, port: int, speech: Speech) -> None:
        self._process, self._url = process, f"ws://127.0.0.1:{port}"
        self._speech = speech
        self.callers: list[Caller] = []

    async def figures(self) -> Figures:
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return json.loads(await self._process.stdout.readline())

    async def have(self, calls: int) -> None:
        """As many callers, who talk when all are there, at different phases of their frames.

        What piles up while pipelines are built would else be late ever after.
        """
        for caller in self.callers:
            caller.talking.clear()
        while len(self.callers) < calls:
            socket = await connect(self._url, compression=None, ping_interval=None)
            self.callers.append(Caller(self._speech, socket))
        await self.quiet()
        for caller in self.callers:
            caller.talking.set()
            await asyncio.sleep(FRAME_S / calls)
        await asyncio.sleep(SETTLE_S)

    async def quiet(self) -> None:
        """Until the server has done what there was to do."""
        busy, before = True, await self.figures()
        while busy:
            await asyncio.sleep(QUIET_S)
            now = await self.figures()
            busy = now["cpu_s"] - before["cpu_s"] > QUIET_S * 0.3
            before = now

    async def window(self, seconds: float) -> tuple[Any, Figures]:
        """Delays of what came back in so many seconds, and what that cost."""
        for caller in self.callers:
            caller.back.clear()
        before = await self.figures()
        begun = time.perf_counter()
        await asyncio.sleep(seconds)
        after = await self.figures()
        passed = time.perf_counter() - begun
        back = [(caller, *heard) for caller in self.callers for heard in caller.back]
        step = max(1, len(back) // LOOKED_AT)
        delays = [caller.delay(at, message) for caller, at, message in back[::step]]
        found = np.array([delay for delay in delays if delay is not None])
        cpu = (after["cpu_s"] - before["cpu_s"]) / passed / len(self.callers) * 1000
        return found, {"cpu_ms": cpu, "memory": after["memory"]}


@asynccontextmanager
async def serving(way: str, rate: int, speech: Speech) -> AsyncGenerator[Server]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._pipecat_server", way, str(rate), str(_cores()[0])),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    server = Server(process, int(await process.stdout.readline()), speech)
    try:
        yield server
    finally:
        process.kill()
        await process.wait()
        for caller in server.callers:
            with contextlib.suppress(Exception):
                await caller.leave()


def _cores() -> tuple[int, int]:
    """The servers' core and the callers'."""
    cores = sorted(os.sched_getaffinity(0) | _all_cores)
    return cores[-1], cores[0]


_all_cores: set[int] = set()


async def alone(server: Server, found: dict[str, Any]) -> None:
    """One call: its delays, and interruptions."""
    await server.have(1)
    delays, told = await server.window(ALONE_S)
    found["delays"] = [*found.get("delays", []), *delays.tolist()]
    found.setdefault("memory_of_one", told["memory"])
    for _ in range(KEYS):
        await asyncio.sleep(KEY_EVERY_S)
        wait = await server.callers[0].interrupt()
        if wait is not None:
            found.setdefault("barge_ins", []).append(wait)


async def ramp(server: Server, levels: Sequence[int], found: dict[str, Any]) -> None:
    """More and more calls, until they come late."""
    usual = float(np.median(found["delays"]))
    for calls in levels:
        late, told = await level(server, calls, usual)
        if late >= LATE_MS:  # once more, lest it was the machine that had something else to do
            late, told = min(
                (late, told), await level(server, calls, usual), key=lambda one: one[0]
            )
        found.setdefault("levels", []).append({"calls": calls, "late_ms": late, **told})
        if calls == FEW:
            found.setdefault("cpu_ms", told["cpu_ms"])
        if calls > 1 and "memory_of_one" in found:
            found["memory"] = (told["memory"] - found["memory_of_one"]) / (calls - 1)
        if late >= LATE_MS:
            found["too_many"] = min(calls, found.get("too_many", calls))
            return
        found["calls"] = max(calls, found.get("calls", 0))


async def level(server: Server, calls: int, usual: float) -> tuple[float, Figures]:
    """How much later than usual so many calls come, in ms, and what they cost."""
    await server.have(calls)
    delays, told = await server.window(WINDOW_S)
    return float(np.percentile(delays, 99)) - usual if len(delays) else float("inf"), told


async def measure(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    speech = Speech()
    for rough in (True, False):
        for rate in RATES:
            for way in NAMES:
                one = found.setdefault((way, rate), {})
                async with serving(way, rate, speech) as server:
                    if rough:
                        await alone(server, one)
                        await ramp(server, LEVELS, one)
                    else:
                        begin = one.get("calls", 0) or 1
                        await ramp(server, range(begin + FINE, one["too_many"], FINE), one)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def summary(one: dict[str, Any]) -> Figures:
    delay = np.percentile(one["delays"], [50, 99])
    clear = np.percentile(one["barge_ins"], [50, 99])
    return {
        "delay_ms": round(float(delay[0]), 1),
        "delay_p99_ms": round(float(delay[1]), 1),
        "barge_in_ms": round(float(clear[0]), 1),
        "barge_in_p99_ms": round(float(clear[1]), 1),
        "cpu_ms_a_second": round(one["cpu_ms"], 1),
        "calls_a_core": one.get("calls", 0),
        "memory_kb": round(one["memory"] / 1024),
    }


def table(rows: dict[tuple[str, int], Figures]) -> str:
    lines = [
        "| | pipeline | delay | p99 | barge-in | p99 | CPU | calls a core | memory |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {NAMES[way]} | {rate // 1000} kHz | {one['delay_ms']} | {one['delay_p99_ms']} "
        f"| {one['barge_in_ms']} | {one['barge_in_p99_ms']} | {one['cpu_ms_a_second']} "
        f"| {one['calls_a_core']} | {one['memory_kb']} |"
        for (way, rate), one in rows.items()
    ]
    return "\n".join(lines)


def picture(rows: dict[tuple[str, int], Figures]) -> str:
    def panel(title: str, better: str, rate: int, key: str, text: str) -> Panel:
        bars = [
            Bar(name, n, rows[way, rate][key], text.format(**rows[way, rate]))
            for n, (way, name) in enumerate(NAMES.items())
        ]
        return Panel(title, better, bars)

    less, more = "less is better", "more is better"
    delay, clear = "{delay_ms} ms (p99 {delay_p99_ms})", "{barge_in_ms} ms (p99 {barge_in_p99_ms})"
    cpu, calls = "{cpu_ms_a_second} ms a second", "{calls_a_core}"
    return chart(
        "A Pipecat bot on a call: there and back",
        f"G.711 at 8 kHz on the wire; Pipecat {version('pipecat-ai')}; one run, in turns.",
        [
            panel("Delay, 16 kHz pipeline, median", less, 16000, "delay_ms", delay),
            panel("Delay, 8 kHz pipeline, median", less, 8000, "delay_ms", delay),
            panel("Barge-in to clear, 16 kHz, median", less, 16000, "barge_in_ms", clear),
            panel("CPU of a call, 16 kHz", less, 16000, "cpu_ms_a_second", cpu),
            panel("Calls a core, 16 kHz", more, 16000, "calls_a_core", calls),
            panel("Calls a core, 8 kHz", more, 8000, "calls_a_core", calls),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    folder = Path(parser.parse_args(argv).out)
    if importlib.util.find_spec("pipecat") is None:
        print("Pipecat is not installed here (extra `pipecat`): nothing to compare.")
        return
    _all_cores.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores()[1]})
    found: dict[tuple[str, int], dict[str, Any]] = {}
    asyncio.run(measure(found))
    os.sched_setaffinity(0, _all_cores)
    rows = {key: summary(one) for key, one in found.items()}
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "pipecat": version("pipecat-ai"),
        "python": platform.python_version(),
        "load": os.getloadavg()[1],  # what else the machine had to do, too, for the last 5 minutes
        "rows": [
            {"way": way, "rate": rate, **rows[way, rate], "levels": found[way, rate]["levels"]}
            for way, rate in rows
        ],
    }
    (folder / "pipecat_transport.json").write_text(json.dumps(written, indent=1) + "\n")
    (folder / "pipecat_transport.svg").write_text(picture(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
