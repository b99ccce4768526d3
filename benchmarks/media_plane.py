"""What a message costs a server's core, in turns: the floor, our two listeners, and other trees.

Run ``python -m benchmarks.media_plane [--bot echo|wide|speak] [--beside TREE]``, a minute. Each
server is pinned to core 0 and holds its own calls; this process is the carrier, on core 1: one
WebSocket a call over the loopback, a message every 20 ms, to one server after the other for a
second each, round after round. So they meet the same machine, however its speed changes, and a
change can be told from the tree before it (``--beside``) to a few per cent.

- **floor**: a picows server that does nothing but send each message back;
- **µs a message**: CPU for each message that came, whatever was sent back: the median turn;
- **late**: from a message's sending to the echo's coming, in ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import picows
import uvloop

from trunkline import carriers
from trunkline.events import Started
from trunkline.media.formats import PCMU_8K
from trunkline.server.tokens import MemoryUsed, Ticket, Tokens
from trunkline.web import Request

from ._rig import CALLERS_CORE, SERVERS_CORE, free_port, pin

__all__ = ["main"]

CARRIER = "twilio"
SECRET = "of-the-benchmark-only"
FRAME_S = 0.02
TICK_S = 0.001
WARM_UP_S, SETTLE_S, TURN_S = 0.5, 0.15, 0.8
BOTS = {
    "echo": """
async def bot(call):
    call.listen(call.utterance(call.audio_in, live=True).write)
    await call.wait()
""",
    "wide": """
from trunkline.media.formats import L16_16K
async def bot(call):
    call.listen(call.utterance(L16_16K, live=True).write, L16_16K)
    await call.wait()
""",
    "speak": """
async def bot(call):
    utterance = call.utterance()
    utterance.write(bytes(8000 * 120))
    await call.wait()
""",
}


# What is left when nothing is done with a message but sending it back: picows in a callback.
FLOOR = """
import asyncio, sys, picows, uvloop
class Echo(picows.WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.TEXT, frame.get_payload_as_bytes())
async def main():
    server = await picows.ws_create_server(lambda _: Echo(), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
uvloop.run(main())
"""


def loop_cpu_s(pid: int) -> float:
    """CPU of a process's first thread, which has the event loop: finer than the ticks of 10 ms."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


# --- the server ------------------------------------------------------------------------------


class Server:
    """``trunkline serve`` on core 0, of another source ``tree`` if one is named."""

    def __init__(self, bot: str, listener: str, *, simulator: int = 0, tree: str = "") -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "bot.py"
        path.write_text(BOTS[bot])
        self.port, media = free_port(), free_port()
        fast = listener == "fast"
        self.media_port = media if fast else self.port
        self.log = Path(self.folder.name) / "log"
        serve = [
            *(sys.executable, "-m", "trunkline", "serve", str(path), "--port", str(self.port)),
            *("--simulator", f"http://127.0.0.1:{simulator or free_port()}"),
            *(("--media-port", str(media)) if fast else ()),
        ]
        floor = [sys.executable, "-c", FLOOR, str(self.port)]
        self.process = subprocess.Popen(
            floor if listener == "floor" else serve,
            env={
                **os.environ,
                **({"PYTHONPATH": f"{tree}/src"} if tree else {}),
                "TRUNKLINE_SECRET": SECRET,
                "TRUNKLINE_MAX_CALLS": "10000",
            },
            stderr=self.log.open("w"),
            preexec_fn=lambda: pin(SERVERS_CORE),
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.5)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(self.log.read_text())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


# --- the carrier -----------------------------------------------------------------------------


def carrier() -> Any:
    kind = carriers.get(CARRIER)
    return kind(kind.examples())


def upgrade(port: int) -> Request:
    request = Request(method="GET", url=f"http://127.0.0.1:{port}/{CARRIER}/media")
    request = msgspec.structs.replace(request, url=request.url.replace("http", "ws", 1))
    return carrier().sign(request)


def start(call_id: str) -> list[str | bytes]:
    """What the carrier says first, with a token as the server would have minted it."""
    tokens = Tokens([SECRET], 60.0, time.time, MemoryUsed(time.time))
    end = carrier().carrier_end(PCMU_8K)
    started = Started(
        call_id=call_id,
        stream_id="MZ" + "0" * 32,
        inbound=PCMU_8K,
        outbound=PCMU_8K,
        token=tokens.mint(Ticket(CARRIER, call_id, "")),
    )
    end.send(started)
    return end.outgoing()


def frame() -> bytes:
    payload = base64.b64encode(bytes(range(160))).decode()
    return (
        '{"event":"media","sequenceNumber":"1234","media":{"track":"inbound","chunk":"1233",'
        f'"timestamp":"24660","payload":"{payload}"}},"streamSid":"MZ{"0" * 32}"}}'
    ).encode()


class One(picows.WSListener):
    """One call. The server answers message for message, so the first out is the first back."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.sent: deque[float] = deque()
        self.transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: Any) -> None:
        self.load.lost += 1

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        said = frame.get_payload_as_bytes()
        if said.startswith(b'{"event":"mark"'):
            transport.send(picows.WSMsgType.TEXT, said)  # played, as far as we care
        elif said.startswith(b'{"event":"media"') and self.sent:
            late = time.monotonic() - self.sent.popleft()
            if self.load.measuring:
                self.load.came += 1
                self.load.late.append(late)


class Load:
    """Calls, each sending a message every 20 ms, evenly spread over those."""

    def __init__(self) -> None:
        self.late = array("d")
        self.came = self.sent = self.lost = 0
        self.measuring = False
        self.calls: list[One] = []

    async def open(self, count: int, port: int) -> None:
        request = upgrade(port)
        for number in range(count):
            _, one = await picows.ws_connect(
                lambda: One(self), request.url, extra_headers=dict(request.headers)
            )
            for message in start(f"CA{number}"):
                one.transport.send(picows.WSMsgType.TEXT, message)
            self.calls.append(one)
            if number % 20 == 19:
                await asyncio.sleep(0.01)

    async def run(self, seconds: float) -> None:
        message, text = frame(), picows.WSMsgType.TEXT
        clock = asyncio.get_running_loop().time
        slots = round(FRAME_S / TICK_S)
        groups = [self.calls[slot::slots] for slot in range(slots)]
        began = clock()
        for tick in range(round(seconds / TICK_S)):
            wait = began + tick * TICK_S - clock()
            if wait > 0:
                await asyncio.sleep(wait)
            for one in groups[tick % slots]:
                one.sent.append(time.monotonic())
                one.transport.send(text, message)
                self.sent += 1


class Driven:
    """A server and its calls, driven in turns with others'."""

    def __init__(self, name: str, server: Server, calls: int) -> None:
        self.name = name
        self.server = server
        self.load = Load()
        self.us: list[float] = []
        self.lost = 0
        self._calls = calls

    async def open(self) -> None:
        await self.load.open(self._calls, self.server.media_port)
        await self.load.run(WARM_UP_S)

    async def turn(self) -> None:
        load = self.load
        await load.run(SETTLE_S)
        load.sent, load.measuring = 0, True
        pid = self.server.process.pid
        cpu = loop_cpu_s(pid)
        await load.run(TURN_S)
        self.us.append((loop_cpu_s(pid) - cpu) / load.sent * 1e6)
        load.measuring = False
        self.lost = load.lost

    def told(self, floor: Driven) -> str:
        late = sorted(self.load.late) or [0.0]
        p50, p99 = (late[int(len(late) * share)] * 1000 for share in (0.5, 0.99))
        ratio = statistics.median(a / b for a, b in zip(self.us, floor.us, strict=True))
        us = statistics.median(self.us)
        return (
            f"| {self.name} | {us:.1f} | {ratio:.2f} | {us / 20:.2f} | {p50:.2f} | {p99:.1f} "
            f"| {self.lost} |"
        )


async def measure(bot: str, calls: int, rounds: int, beside: Sequence[str]) -> list[Driven]:
    ways = [("floor", "floor", ""), ("ours, fast", "fast", ""), ("ours, ASGI", "asgi", "")]
    ways += [(f"{tree}, fast", "fast", tree) for tree in beside]
    driven: list[Driven] = []
    try:
        for name, listener, tree in ways:
            driven.append(Driven(name, Server(bot, listener, tree=tree), calls))
            await driven[-1].open()
        for number in range(rounds):
            print(f"round {number + 1}/{rounds}", file=sys.stderr, flush=True)
            for one in driven:
                await one.turn()
        return driven
    finally:
        for one in driven:
            one.server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media_plane", description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--bot", choices=sorted(BOTS), default="echo")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--beside", action="append", default=[], help="another source tree of ours")
    given = parser.parse_args(sys.argv[1:] if "media_plane" in sys.argv[0] else [])
    pin(CALLERS_CORE)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        driven = runner.run(measure(given.bot, given.calls, given.rounds, given.beside))
    print("| server | µs a message | times the floor | ms/s a call | late p50 | p99 | lost |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for one in driven:
        print(one.told(driven[0]))


if __name__ == "__main__":
    main()
