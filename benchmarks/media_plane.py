"""Many calls on one core: how late echoed audio comes, and what a call costs.

Run ``python -m benchmarks.media_plane``; it prints a Markdown table. ``trunkline serve`` runs in a
process of its own, pinned to core 0; this process is the carrier, on core 1: one WebSocket a call
over the loopback, a message every 20 ms. Without a second core nothing is pinned, and the figures
mean little.

- **late**: from a message's sending to the echo's coming, in ms;
- **CPU**: of the server's process, ms a second for each call;
- **RSS**: what the server's memory grew by, KB for each call.

Arguments: ``--listener floor,asgi,fast --calls 40,500 --bot echo|wide|speak --seconds 8``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import os
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections import deque
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

__all__ = ["main"]

CARRIER = "twilio"
SECRET = "of-the-benchmark-only"
FRAME_S = 0.02
TICK_S = 0.001
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


def pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
            preexec_fn=lambda: pin(0),
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

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024

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


async def measure(bot: str, listener: str, count: int, seconds: float) -> str:
    server = Server(bot, listener)
    try:
        load = Load()
        before = server.rss_kb()
        cpu = server.cpu_s()
        await load.open(count, server.media_port)
        set_up = (server.cpu_s() - cpu) / count * 1000
        await load.run(2.0)
        load.measuring, load.sent = True, 0
        cpu, began, own = server.cpu_s(), time.monotonic(), time.process_time()
        await load.run(seconds)
        took = time.monotonic() - began
        cpu, own = server.cpu_s() - cpu, time.process_time() - own
        rss = (server.rss_kb() - before) / count
        late = sorted(load.late) or [0.0]
        at = [late[min(len(late) - 1, int(len(late) * q))] * 1000 for q in (0.5, 0.99, 0.999)]
        return (
            f"| {bot} | {listener} | {count} | {at[0]:.2f} | {at[1]:.1f} | {at[2]:.1f} "
            f"| {cpu / took / count * 1000:.2f} | {cpu / took:.0%} | {set_up:.2f} | {rss:.0f} "
            f"| {load.came / load.sent:.1%} | {load.lost} | {own / took:.0%} |"
        )
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listener", default="floor,asgi,fast")
    parser.add_argument("--calls", default="40,500")
    parser.add_argument("--bot", default="echo")
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args(sys.argv[1:] if "media_plane" in sys.argv[0] else [])
    pin(1)
    print(
        "| bot | listener | calls | late p50 | p99 | p99.9 | CPU ms/s a call | server's core "
        "| set-up ms | RSS KB | came back | lost | load's core |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    gc.freeze()
    for bot in given.bot.split(","):
        for listener in given.listener.split(","):
            for count in map(int, given.calls.split(",")):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    print(runner.run(measure(bot, listener, count, given.seconds)), flush=True)


if __name__ == "__main__":
    main()
