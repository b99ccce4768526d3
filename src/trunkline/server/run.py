"""Runs an app under uvicorn so that a deploy drops no call.

The first SIGTERM or SIGINT makes the server refuse new calls and wait for those there are; the
second ends them. uvicorn's own shutdown, which would close every socket at once, comes last.
"""

from __future__ import annotations

import asyncio
import logging
from types import FrameType

import uvicorn
from fastapi import FastAPI

__all__ = ["serve"]

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
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=max_message,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_config=None,
        log_level="warning",  # below that it logs media URLs, and with them tokens
        timeout_graceful_shutdown=5,
    )
    log.info("listening", extra={"url": f"http://{host}:{port}"})
    await _DrainingServer(config, app, drain_timeout).serve()
