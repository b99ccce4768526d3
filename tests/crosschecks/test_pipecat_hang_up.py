"""Pipecat's own hang-up, over HTTP, against the REST that our simulator plays.

Only where a serializer lets itself be pointed elsewhere: Twilio's takes a ``base_url`` (not yet in
Pipecat 1.4), Bandwidth's has its hosts as attributes. Telnyx's and Plivo's are written into them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from carriers.golden import example
from exchange import Exchange
from trunkline import carriers
from trunkline.events import CallState
from trunkline.web import Request

pytestmark = pytest.mark.filterwarnings(
    "ignore:'audioop' is deprecated:DeprecationWarning",
    # Pipecat still logs in the way that aiohttp 4 will not know.
    "ignore:The 'auth' parameter is deprecated:DeprecationWarning",
    "ignore:BasicAuth is deprecated:DeprecationWarning",
)

CALL = "call-1"


def twilio(simulator: str, known: dict[str, str]) -> Any:
    found = pytest.importorskip("pipecat.serializers.twilio").TwilioFrameSerializer
    if "base_url" not in inspect.signature(found).parameters:
        pytest.skip("this Pipecat's Twilio serializer talks to Twilio only")
    login = {name: known[name] for name in ("account_sid", "auth_token")}
    return found("stream-1", CALL, **login, base_url=f"{simulator}/api.twilio.com")


def bandwidth(simulator: str, known: dict[str, str]) -> Any:
    found = pytest.importorskip("pipecat_bandwidth").BandwidthFrameSerializer

    class Elsewhere(found):  # type: ignore[misc, valid-type]
        OAUTH_TOKEN_URL = found.OAUTH_TOKEN_URL.replace("https:/", simulator)
        VOICE_API_BASE_URL = found.VOICE_API_BASE_URL.replace("https:/", simulator)

    login = {name: known[name] for name in ("account_id", "client_id", "client_secret")}
    return Elsewhere("stream-1", CALL, **login)


@pytest.mark.parametrize("made", [twilio, bandwidth], ids=lambda made: made.__name__)
def test_hanging_up_ends_the_call_and_an_ended_call_is_no_error(
    made: Callable[[str, dict[str, str]], Any],
) -> None:
    frames = pytest.importorskip("pipecat.frames.frames")
    log = pytest.importorskip("loguru").logger
    exchange = Exchange(example(carriers.get(made.__name__)))
    exchange.add(CALL)
    complaints: list[str] = []

    async def twice() -> None:
        async with Simulator(exchange) as simulator:
            await made(simulator, exchange.carrier.given).serialize(frames.EndFrame())
            assert exchange.legs[CALL].state is CallState.ENDED
            asked = len(exchange.requests)
            await made(simulator, exchange.carrier.given).serialize(frames.CancelFrame())
            assert len(exchange.requests) > asked

    sink = log.add(complaints.append, level="WARNING")
    try:
        asyncio.run(twice())
    finally:
        log.remove(sink)
    assert complaints == []


class Simulator:
    """A carrier's REST on this machine: the path begins with the host that was meant."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def __aenter__(self) -> str:
        web = pytest.importorskip("aiohttp.web")

        async def answer(received: Any) -> Any:
            request = Request(
                method=received.method,
                url=f"https:/{received.path_qs}",
                headers={name.lower(): value for name, value in received.headers.items()},
                body=await received.read(),
            )
            response = self.exchange.rest(request)
            return web.Response(
                status=response.status, headers=dict(response.headers), body=response.body
            )

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()
