"""Runs an app under uvicorn so that a deploy drops no call.

The first SIGTERM or SIGINT makes the server refuse new calls and wait for those there are; the
second ends them. uvicorn's own shutdown, which would close every socket at once, comes last.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from ..errors import ConfigError

if TYPE_CHECKING:
    from .routes import Server

__all__ = ["running", "serve"]

log = logging.getLogger("trunkline.server")


class _DrainingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_timeout: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_timeout = drain_timeout
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining is None and not self.should_exit:
            self._draining = asyncio.get_running_loop().create_task(self._drain(sig, frame))
        else:
            super().handle_exit(sig, frame)

    async def _drain(self, sig: int, frame: FrameType | None) -> None:
        server = getattr(self._app.state, "trunkline", None)
        if server is not None:
            await server.switchboard.drain(self._drain_timeout)
        super().handle_exit(sig, frame)


async def serve(
    app: FastAPI, host: str, port: int, *, drain_timeout: float, max_message: int
) -> None:
    """Serve until told to stop.

    Args:
        app: from ``create_app``.
        host: address to listen on.
        port: likewise.
        drain_timeout: seconds that calls may go on after the first signal.
        max_message: bytes of a socket message.
    """
    config = _config(app, max_message, host=host, port=port)
    log.info("listening", extra={"url": f"http://{host}:{port}"})
    await _DrainingServer(config, app, drain_timeout).serve()


@asynccontextmanager
async def running(
    app: FastAPI,
    host: str,
    port: int,
    *,
    drain_timeout: float = 0.0,
    max_message: int = 65_536,
) -> AsyncGenerator[Server]:
    """Serve while the block runs; gives what takes and places calls. Arguments as for ``serve``.

    A signal ends the calls there are, not the block.

    Raises:
        ConfigError: the port is taken, or the app does not start.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(f"port {port} cannot be had: {error}; choose another") from None
    with listener:
        server = _DrainingServer(_config(app, max_message), app, drain_timeout)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if task.done():
                    raise ConfigError("the server did not start; its log says why")
                await asyncio.sleep(0.01)
            yield app.state.trunkline
        finally:
            server.should_exit = True
            await task


def _config(app: FastAPI, max_message: int, **where: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        **where,
        ws="websockets-sansio",
        ws_max_size=max_message,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_config=None,
        log_level="warning",  # below that it logs media URLs, and with them tokens
        timeout_graceful_shutdown=5,
    )
