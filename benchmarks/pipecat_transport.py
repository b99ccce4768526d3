"""Pipecat's transport and ours side by side: delay, barge-in, and what a call costs.

Run ``python -m benchmarks.pipecat_transport``; it prints a Markdown table. Each holds calls of one
carrier's in one process, in real time and without a network, with a pipeline that returns what it
hears:

- **delay**: of the last sample of each message that comes back, since it was spoken: median and
  worst, in ms, with one call; the resamplers' own delay is in it;
- **barge-in**: from the interruption's entering the pipeline to the ``clear`` on the wire, in ms;
- **CPU**: ms a second for each of ``CALLS`` calls, with the callers' own share, which is the same
  for all of them, and measured alone in the last row.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from trunkline import carriers
from trunkline.carrier import Hooks
from trunkline.events import Audio, CallInfo, Started
from trunkline.limits import Limits
from trunkline.media import g711
from trunkline.media.formats import PCMU_8K, Encoding
from trunkline.rest import Rest
from trunkline.session import Session
from trunkline.sockets import MemorySocket, SocketClosed, memory_sockets
from trunkline.web import Request, Response

__all__ = ["main"]

CARRIER = "twilio"
CALLS = 8
SECONDS = 4.0
FRAME_S = 0.02
INFO = CallInfo(carrier=CARRIER, call_id="CA1", account_id="AC1")

Holds = Callable[[MemorySocket, int], Awaitable[Any]]


def part(path: str) -> Any:
    module, _, name = path.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(importlib.import_module(module), name)


def carrier() -> Any:
    kind = carriers.get(CARRIER)
    return kind({each.name: each.example for each in kind.credentials})


# --- pipelines -------------------------------------------------------------------------------


def pipeline(transport: Any, rate: int) -> Any:
    frames = importlib.import_module("pipecat.frames.frames")
    processors = importlib.import_module("pipecat.processors.frame_processor")

    class Back(processors.FrameProcessor):
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.InputAudioRawFrame):
                frame = frames.OutputAudioRawFrame(frame.audio, frame.sample_rate, 1)
            await self.push_frame(frame, direction)

    row = [transport.input(), Back(), transport.output()]
    rates = part("pipecat.pipeline.worker.PipelineParams")(
        audio_in_sample_rate=rate, audio_out_sample_rate=rate
    )
    return part("pipecat.pipeline.worker.PipelineWorker")(
        part("pipecat.pipeline.pipeline.Pipeline")(row), params=rates, idle_timeout_secs=None
    )


async def run(worker: Any) -> None:
    runner = part("pipecat.workers.runner.WorkerRunner")(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


class Asgi:
    """A socket as an ASGI server offers it, for Pipecat's transport."""

    def __init__(self, socket: MemorySocket) -> None:
        self._socket = socket
        self._greeted = False

    async def receive(self) -> dict[str, Any]:
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        try:
            return {"type": "websocket.receive", "text": await self._socket.receive()}
        except SocketClosed:
            return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self._socket.send(message["text"])


def in_pipecats(serializer: str, chunks: int = 2) -> Holds:
    async def hold(socket: MemorySocket, rate: int) -> Any:
        kind = part(serializer)
        asgi = Asgi(socket)
        scope: dict[str, Any] = {"type": "websocket", "headers": [], "path": "/"}
        websocket = part("starlette.websockets.WebSocket")(scope, asgi.receive, asgi.send)
        await websocket.accept()
        params = part("pipecat.transports.websocket.fastapi.FastAPIWebsocketParams")(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=chunks,
            serializer=kind("MZ1", "CA1", params=kind.InputParams(auto_hang_up=False)),
        )
        transport = part("pipecat.transports.websocket.fastapi.FastAPIWebsocketTransport")
        worker = pipeline(transport(websocket, params), rate)
        asyncio.get_running_loop().create_task(run(worker))
        return worker

    return hold


async def over(_: str, __: Request) -> Response:
    return Response(404, {}, b'{"code": 20404}')


async def in_ours(socket: MemorySocket, rate: int) -> Any:
    made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def bot(call: Any) -> None:
        worker = pipeline(part("trunkline.pipecat.TrunklineTransport")(call), rate)
        made.set_result(worker)
        await run(worker)

    the_carrier = carrier()
    stream, events = the_carrier.bot_end(PCMU_8K), []
    while not any(isinstance(event, Started) for event in events):
        events += stream.receive(await socket.receive())
    started = next(event for event in events if isinstance(event, Started))
    session = Session(
        the_carrier,
        INFO,
        started,
        bot,
        Rest(over),
        Hooks("https://bot.example.com"),
        Limits(),
        lambda _: None,
        lambda _: None,
    )
    asyncio.get_running_loop().create_task(session.attach(socket, stream, started, []))
    return await made


async def nobody(_: MemorySocket, __: int) -> Any:
    return None


# --- a caller --------------------------------------------------------------------------------


class Caller:
    """Sends noise in real time and notes when each message came back."""

    def __init__(self, socket: MemorySocket, seed: int) -> None:
        noise = np.random.default_rng(seed).normal(0, 6000, round(SECONDS * 8000))
        kernel = np.ones(4) / 4  # telephone speech has little above 2 kHz
        self.pcm = np.clip(np.convolve(noise, kernel, "same"), -30000, 30000).astype("<i2")
        self.socket = socket
        self.sent: list[float] = []
        self.back: list[tuple[float, bytes]] = []
        self.cleared = 0.0
        end = carrier().carrier_end(PCMU_8K)
        end.send(
            Started(
                call_id="CA1",
                stream_id="MZ1",
                account_id="AC1",
                inbound=PCMU_8K,
                outbound=PCMU_8K,
            )
        )
        self.hello = end.outgoing()
        coded = g711.encode(self.pcm.tobytes(), Encoding.PCMU)
        self.messages: list[Any] = []
        for at in range(0, len(coded), 160):
            end.send(Audio(coded[at : at + 160], at // 8))
            self.messages += end.outgoing()

    async def greet(self) -> None:
        for message in self.hello:
            await self.socket.send(message)

    async def talk(self) -> None:
        listening = asyncio.get_running_loop().create_task(self._listen())
        begun = time.perf_counter()
        for n, message in enumerate(self.messages):
            await asyncio.sleep(max(0.0, begun + n * FRAME_S - time.perf_counter()))
            self.sent.append(time.perf_counter())
            await self.socket.send(message)
        await asyncio.sleep(0.3)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening

    async def _listen(self) -> None:
        while True:
            message = json.loads(await self.socket.receive())
            now = time.perf_counter()
            if message["event"] == "media":
                self.back.append((now, base64.b64decode(message["media"]["payload"])))
            elif message["event"] == "clear":
                self.cleared = now

    def delays(self) -> list[float]:
        """Ms between a sample's coming and its going, message by message."""
        whole = self.pcm.astype(float)
        delays = []
        for at, payload in self.back[10:]:
            piece = np.frombuffer(g711.decode(payload, Encoding.PCMU), "<i2").astype(float)
            if len(piece) < 80:
                continue
            until = max(1, round((at - self.sent[0] + FRAME_S) * 8000))
            found = np.correlate(whole[:until], piece, "valid")
            message, sample = divmod(int(found.argmax()) + len(piece) - 1, 160)
            if message < len(self.sent):  # its last sample came when it was sent
                delays.append((at - self.sent[message]) * 1000 + (159 - sample) / 8)
        return delays


async def held(hold: Holds, rate: int, calls: int) -> tuple[list[Caller], float]:
    """Callers whose calls were held, and the CPU seconds that took."""
    callers, workers = [], []
    for seed in range(calls):
        left, right = memory_sockets()
        caller = Caller(left, seed)
        await caller.greet()
        callers.append(caller)
        workers.append(await hold(right, rate))
    await asyncio.sleep(1.0)  # pipelines are built
    before = time.process_time()
    await asyncio.gather(*(caller.talk() for caller in callers))
    spent = time.process_time() - before
    await end(workers)
    return callers, spent


async def end(workers: list[Any]) -> None:
    for worker in workers:
        if worker is not None:
            await worker.cancel()
    await asyncio.sleep(0.5)


async def barge_ins(hold: Holds, rate: int, times: int = 20) -> list[float]:
    left, right = memory_sockets()
    caller = Caller(left, 1)
    await caller.greet()
    worker = await hold(right, rate)
    await asyncio.sleep(1.0)
    talking = asyncio.get_running_loop().create_task(caller.talk())
    waits = []
    for _ in range(times):
        await asyncio.sleep(0.213)
        caller.cleared, begun = 0.0, time.perf_counter()
        await worker.queue_frame(part("pipecat.frames.frames.InterruptionFrame")())
        await asyncio.sleep(0.05)
        waits.append((caller.cleared - begun) * 1000)
    talking.cancel()
    await end([worker])
    return waits


def alone(main: Any) -> Any:
    """Run, and leave everything that still goes on behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return asyncio.run(main)


def row(name: str, hold: Holds, rate: int) -> str:
    callers, _ = alone(held(hold, rate, 1))
    delays = sorted(callers[0].delays())
    waits = alone(barge_ins(hold, rate))
    _, cpu = alone(held(hold, rate, CALLS))
    return (
        f"| {name} | {rate // 1000} kHz | {statistics.median(delays):.1f} | {delays[-1]:.1f} "
        f"| {statistics.median(waits):.1f} | {cpu / CALLS / SECONDS * 1000:.1f} |"
    )


def main() -> None:
    part("trunkline.pipecat.TrunklineTransport")  # imported before anything is measured
    logger = part("loguru.logger")
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    theirs = "pipecat.serializers.twilio.TwilioFrameSerializer"
    ours = "trunkline.pipecat.TwilioFrameSerializer"
    print("| | pipeline | delay, median | worst | barge-in | CPU |")
    print("|---|---|--:|--:|--:|--:|")
    for rate in (8000, 16000):
        print(row("Pipecat's transport and serializer", in_pipecats(theirs), rate), flush=True)
        print(row("Pipecat's transport, our serializer", in_pipecats(ours), rate), flush=True)
        print(row("our transport", in_ours, rate), flush=True)
    _, cpu = alone(held(nobody, 8000, CALLS))
    print(f"| callers alone | | | | | {cpu / CALLS / SECONDS * 1000:.1f} |")


if __name__ == "__main__":
    main()
