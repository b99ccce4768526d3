"""The calls of one process: how each begins, by webhook or at a bare socket, and how it ended.

A call by webhook is the simulator's own (``exchange``), with media streams that the wheel paces. A
call at a bare socket is what is left of one where a server has no webhooks of ours.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import perf_counter

from ... import carriers
from ...carrier import Carrier
from ...config import simulated_credentials
from ...events import EndReason, Started, Who, Why
from ...media.formats import AudioFormat
from ...web import Request
from ..exchange import Exchange
from ..line import How, Line
from ..network import Network, NotConnected
from ..record import Kind
from .callers import caller
from .fast_socket import connect
from .figures import Live
from .media import LoadMedia
from .pattern import Pattern
from .plan import Plan, Scenario
from .playout import Playout
from .wheel import Wheel

__all__ = ["Calls"]

# 555-0100 to 555-0199 are kept free for fiction in the North American Numbering Plan.
_CALLER = "+12025550143"
_SERVER = "+12025550100"
# How long a call may take to be wound up: the farewell and the last webhook.
_WIND_UP_S = 20.0
# A call that is up so long and brings no sound is none.
_SILENT_S = 2.0
# Codes by which a server ends a stream in order (RFC 6455 section 7.4.1).
_ORDERLY = (1000, 1001, 1005)

# What may end a call that nobody asked to end.
_BOT_MAY_END = (Scenario.TALK, Scenario.SHORT)


class Calls:
    """Begins calls and sees them to their end.

    Args:
        plan: what is asked for.
        network: how webhooks get to the server.
        wheel: paces the streams.
        live: what is counted in.

    ``up`` is how many streams are open.
    """

    def __init__(self, plan: Plan, network: Network, wheel: Wheel, live: Live) -> None:
        kind = carriers.get(plan.carrier)
        self.up = 0
        self._plan = plan
        self._wheel = wheel
        self._live = live
        self._inbound = AudioFormat.parse(plan.inbound)
        self._outbound = AudioFormat.parse(plan.outbound)
        self._pattern = Pattern(self._inbound)
        self._random = random.Random()
        self._dialled_at: dict[str, float] = {}
        self._media: dict[str, list[LoadMedia]] = {}
        self.exchange = Exchange(
            kind,
            network,
            credentials=simulated_credentials(kind),
            base=plan.url,
            inbound=self._inbound,
            keep_audio=False,
            open_media=self._open_for,
        )
        self._carrier: Carrier = self.exchange.carrier

    async def hold(self, hang_up: asyncio.Future[None]) -> None:
        """One call, from its beginning until ``hang_up`` is done, or somebody else ends it."""
        self._live.figures.dialled += 1
        trouble, example = await (self._direct if self._plan.direct else self._by_webhook)(hang_up)
        figures = self._live.figures
        if trouble:
            figures.failed += 1
            figures.error(trouble, example)
        else:
            figures.completed += 1

    # By webhook.

    async def _by_webhook(self, hang_up: asyncio.Future[None]) -> tuple[str, str]:
        line = self.exchange.call(from_=_CALLER, to=_SERVER)
        call_id = line.info.call_id
        self._dialled_at[call_id] = perf_counter()
        media = self._media[call_id] = []
        try:
            await asyncio.wait([line.over, hang_up], return_when=asyncio.FIRST_COMPLETED)
            line.end(EndReason(Why.COMPLETED, Who.CALLER), How.CALLER)
            await asyncio.wait([line.over], timeout=_WIND_UP_S)
        finally:
            del self._media[call_id]
            self._dialled_at.pop(call_id, None)
        return self._judge_line(line, media)

    def _judge_line(self, line: Line, media: list[LoadMedia]) -> tuple[str, str]:
        """What went wrong with a call, if anything did: the kind, and a sentence."""
        moments = line.recorder.record().moments
        faults = [moment.text for moment in moments if moment.kind == Kind.FAULT]
        if not media:
            kind = "webhook" if line.how is How.WEBHOOK else "refused"
            if not faults:
                faults = [f"the call was not taken; ended by: {line.how}"]
            return kind, "; ".join(faults)
        if (how := line.how) in (How.REST, How.VERB, How.DOCUMENT):
            return self._ended_by_server(media, f"by {how}")
        if dropped := [stream for stream in media if not stream.left]:
            return "dropped", f"the server closed the socket: {dropped[0].closed.result()}"
        return self._heard(media)

    async def _open_for(self, line: Line, upgrade: Request, started: Started) -> LoadMedia:
        media = await self._open(upgrade, started, line.press)
        dialled_at = self._dialled_at.pop(line.info.call_id, None)
        if dialled_at is not None:  # else it is the call's second stream
            self._live.figures.setup.add((media.opened - dialled_at) * 1000)
            self._live.figures.started += 1
        self._media[line.info.call_id].append(media)
        return media

    # At a bare socket.

    async def _direct(self, hang_up: asyncio.Future[None]) -> tuple[str, str]:
        call_id = f"{self._random.getrandbits(128):032x}"
        started = Started(
            call_id=call_id,
            account_id=self._account(),
            from_=_CALLER,
            to=_SERVER,
            inbound=self._inbound,
            outbound=self._outbound,
            stream_id=f"s-1-{call_id}",
            parameters=self._plan.parameters,
        )
        upgrade = Request(method="GET", url=self._plan.url)
        if self._carrier.signs_upgrade:
            upgrade = self._carrier.sign(upgrade)
        dialled_at = perf_counter()
        try:
            media = await self._open(upgrade, started, None)
        except (NotConnected, TimeoutError) as error:
            return "refused", str(error)
        self._live.figures.setup.add((media.opened - dialled_at) * 1000)
        self._live.figures.started += 1
        await asyncio.wait([media.closed, hang_up], return_when=asyncio.FIRST_COMPLETED)
        await media.close("the caller hung up")
        if media.left:
            return self._heard([media])
        closed = media.closed.result()
        if closed.code in _ORDERLY:
            return self._ended_by_server([media], f"the socket was {closed}")
        return "dropped", f"the server closed the socket: {closed}"

    def _account(self) -> str:
        given = self._carrier.given
        return given.get("account_id") or given.get("account_sid", "")

    # Both.

    async def _open(
        self, upgrade: Request, started: Started, press: Callable[[str], None] | None
    ) -> LoadMedia:
        socket = await connect(upgrade, self._plan.via)
        playout = Playout(self._plan.hold_ms)

        def press_key() -> None:
            (press or media.press)(self._plan.key)

        media = LoadMedia(
            self._carrier,
            socket,
            started,
            wheel=self._wheel,
            live=self._live,
            playout=playout,
            caller=caller(
                self._plan.scenario,
                playout,
                self._live,
                inbound=started.inbound,
                outbound=started.outbound,
                pattern=self._pattern,
                press=press_key if self._plan.key else None,
                now=perf_counter(),
            ),
        )
        self.up += 1
        media.closed.add_done_callback(self._gone)
        return media

    def _gone(self, _: object) -> None:
        self.up -= 1

    def _ended_by_server(self, media: list[LoadMedia], how: str) -> tuple[str, str]:
        self._live.figures.ended_by_server += 1
        if self._plan.scenario in _BOT_MAY_END:
            return self._heard(media)
        return "ended early", f"the server ended the call before the caller did: {how}"

    def _heard(self, media: list[LoadMedia]) -> tuple[str, str]:
        silent = not any(stream.heard for stream in media)
        if silent and perf_counter() - media[0].opened > _SILENT_S:
            return "silent", "no audio came back"
        return "", ""

    async def aclose(self) -> None:
        """Let go of everything at once."""
        await self.exchange.aclose()
