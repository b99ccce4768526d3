"""One way to hold calls in a Pipecat pipeline, served on a WebSocket by a process of its own.

    python -m benchmarks._pipecat_server WAY RATE CORE

Prints its port once it listens, then a line of figures for every line it reads: CPU seconds spent
and bytes of memory held. The pipeline returns what it hears, and a key interrupts it.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from trunkline import carriers
from trunkline.carrier import Hooks
from trunkline.events import CallInfo, Started
from trunkline.limits import Limits
from trunkline.media.formats import PCMU_8K
from trunkline.rest import Rest
from trunkline.server.asgi import AsgiSocket
from trunkline.session import Session
from trunkline.web import Request, Response

__all__ = ["CARRIER", "WAYS"]

CARRIER = "twilio"
MAX_MESSAGE = 1 << 20

Holds = Callable[[WebSocket, int], Awaitable[None]]


def part(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def pipeline(transport: Any, rate: int) -> Any:
    frames = importlib.import_module("pipecat.frames.frames")
    processors = importlib.import_module("pipecat.processors.frame_processor")

    class Back(processors.FrameProcessor):
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.InputAudioRawFrame):
                frame = frames.OutputAudioRawFrame(frame.audio, frame.sample_rate, 1)
            elif isinstance(frame, frames.InputDTMFFrame):
                frame = frames.InterruptionFrame()
            await self.push_frame(frame, direction)

    rates = part("pipecat.pipeline.worker.PipelineParams")(
        audio_in_sample_rate=rate, audio_out_sample_rate=rate
    )
    return part("pipecat.pipeline.worker.PipelineWorker")(
        part("pipecat.pipeline.pipeline.Pipeline")([transport.input(), Back(), transport.output()]),
        params=rates,
        idle_timeout_secs=None,
        enable_rtvi=False,
    )


async def run(transport: Any, rate: int) -> None:
    worker = pipeline(transport, rate)

    async def gone(*_: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_disconnected", gone)
    runner = part("pipecat.workers.runner.WorkerRunner")(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def in_pipecats(serializer: str) -> Holds:
    async def hold(line: WebSocket, rate: int) -> None:
        kind = part(serializer)
        params = part("pipecat.transports.websocket.fastapi.FastAPIWebsocketParams")(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            serializer=kind("MZ1", "CA1", params=kind.InputParams(auto_hang_up=False)),
        )
        transport = part("pipecat.transports.websocket.fastapi.FastAPIWebsocketTransport")
        await run(transport(line, params), rate)

    return hold


async def over(_: str, __: Request) -> Response:
    return Response(404, {}, b'{"code": 20404}')


async def in_ours(media: WebSocket, rate: int) -> None:
    async def bot(call: Any) -> None:
        await run(part("trunkline.pipecat.TrunklineTransport")(call), rate)

    kind = carriers.get(CARRIER)
    carrier = kind(kind.examples())
    line = AsgiSocket(media.receive, media.send, MAX_MESSAGE)
    stream, begun = carrier.bot_end(PCMU_8K), []
    while not begun:
        heard = stream.receive(await line.receive())
        begun = [event for event in heard if isinstance(event, Started)]
    session = Session(
        carrier,
        CallInfo(carrier=CARRIER, call_id="CA1", account_id="AC1"),
        begun[0],
        bot,
        Rest(over),
        Hooks("https://bot.example.com"),
        Limits(),
        lambda _: None,
        lambda _: None,
    )
    await session.attach(line, stream, begun[0], [])


WAYS: dict[str, Holds] = {
    "theirs": in_pipecats("pipecat.serializers.twilio.TwilioFrameSerializer"),
    "serializer": in_pipecats("trunkline.pipecat.TwilioFrameSerializer"),
    "transport": in_ours,
}


def figures() -> str:
    spent = os.times()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return json.dumps({"cpu_s": spent.user + spent.system, "memory": memory})


def answer_questions() -> None:
    for _ in sys.stdin:
        print(figures(), flush=True)
    os._exit(0)


async def serve(hold: Holds, rate: int) -> None:
    async def media(line: WebSocket) -> None:
        await line.accept()
        await hold(line, rate)

    app = Starlette(routes=[WebSocketRoute("/", media)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio"))
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    threading.Thread(target=answer_questions, daemon=True).start()
    await server.serve(sockets=[listening])


def main() -> None:
    way, rate, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    warnings.simplefilter("ignore")
    logger = part("loguru.logger")
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    part("trunkline.pipecat.TrunklineTransport")  # imported before anything is measured
    uvloop = importlib.import_module("uvloop")
    uvloop.run(serve(WAYS[way], int(rate)))


if __name__ == "__main__":
    main()
