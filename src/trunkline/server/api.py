"""Calls over HTTP, for programs that are not this one: dial, look, hang up, transfer, press keys.

    POST /calls                       dial; 202 with the call's record
    GET  /calls, GET /calls/{id}
    POST /calls/{id}/hangup, /transfer, /digits

Mounted only where keys are set. Whoever holds one can call at the operator's expense: so keys are
compared in constant time, before anything else is read, and numbers that may be called begin with
what the operator listed. Errors are problem documents (RFC 9457). It names no carrier.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Header, Query, Security
from fastapi.security import HTTPBearer

from ..call import Call
from ..events import Why
from ..session import Session
from .dialled import Dialled
from .problems import Wrong, guarded_route, responses
from .reports import HangUp, Keys, NewCall, Report, Transfer, of_dialled, of_session

if TYPE_CHECKING:
    from .routes import Server

__all__ = ["api"]

TRANSFER_S = 5.0
"""How long a transfer may take to fail before it is said to be under way."""


class _Desk:
    """What the routes do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._under_way: set[asyncio.Task[Why]] = set()

    def find(self, name: str) -> tuple[Dialled | None, Session | None]:
        """The record and the live call of this name.

        Raises:
            Wrong: there is neither.
        """
        dialler = self._server.dialler
        carriers = ("", *self._server.switchboard.carriers)
        dialled = next((d for c in carriers if (d := dialler.find(name, c))), None)
        call_id = dialled.call_id if dialled else name
        calls = self._server.switchboard.calls
        session = next((s for s in calls if call_id and s.info.call_id == call_id), None)
        if dialled is None and session is None:
            raise Wrong(404, "no call is known by this id, or not any more")
        return dialled, session

    def live(self, name: str) -> Call:
        """The call of this name, if a bot is on it."""
        _, session = self.find(name)
        if session is None or session.call.ended is not None:
            raise Wrong(409, "nobody is on this call: it is over, or was not answered yet")
        return session.call

    def report(self, name: str) -> Report:
        return _report(*self.find(name))

    def reports(self) -> list[Report]:
        """All there are, the newest first; calls that came in, which are live, before others."""
        dialled = self._server.dialler.wishes
        known = {one.info.call_id for one in dialled}
        calls = [s for s in self._server.switchboard.calls if s.info.call_id not in known]
        return [
            *map(of_session, reversed(calls)),
            *map(of_dialled, reversed(dialled)),
        ]

    def may_call(self, number: str) -> None:
        """Stop toll fraud: only numbers in the operator's list.

        Raises:
            Wrong: it is not.
        """
        prefixes = self._server.settings.dial_prefixes
        if not prefixes:
            raise Wrong(
                403,
                "no number may be called over HTTP: set TRUNKLINE_DIAL_PREFIXES to what numbers "
                "may begin with, as in +1,+44",
            )
        if not number.startswith(prefixes):
            raise Wrong(403, "TRUNKLINE_DIAL_PREFIXES allows no call to this number")

    async def hang_up(self, name: str, after_playback: bool) -> Report:
        """Hang up; returns what the call is then."""
        dialled, session = self.find(name)
        if session is not None:
            await session.call.hang_up(after_playback=after_playback)
        elif dialled is not None:
            await self._server.dialler.hang_up(dialled)
        return _report(dialled, session)

    async def transfer(self, call: Call, to: str, from_: str) -> None:
        """Begin a transfer; raises what makes it fail at once."""
        task = asyncio.get_running_loop().create_task(call.transfer(to, from_=from_))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        done, _ = await asyncio.wait([task], timeout=TRANSFER_S)
        if done:
            task.result()

    def _done(self, task: asyncio.Task[Why]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # a late failure brings the other party back to the bot; nobody waits


def _report(dialled: Dialled | None, session: Session | None) -> Report:
    if dialled is not None:
        return of_dialled(dialled)
    assert session is not None
    return of_session(session)


def api(server: Server, keys: tuple[str, ...]) -> APIRouter:
    """The routes under ``/calls``.

    Args:
        server: whose calls.
        keys: any of them opens every route.
    """
    bearer = HTTPBearer(auto_error=False, description="one of TRUNKLINE_API_KEYS")
    routes = APIRouter(
        prefix="/calls",
        tags=["calls"],
        route_class=guarded_route(keys),
        dependencies=[Security(bearer)],
        responses=responses(401, 422),
    )
    desk = _Desk(server)
    _dialling(routes, desk, server)
    _reading(routes, desk)
    _acting(routes, desk)
    return routes


def _dialling(routes: APIRouter, desk: _Desk, server: Server) -> None:
    @routes.post("", status_code=202, summary="Dial", responses=responses(403, 429, 501, 503))
    async def dial(
        wish: Annotated[NewCall, Body()],
        idempotency_key: Annotated[
            str,
            Header(
                max_length=255,
                description="makes a request that is repeated the same request: the record is "
                "returned, and nobody is called twice",
            ),
        ] = "",
    ) -> Report:
        """Queue a call. It is placed at the carrier's pace, once, and the server's bot joins it."""
        desk.may_call(wish.to)
        dialled = server.dial(
            wish.to,
            from_=wish.from_,
            carrier=wish.carrier,
            parameters=wish.parameters,
            key=idempotency_key,
            ring_timeout=wish.ring_timeout,
            max_duration=wish.max_duration,
            detect_machine=wish.detect_machine,
        )
        return of_dialled(dialled)


def _reading(routes: APIRouter, desk: _Desk) -> None:
    @routes.get("", summary="List calls")
    async def calls(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        live: Annotated[bool, Query(description="only those that are not over")] = False,
    ) -> list[Report]:
        """Calls in progress, and calls that were dialled; the newest first."""
        return [one for one in desk.reports() if not live or one.reason is None][:limit]

    @routes.get("/{id}", summary="Look at a call", responses=responses(404))
    async def look(id: str) -> Report:  # noqa: A002
        """A call in progress, or one that was dialled."""
        return desk.report(id)


def _acting(routes: APIRouter, desk: _Desk) -> None:
    errors = responses(403, 404, 409, 501, 502)

    @routes.post("/{id}/hangup", summary="Hang up", responses=errors)
    async def hang_up(id: str, how: Annotated[HangUp | None, Body()] = None) -> Report:  # noqa: A002
        """End a call, or take it back while it waits or rings. One that is over stays as it is."""
        return await desk.hang_up(id, how.after_playback if how else False)

    @routes.post("/{id}/transfer", status_code=202, summary="Transfer", responses=errors)
    async def transfer(id: str, whom: Annotated[Transfer, Body()]) -> Report:  # noqa: A002
        """Connect the other party with somebody else. The bot gets them back if that fails."""
        call = desk.live(id)
        desk.may_call(whom.to)
        before = desk.report(id)
        await desk.transfer(call, whom.to, whom.from_)
        return before

    @routes.post("/{id}/digits", status_code=202, summary="Press keys", responses=errors)
    async def digits(id: str, keys: Annotated[Keys, Body()]) -> Report:  # noqa: A002
        """Press keys towards the other party; w waits half a second, where the carrier can."""
        await desk.live(id).send_digits(keys.digits)
        return desk.report(id)
