"""Runs an app under uvicorn so that a deploy drops no call.

The first SIGTERM or SIGINT makes the server refuse new calls and wait for those there are; the
second ends them. uvicorn's own shutdown, which would close every socket at once, comes last.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from msgspec import Struct

from ..errors import ConfigError
from .watchdog import watching

if TYPE_CHECKING:
    from .fast import MediaListener
    from .routes import Server

__all__ = ["Tls", "running", "serve"]

log = logging.getLogger("trunkline.server")

BACKLOG = 1024
"""Connections that may wait to be taken: a restart makes many calls come back at once."""


GC_THRESHOLD = 10_000
"""Objects made and not freed until the collector looks at the young ones; Python's own is 700."""


class Tls(Struct, frozen=True):
    """Paths of a certificate chain and of its private key, in PEM."""

    cert: str
    key: str

    def context(self) -> ssl.SSLContext:
        """What a server encrypts with.

        Raises:
            ConfigError: a file is missing, or they are no certificate and its key.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            raise ConfigError(f"TLS with {self.cert!r} and {self.key!r}: {error}") from None
        return context


class _DrainingServer(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        drain_timeout: float,
        media: socket.socket | None,
        tls: Tls | None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain_timeout = drain_timeout
        self._draining: asyncio.Task[None] | None = None
        self._media_socket = media
        self._media_tls = tls and tls.context()
        self._media: MediaListener | None = None
        self._undo = ExitStack()
        self._beat: Callable[[], None] | None = None
        self.own_process = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._media_socket is not None:
            # Bound before, so that a carrier which is quick finds the port.
            from .fast import MediaListener

            self._media = MediaListener(self._app.state.trunkline, self._media_tls)
            await self._media.start(self._media_socket)

        if self.own_process:
            # What is there by now stays: a collection that walks it all stalls each call by 30 ms.
            # And few cycles are made afterwards, so that looking for them so often is for nothing.
            gc.collect()
            gc.freeze()
            self._undo.callback(gc.unfreeze)
            self._undo.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(GC_THRESHOLD)
            if self.started:
                self._beat = self._undo.enter_context(_watching(self._app.state.trunkline))

    async def on_tick(self, counter: int) -> bool:
        if self._beat is not None:
            self._beat()  # here, where uvicorn wakes up every tenth of a second anyway
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._media is not None:
            self._media.stop()
        self._undo.close()
        await super().shutdown(sockets)

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
    app: FastAPI,
    host: str,
    port: int,
    *,
    drain_timeout: float,
    max_message: int,
    media_port: int = 0,
    tls: Tls | None = None,
) -> None:
    """Serve until told to stop.

    Args:
        app: from ``create_app``.
        host: address to listen on.
        port: likewise.
        drain_timeout: seconds that calls may go on after the first signal.
        max_message: bytes of a socket message.
        media_port: where media sockets are served by the fast listener, beside the app; 0: nowhere.
        tls: what both ports encrypt with; default not at all.

    Raises:
        ConfigError: the media port cannot be had, or the certificate cannot.
    """
    config = _config(app, max_message, tls, host=host, port=port)
    log.info("listening", extra={"url": f"http{'s' if tls else ''}://{host}:{port}"})
    with _media_socket(host, media_port) as media:
        server = _DrainingServer(config, app, drain_timeout, media, tls)
        server.own_process = True
        await server.serve()


@asynccontextmanager
async def running(
    app: FastAPI,
    host: str,
    port: int,
    *,
    drain_timeout: float = 0.0,
    max_message: int = 65_536,
    media_port: int = 0,
    tls: Tls | None = None,
) -> AsyncGenerator[Server]:
    """Serve while the block runs; gives what takes and places calls. Arguments as for ``serve``.

    A signal ends the calls there are, not the block.

    Raises:
        ConfigError: a port is taken, or the app does not start.
    """
    with _bound(host, port) as listener, _media_socket(host, media_port) as media:
        config = _config(app, max_message, tls)
        server = _DrainingServer(config, app, drain_timeout, media, tls)
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


def _watching(server: Server) -> AbstractContextManager[Callable[[], None]]:
    late_s = server.settings.stall_ms / 1000
    if server.observation is None:
        return watching(late_s, ticks=False)
    meter = server.observation.meter
    return watching(late_s, lag=meter.lag.add, stalled=meter.stalled, ticks=False)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"port {port} cannot be had: {error}; choose another") from None


def _media_socket(host: str, port: int) -> AbstractContextManager[socket.socket | None]:
    if not port:
        return nullcontext()
    if importlib.util.find_spec("picows") is None:
        raise ConfigError("a media port needs the extra: pip install 'trunkline[fast]'")
    log.info("listening for media", extra={"address": f"{host}:{port}"})
    return _bound(host, port)


def _config(app: FastAPI, max_message: int, tls: Tls | None, **where: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        **where,
        ws="websockets-sansio",
        ws_max_size=max_message,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ssl_certfile=tls and tls.cert,
        ssl_keyfile=tls and tls.key,
        access_log=False,
        log_config=None,
        log_level="warning",  # below that it logs media URLs, and with them tokens
        timeout_graceful_shutdown=5,
    )
