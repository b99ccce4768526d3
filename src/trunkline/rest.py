"""Carries out carriers' HTTP exchanges: deadlines, retries, verification.

A carrier's flow yields requests and says what their answers mean; this module alone knows how
they are sent. A request that may be repeated is, with growing pauses, when it fails to arrive or
meets a fault of the server's; one that must not be is repeated only where it certainly did
nothing (refused for its rate, or never sent).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from .carrier import Carrier, Control
from .errors import CarrierError, OutcomeUnknown
from .events import CallInfo, CallState
from .http import Http
from .web import Flow, Request, Response

__all__ = ["HttpSender", "NotSent", "Rest", "Send"]

log = logging.getLogger("trunkline.rest")

T = TypeVar("T")

Send = Callable[[str, Request], Awaitable[Response]]
"""Sends a request to a carrier's API (named first) and returns the answer; raises ``OSError`` or
``TimeoutError`` where none comes, ``NotSent`` where the request certainly did not arrive."""

ATTEMPTS = 5
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
FLOW_DEADLINE_S = 20.0
# Carriers settle a call's state within a second or so of ending it; measured on none, so asked
# with growing pauses: 0, 0.25, 0.5, 1, 2 s.
STATE_QUESTIONS = 5

_RETRYABLE = frozenset({429, 500, 502, 503, 504})


class NotSent(OSError):
    """The request certainly did not reach the carrier."""


class HttpSender:
    """Sends over HTTP.

    Args:
        simulator_url: where a carrier simulator answers for every carrier, instead of the
            carriers' own hosts.
        timeout_s: seconds for one request, connecting included.
    """

    def __init__(self, simulator_url: str = "", *, timeout_s: float = 5.0) -> None:
        self._simulator_url = simulator_url.rstrip("/")
        self._http = Http(httpx.Timeout(timeout_s, connect=min(3.0, timeout_s)))

    async def __call__(self, carrier: str, request: Request) -> Response:
        url = request.url
        if self._simulator_url:
            url = f"{self._simulator_url}/{carrier}/{url.partition('://')[2]}"
        try:
            answer = await self._http.request(request.method, url, request.headers, request.body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(type(error).__name__) from error
        except httpx.TimeoutException as error:
            raise TimeoutError(type(error).__name__) from error
        except httpx.TransportError as error:
            raise OSError(type(error).__name__) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)

    async def warm_up(self) -> None:
        """Load what the first request would else have to, and every call would wait for."""
        await self._http.warm_up()

    async def close(self) -> None:
        """Close the client's connections."""
        await self._http.aclose()


class Rest:
    """Runs flows over a sender.

    Args:
        send: carries one request.
        deadline_s: seconds for a whole flow, retries included.
    """

    def __init__(self, send: Send, *, deadline_s: float = FLOW_DEADLINE_S) -> None:
        self._send = send
        self._deadline_s = deadline_s

    async def run(self, carrier: str, flow: Flow[T]) -> T:
        """Carry out a flow and return what it learned.

        Raises:
            CarrierError: as the flow raised it, or because no answer came in time.
            OutcomeUnknown: a request that must not be repeated may have been carried out.
        """
        until = asyncio.get_running_loop().time() + self._deadline_s
        try:
            request = next(flow)
            while True:
                try:
                    response = await self._exchange(carrier, request, until)
                except CarrierError as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as done:
            return done.value

    async def end_call(self, carrier: Carrier, call: CallInfo) -> bool:
        """Hang up, and ask the carrier until it says that the call has ended.

        Returns:
            Whether the carrier confirmed it. False where it has no way to be asked.

        Raises:
            CarrierError, Unsupported: it could not be hung up.
        """
        await self._hang_up(carrier, call)
        if not carrier.supports(Control.STATE):
            return False
        for question in range(STATE_QUESTIONS):
            if question:
                await asyncio.sleep(0.125 * 2**question)
            if await self.run(carrier.name, carrier.state(call)) is CallState.ENDED:
                return True
        return False

    async def _hang_up(self, carrier: Carrier, call: CallInfo) -> None:
        """Hang up, again and again where the carrier says that it may work later.

        A call cannot be ended in every state: one that has just begun, say.
        """
        pause = FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self.run(carrier.name, carrier.hang_up(call))
            except CarrierError as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        return None

    async def _exchange(self, carrier: str, request: Request, until: float) -> Response:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        trouble = ""
        if request.after:
            await asyncio.sleep(request.after)
        for attempt in range(1, ATTEMPTS + 1):
            response: Response | None = None
            trouble = "timed out"
            try:
                async with asyncio.timeout_at(until):
                    response = await self._send(carrier, request)
            except NotSent as error:
                trouble = str(error)
            except (OSError, TimeoutError) as error:
                trouble = str(error) or trouble
                if not request.repeatable:
                    raise OutcomeUnknown(
                        f"no answer to {request.method}: {trouble}; it may have been carried out"
                    ) from error
            if response is not None and not self._try_again(request, response):
                return response
            wait = max(pause * random.uniform(0.5, 1.0), _retry_after(response))
            if attempt == ATTEMPTS or loop.time() + wait >= until:
                if response is not None:
                    return response
                break
            log.info(
                "carrier request repeated",
                extra={"carrier": carrier, "attempt": attempt, "trouble": _say(response, trouble)},
            )
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        raise CarrierError(f"no answer to {request.method}: {trouble}", retryable=True)

    @staticmethod
    def _try_again(request: Request, response: Response) -> bool:
        if request.repeatable:
            return response.status in _RETRYABLE
        return response.status == 429


def _retry_after(response: Response | None) -> float:
    """Seconds a server asked us to wait (RFC 9110 section 10.2.3, the number form only)."""
    value = response.headers.get("retry-after", "") if response else ""
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _say(response: Response | None, trouble: str) -> str:
    return f"HTTP {response.status}" if response else trouble
