"""What setting a call up costs the server, step by step, beside servers that do nothing.

Run ``python -m benchmarks.set_up``; it prints a Markdown table of µs of CPU a call, medians of
turns that the servers take one after the other. ``trunkline serve`` with its fast listener runs on
core 0; this process is the carrier, on core 1, and sets calls up one by one, over the loopback:

- **webhook**: signed and sent on a connection that is kept; until the answer document is here;
- **socket**: opened, its upgrade signed;
- **start**: the stream's start and the first audio; until its echo is here;
- **set-up**: these three;
- **end**: the stream's stop, and two REST requests of the server's: hang-up, and whether it did;
- **status**: the webhook that says that the call has ended.

The floor is uvicorn with a fixed document, and picows with an echo. ``--beside PATH`` (repeated, if
wanted) measures another source tree in turns with this one. Others: ``--calls 100 --rounds 10``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import picows
import uvloop

from benchmarks._rig import CALLERS_CORE, SERVERS_CORE, free_port, pin
from benchmarks.media_plane import CARRIER, Server, carrier, loop_cpu_s
from trunkline.carrier import Hooks, OpenStream, Purpose
from trunkline.events import (
    Audio,
    CallInfo,
    Ended,
    EndReason,
    Notice,
    Offered,
    Started,
    Stopped,
    Why,
)
from trunkline.media.formats import PCMU_8K
from trunkline.web import Request, Response

__all__ = ["main"]

STEPS = ("webhook", "socket", "start", "set-up", "end", "status")
PATIENCE_S = 10.0
CALL_OVER = b'{"sid":"CA","status":"completed"}'
FLOOR = """
import asyncio, sys, picows, uvicorn, uvloop
from pathlib import Path
document = Path(sys.argv[3]).read_bytes()
headers = [(b"content-type", b"application/xml"), (b"content-length", b"%d" % len(document))]
class Echo(picows.WSListener):
    def on_ws_frame(self, transport, frame):
        said = frame.get_payload_as_bytes()
        if said.startswith(b'{"event":"stop"'):
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif said.startswith(b'{"event":"media"'):
            transport.send(picows.WSMsgType.TEXT, said)
async def app(scope, receive, send):
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": document})
async def main():
    listening = await picows.ws_create_server(lambda _: Echo(), "127.0.0.1", int(sys.argv[2]))
    port = int(sys.argv[1])
    quiet = {"access_log": False, "log_level": "error", "lifespan": "off"}
    await uvicorn.Server(uvicorn.Config(app, port=port, **quiet)).serve()
uvloop.run(main())
"""


class Floor:
    """What answers webhooks with ``document``, and echoes."""

    def __init__(self, document: bytes, folder: Path) -> None:
        (path := folder / "document").write_bytes(document)
        self.port, self.media_port = free_port(), free_port()
        ports = (str(self.port), str(self.media_port))
        self.process = subprocess.Popen(
            [sys.executable, "-c", FLOOR, *ports, str(path)], preexec_fn=lambda: pin(SERVERS_CORE)
        )
        time.sleep(2)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Platform(asyncio.Protocol):
    """The carrier's REST API: each call is over once somebody asks about it."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        while (whole := _whole(self.got)) is not None:
            self.got = self.got[whole:]
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            )
            self.transport.write(head % len(CALL_OVER) + CALL_OVER)


def _whole(got: bytes) -> int | None:
    """How long the first HTTP message is that lies in ``got``; ``None`` while it is not whole."""
    head, end, _ = got.partition(b"\r\n\r\n")
    if not end:
        return None
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    length = len(head) + len(end) + sum(lengths)
    return length if len(got) >= length else None


class Socket(picows.WSListener):
    """A call's media socket."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.heard: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        elif not self.heard.done():
            self.heard.set_result(None)

    def on_ws_disconnected(self, transport: Any) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def say(self, messages: list[str | bytes]) -> None:
        for message in messages:
            said = message.encode() if isinstance(message, str) else message
            self.transport.send(picows.WSMsgType.TEXT, said)


class Caller:
    """Sets calls up at one server, and ends them."""

    def __init__(self, name: str, server: Any) -> None:
        self.name = name
        self.took: dict[str, list[float]] = {step: [] for step in STEPS}
        self._server = server
        self._carrier = carrier()
        self._hooks = Hooks(f"http://127.0.0.1:{server.port}/{CARRIER}")
        self._calls = 0
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def turn(self, count: int) -> None:
        infos = [self.info() for _ in range(count)]
        spent = self._meter(count)
        answers = [await self.webhook(Offered(info), Purpose.ANSWER) for info in infos]
        webhook = spent()
        offers = [self._offer(answer) for answer in answers]
        spent()
        sockets = [await self._open(offer) for offer in offers]
        socket = spent()
        said = [self._said(*one) for one in zip(infos, offers, strict=True)]
        spent()
        for one, (start, _) in zip(sockets, said, strict=True):
            one.say(start)
            await asyncio.wait_for(one.heard, PATIENCE_S)
        start = spent()
        for one, (_, stop) in zip(sockets, said, strict=True):
            one.say(stop)
            await asyncio.wait_for(one.closed, PATIENCE_S)
        await asyncio.sleep(0.05)
        end = spent()
        over = EndReason(Why.COMPLETED)
        for info in infos:
            await self.webhook(Ended(info.call_id, over), Purpose.STATUS)
        found = (webhook, socket, start, webhook + socket + start, end, spent())
        for step, took in zip(STEPS, found, strict=True):
            self.took[step].append(took)

    def _meter(self, count: int) -> Callable[[], float]:
        """Tells µs of the server's CPU for each call, since it was last asked."""
        pid = self._server.process.pid
        last = loop_cpu_s(pid)

        def spent() -> float:
            nonlocal last
            before, last = last, loop_cpu_s(pid)
            return (last - before) / count * 1e6

        return spent

    def info(self) -> CallInfo:
        self._calls += 1
        account = self._carrier.given["account_sid"]
        call_id = f"CA{self._calls:032d}"
        return CallInfo(
            carrier=CARRIER,
            call_id=call_id,
            account_id=account,
            from_="+12025550143",
            to="+12025550100",
        )

    async def webhook(self, notice: Notice, purpose: Purpose) -> Response:
        url = self._hooks.url(purpose)
        request = self._carrier.sign(self._carrier.write_webhook(notice, url))
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._server.port)
        reader, writer = self._connection
        headers = {"host": f"127.0.0.1:{self._server.port}", **request.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {request.path} HTTP/1.1\r\n{lines}content-length: {len(request.body)}\r\n\r\n"
        writer.write(head.encode() + request.body)
        got = b""
        while (whole := _whole(got)) is None:
            if not (more := await asyncio.wait_for(reader.read(65536), PATIENCE_S)):
                raise RuntimeError(f"{self.name} hung up on a webhook")
            got += more
        status = int(got.split(b" ", 2)[1])
        return Response(status, {}, got[:whole].partition(b"\r\n\r\n")[2])

    def _offer(self, answer: Response) -> OpenStream:
        (offer,) = [s for s in self._carrier.read_answer(answer) if isinstance(s, OpenStream)]
        return offer

    async def _open(self, offer: OpenStream) -> Socket:
        upgrade = self._carrier.sign(Request(method="GET", url=offer.url))
        url = f"ws://127.0.0.1:{self._server.media_port}{urlsplit(offer.url).path}"
        _, socket = await picows.ws_connect(Socket, url, extra_headers=dict(upgrade.headers))
        return socket  # type: ignore[return-value]

    def _said(self, info: CallInfo, offer: OpenStream) -> tuple[list[Any], list[Any]]:
        """What the stream says at its start, the first audio included, and at its end."""
        end = self._carrier.carrier_end(PCMU_8K)
        parameters = dict(offer.parameters)
        token = parameters.pop("token", "")
        started = Started(
            call_id=info.call_id,
            account_id=info.account_id,
            stream_id="MZ" + "0" * 32,
            inbound=PCMU_8K,
            outbound=PCMU_8K,
            token=token,
            parameters=parameters,
        )
        end.send(started)
        end.send(Audio(bytes(range(160))))
        start = end.outgoing()
        end.send(Stopped())
        return start, end.outgoing()


async def measure(trees: list[str], count: int, rounds: int) -> list[Caller]:
    rest = await asyncio.get_running_loop().create_server(Platform, "127.0.0.1", 0)
    port = rest.sockets[0].getsockname()[1]
    servers: list[Any] = []
    try:
        ours = [Server("echo", "fast", simulator=port, tree=tree) for tree in trees]
        servers += ours
        callers = [Caller(tree or "ours", one) for tree, one in zip(trees, ours, strict=True)]
        document = await callers[0].webhook(Offered(callers[0].info()), Purpose.ANSWER)
        servers.append(Floor(document.body, Path(ours[0].folder.name)))
        callers.append(Caller("floor", servers[-1]))
        for number in range(rounds + 1):
            for caller in callers:
                await caller.turn(count)
                if number == 0:  # what comes first is slower
                    caller.took = {step: [] for step in STEPS}
        return callers
    finally:
        for server in servers:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--beside", action="append", default=[])
    given = parser.parse_args(sys.argv[1:] if "set_up" in sys.argv[0] else [])
    pin(CALLERS_CORE)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        callers = runner.run(measure(["", *given.beside], given.calls, given.rounds))
    print(f"| µs of CPU a call | {' | '.join(STEPS)} |\n|---|{'--:|' * len(STEPS)}")
    for caller in callers:
        told = " | ".join(f"{median(caller.took[step]):.0f}" for step in STEPS)
        print(f"| {caller.name} | {told} |")
    for caller in callers[1:]:
        ratios = [
            median(a / b for a, b in zip(callers[0].took[s], caller.took[s], strict=True))
            for s in STEPS
        ]
        print(f"| ours / {caller.name} | {' | '.join(f'{r:.2f}' for r in ratios)} |")


if __name__ == "__main__":
    main()
