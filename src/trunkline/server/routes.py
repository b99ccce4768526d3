"""The FastAPI side of the server: generic routes, one set for all carriers.

    POST or GET  /{carrier}/{answer|after|status|digits}    webhooks
    WebSocket    /{carrier}/media  and  /{carrier}/media/{token}
    …            /calls                                     see api.py, where keys are set
    GET          /health/live, /health/ready

The carrier is in the URL, never guessed from a message. Everything that matters happens in the
switchboard; doors.py turns what reaches a carrier's paths into data and back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import fastapi
import fastapi.responses
from fastapi import APIRouter, FastAPI
from starlette.routing import Route, WebSocketRoute

from .. import __version__
from ..call import Bot
from ..carrier import Carrier, Hooks
from ..config import Settings, dial_rate, load_carriers, outbound_audio
from ..errors import ConfigError, Unknown
from ..media.resample import Resampler
from ..rest import HttpSender, Rest, Send
from ..telemetry.observation import Observation, Telemetry
from ..telemetry.rest import ObservedRest, observed
from ..web import Request
from .api import api
from .dialled import Dialled, Wish
from .dialling import Dialler
from .doorbell import Doorbell
from .doors import METHODS, Doors, MediaDoor, WebhookDoor
from .observed import ObservedDialler, ObservedSwitchboard
from .switchboard import Switchboard
from .tokens import MemoryUsed, Ticket, Tokens

if TYPE_CHECKING:
    from .metrics import Figures

__all__ = ["Admitted", "Server", "create_app", "router"]


class Server:
    """A switchboard and what it needs, made from settings; kept on ``app.state.trunkline``."""

    def __init__(
        self,
        bot: Bot,
        settings: Settings,
        *,
        send: Send | None = None,
        clock: Callable[[], float] = time.time,
        telemetry: Telemetry | None = None,
    ) -> None:
        if not settings.public_url:
            raise ConfigError(
                "PUBLIC_URL is not set: the https:// URL that carriers reach this server by"
            )
        carriers = load_carriers(settings, clock=clock)
        self.settings = settings
        self._http = HttpSender(settings.simulator_url)
        send = send or self._http
        kinds = {name: type(carrier) for name, carrier in carriers.items()}
        audio = {name: outbound_audio(kind) for name, kind in kinds.items()}
        tokens = Tokens(settings.secrets, settings.token_ttl, clock, MemoryUsed(clock))
        make_rest: Callable[[Send], Rest] = Rest
        make_dialler: Callable[..., Dialler] = Dialler
        make_switchboard: Callable[..., Switchboard] = Switchboard
        self._figures: Figures | None = None
        self.observation = Observation.wanted(settings, telemetry, sorted(carriers), clock)
        if self.observation is not None:
            meter, observer = self.observation.meter, self.observation.observer
            send = observed(send, observer)
            make_rest = partial(ObservedRest, observer=observer)
            make_dialler = partial(ObservedDialler, observer=observer)
            make_switchboard = partial(ObservedSwitchboard, observer=observer, meter=meter)
        rest = make_rest(send)
        hooks = {name: Hooks(f"{settings.public_url}/{name}") for name in carriers}
        self._stream_urls = {name: settings.stream_url(name) for name in carriers}
        shared: dict[str, Any] = {
            "audio": audio,
            "tokens": tokens,
            "rest": rest,
            "bell": Doorbell(bot, audio, settings.max_calls),
            "hooks": hooks,
            "stream_urls": self._stream_urls,
            "clock": clock,
        }
        self.dialler = make_dialler(
            carriers,
            send=send,
            rates={name: dial_rate(kind) for name, kind in kinds.items()},
            most=settings.max_dialled,
            **shared,
        )
        self.switchboard = make_switchboard(
            bot,
            carriers,
            dialler=self.dialler,
            limits=settings.limits,
            max_calls=settings.max_calls,
            handshake_timeout=settings.handshake_timeout,
            **shared,
        )

    async def start(self, bot: Bot) -> None:
        """Load what calls would else wait for: numpy, HTTP (60 ms each), the bot's own models."""
        self._expose()
        await asyncio.to_thread(Resampler, 8000, 16000)
        await self._http.warm_up()
        if (warm_up := getattr(bot, "warm_up", None)) is not None:
            await warm_up()

    async def stop(self) -> None:
        """End all calls and close connections."""
        await self.switchboard.drain(0.0)
        await self.dialler.close()
        await self._http.close()
        if self._figures is not None:
            self._figures.withdraw()

    def _expose(self) -> None:
        if self.observation is not None and self.observation.registry is not None:
            from .metrics import Figures

            most = self.settings.max_calls
            self._figures = Figures(self.observation, self.switchboard, self.dialler, most)

    def dial(
        self,
        to: str,
        *,
        from_: str,
        carrier: str = "",
        bot: Bot | None = None,
        parameters: Mapping[str, str] | None = None,
        key: str = "",
        ring_timeout: int = 30,
        max_duration: int = 14_400,
        detect_machine: bool = False,
    ) -> Dialled:
        """Call somebody. Returns at once: the call waits for its turn, and is placed once.

        Args:
            to: whom to call: E.164 with ``+``.
            from_: the number to call from, one of yours at the carrier.
            carrier: its name; may be left out where only one is switched on.
            bot: what speaks when somebody answers; default the server's.
            parameters: what the bot finds in ``call.parameters``; they never leave this process.
            key: what makes this wish the same wish when it is made again: then what is returned
                is what was returned before, and nobody is called twice.
            ring_timeout: seconds it may ring, 5 to 120.
            max_duration: seconds the call may last, 60 to 14,400.
            detect_machine: ask the carrier whether a machine answered; the bot is told with a
                ``MachineDetected`` event.

        Raises:
            Busy: the server is stopping, or far too many calls wait.
            ConfigError: the carrier is not switched on.
            Unsupported: it cannot place calls.
            ValueError: a number, time or key is none, or the key was another call's.
        """
        names = sorted(self.switchboard.carriers)
        if not carrier and len(names) > 1:
            raise ConfigError(f"say which carrier is to place the call: {', '.join(names)}")
        wish = Wish(
            carrier=carrier or names[0],
            to=to,
            from_=from_,
            bot=bot,
            parameters=parameters or {},
            ring_timeout=ring_timeout,
            max_duration=max_duration,
            detect_machine=detect_machine,
        )
        return self.dialler.dial(wish, key)

    def carrier(self, name: str) -> Carrier | None:
        """The carrier of that name, if it is switched on."""
        return self.switchboard.carriers.get(name)

    async def admit(
        self, name: str, token: str | None, *, query: str, headers: Mapping[str, str]
    ) -> Admitted:
        """Whether a media socket is let in, by what its upgrade says: to be asked once.

        Args:
            name: the carrier's, from the path.
            token: from the path; ``None`` where it rides in the stream.
            query: of the URL, without its question mark.
            headers: with names in lower case.

        Raises:
            Refused: it is not, with the HTTP status that says so.
        """
        carrier = self.carrier(name)
        if carrier is None:
            raise Unknown(f"no carrier here is called {name}")
        url = self._stream_urls[name] + (f"/{token}" if token else "")
        url += f"?{query}" if query else ""
        upgrade = Request(method="GET", url=url, headers=headers)
        self.switchboard.verify_upgrade(carrier, upgrade)
        return carrier, None if token is None else await self.switchboard.ticket(carrier, token)


Admitted = tuple[Carrier, Ticket | None]


def router(
    bot: Bot,
    settings: Settings,
    *,
    send: Send | None = None,
    clock: Callable[[], float] = time.time,
    telemetry: Telemetry | None = None,
) -> APIRouter:
    """The routes, to be included in a FastAPI app of yours.

    ``settings.public_url`` includes the prefix it is included under. A bot with an async method
    ``warm_up`` has it called before the app takes requests, one with ``ringing`` (docs/bots.md)
    before each call; all calls are ended when the app shuts down.

    Args:
        bot: called once for each call.
        settings: see ``trunkline.config.Settings``.
        send: carries the REST requests, in place of HTTP.
        clock: seconds since the epoch.
        telemetry: where figures and traces go, if not where the settings say.

    Raises:
        ConfigError: no public URL, or no carrier has its credentials.
    """
    server = Server(bot, settings, send=send, clock=clock, telemetry=telemetry)

    routes = _routes(server, bot)
    # No API routes: there is nothing for FastAPI to resolve, and looking costs time each call.
    webhook, media = WebhookDoor(server), MediaDoor(server)
    routes.routes += [
        Route("/{carrier}/{purpose}", webhook, methods=[*METHODS], include_in_schema=False),
        WebSocketRoute("/{carrier}/media", media),
        WebSocketRoute("/{carrier}/media/{token}", media),
    ]
    return routes


def create_app(
    bot: Bot,
    settings: Settings,
    *,
    send: Send | None = None,
    clock: Callable[[], float] = time.time,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """A whole server: the routes, and whether it is alive and ready.

    Arguments and errors as for ``router``.
    """
    server = Server(bot, settings, send=send, clock=clock, telemetry=telemetry)
    app = FastAPI(
        title="Trunkline",
        version=__version__,
        openapi_url="/openapi.json" if settings.api_keys else None,
        docs_url=None,
        redoc_url=None,
    )

    @app.get("/health/live", response_class=fastapi.responses.PlainTextResponse)
    async def live() -> str:
        return "alive"

    @app.get("/health/ready")
    async def ready(response: fastapi.Response) -> dict[str, object]:
        board = server.switchboard
        if board.draining:
            response.status_code = 503
        return {
            "ready": not board.draining,
            "calls": len(board.calls),
            "carriers": sorted(board.carriers),
        }

    app.include_router(_routes(server, bot))
    # ASGI says that its callables are awaited; those of every server are coroutine functions.
    app.add_middleware(cast("Any", Doors), server=server)
    return app


def _routes(server: Server, bot: Bot) -> APIRouter:
    """All but what carriers knock on."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        app.state.trunkline = server
        await server.start(bot)
        try:
            yield
        finally:
            await server.stop()

    routes = APIRouter(lifespan=lifespan)
    if server.settings.api_keys:
        routes.include_router(api(server, server.settings.api_keys))
    if server.settings.metrics_keys and server.observation and server.observation.registry:
        from .metrics import metrics_page

        routes.include_router(
            metrics_page(server.observation.registry, server.settings.metrics_keys)
        )
    return routes
