"""One bridge between Bandwidth and Cartesia, in a process and on a core of its own.

    python -m benchmarks._bridge_server WAY CORE

Prints its port once it listens, then a line of figures for every line it reads: CPU seconds spent
and bytes of memory held. Where the service is, what is said and how long a handshake takes: see
``_bare_bridge``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping

import uvicorn

from benchmarks import _bare_bridge as bare
from trunkline import Settings, create_app, websocket
from trunkline.bots import cartesia
from trunkline.server import serve
from trunkline.web import Request, Response
from trunkline.websocket import Connection

__all__ = ["TOKEN_SECRET", "WAYS"]

TOKEN_SECRET = "of-the-benchmark-only"
WAYS = ("bare", "turns", "fast", "detector")


async def connect(url: str, headers: Mapping[str, str]) -> Connection:
    await asyncio.sleep(bare.HANDSHAKE_S)
    return await websocket.connect(url, headers)


async def rest(_: str, request: Request) -> Response:
    """Bandwidth's REST API, of which only the end of calls is asked: they are over."""
    if "oauth2" in request.url:
        token = {"access_token": "any", "token_type": "Bearer", "expires_in": 3600}
        return Response.of_json(token)
    return Response(404)


async def reply(text: str, _: object) -> str:
    return bare.REPLY if text else ""


async def ours(port: int, *, turns: bool, fast: bool) -> None:
    bot = cartesia.bot(reply, greeting=bare.GREETING, voice="any", turns=turns, connect=connect)
    settings = Settings(
        public_url="https://bot.example.com",
        simulator_url="http://127.0.0.1:9",  # for its credentials: ``rest`` answers
        secret=(TOKEN_SECRET,),
        max_calls=10_000,
    )
    app = create_app(bot, settings, send=rest)
    media_port = free_port() if fast else 0
    print(media_port or port, flush=True)
    await serve(app, "127.0.0.1", port, drain_timeout=0, max_message=65_536, media_port=media_port)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    way, core = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    logging.disable(logging.ERROR)
    threading.Thread(target=answer_questions, daemon=True).start()
    port = free_port()
    if way == "bare":
        print(port, flush=True)
        uvicorn.run(bare.app, host="127.0.0.1", port=port, log_level="critical")
        return
    import uvloop

    uvloop.run(ours(port, turns=way != "detector", fast=way == "fast"))


if __name__ == "__main__":
    main()
