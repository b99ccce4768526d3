"""The simulated carrier: its calls, its webhooks and its REST API, for whichever carrier it plays.

Everything carrier-specific comes from the carrier's own mirror methods; this module loops over
them and names none. A server's REST requests arrive in ``rest``; a person's call begins in
``call``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from .. import carriers
from ..carrier import (
    Carrier,
    Command,
    Fetch,
    Find,
    HangUpLeg,
    Hooks,
    Instruct,
    Leg,
    Place,
    Press,
    Purpose,
    Redirect,
)
from ..errors import ConfigError
from ..events import CallInfo, CallState, Direction, EndReason, Who, Why
from ..media.formats import AudioFormat
from ..web import Request, Response
from .deadline import deadline
from .faults import Faults, Gremlin, forged
from .line import How, Line, OpenMedia
from .network import Network, Unreachable
from .program import Callee, Party, Program
from .record import Moment, Recorder
from .webhooks import Errands, Webhooks

__all__ = ["REMEMBERED", "Exchange", "RestCall", "Send", "switchboard"]

# How many calls that are over can still be asked about. (Real carriers keep them for days.)
REMEMBERED = 1_000

Send = Callable[[str, Request], Awaitable[Response]]
"""How a server sends REST requests: the carrier's name first."""


class RestCall(Struct, frozen=True):
    """One REST request that the server made: when (loop's clock), what, and how it was answered.

    ``status`` is 0 where the answer was lost.
    """

    at: float
    method: str
    path: str
    status: int


class Exchange:
    """One carrier, simulated.

    Args:
        carrier: its name, or its class.
        network: how it reaches servers. May be set later, before the first call.
        credentials: by credential name; default the carrier's own examples, which is also what a
            server in simulation uses.
        base: the server's public URL, without the carrier's part (``https://bot.example.com``).
        faults: what goes wrong, unless a call brings its own.
        callee: who picks up outbound calls.
        party: whom calls are transferred to.
        inbound: the encoding the caller's audio is streamed in; default the carrier's first.
        watch: is told every moment of every call as it happens.
        remember_s: how many seconds of what was heard each ear remembers.
        keep_audio: whether the records of calls hold audio.
        open_media: opens media streams that pace themselves; default those of ``stream``.
        clock: seconds since the epoch, for signatures.
    """

    def __init__(
        self,
        carrier: str | type[Carrier],
        network: Network | None = None,
        *,
        credentials: Mapping[str, str] | None = None,
        base: str = "",
        faults: Faults | None = None,
        callee: Callee | None = None,
        party: Party | None = None,
        inbound: AudioFormat | None = None,
        watch: Callable[[Moment], None] | None = None,
        remember_s: float = 0.0,
        keep_audio: bool = True,
        open_media: OpenMedia | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        kind = carriers.get(carrier) if isinstance(carrier, str) else carrier
        given = kind.examples() | dict(credentials or {})
        secret = {c.name for c in kind.credentials if c.secret}
        self.carrier = kind(given, clock=clock)
        self.network = network
        self.base = base
        self.faults = faults or Faults()
        self.callee = callee or Callee()
        self.party = party or Party()
        self.inbound = inbound or kind.inbound[0]
        self.requests: list[RestCall] = []
        self._watch = watch
        self._remember_s = remember_s
        self._keep_audio = keep_audio
        self._open_media = open_media
        self.lines: dict[str, Line] = {}
        self.placed: asyncio.Queue[Line] = asyncio.Queue()
        self._past: dict[str, Leg] = {}
        self._begun = 0
        self._programs: dict[str, Program] = {}
        self._forger = kind(forged(given, secret), clock=clock)
        self._errands = Errands()
        self._ids = random.Random()
        self._gremlin = Gremlin(self.faults, "rest")

    @property
    def name(self) -> str:
        """The carrier's name."""
        return self.carrier.name

    @property
    def hooks(self) -> Hooks:
        """The server's webhook URLs, as they are set in this carrier's console."""
        return Hooks(f"{self.base}/{self.carrier.name}")

    # Calls.

    def call(
        self,
        base: str = "",
        *,
        from_: str,
        to: str,
        faults: Faults | None = None,
    ) -> Line:
        """Somebody calls the server's number; ``base`` is its URL where it is not the usual one.

        Raises:
            ConfigError: there is no network or no server's URL to ask.
        """
        self.base = base or self.base
        line = self._line(Direction.INBOUND, from_, to, faults)
        self._programs[line.info.call_id].ring_in(self.hooks.url(Purpose.ANSWER))
        return line

    def _line(
        self, direction: Direction, from_: str, to: str, faults: Faults | None = None
    ) -> Line:
        if self.network is None or not self.base:
            raise ConfigError("the simulator needs a network and the server's URL before a call")
        call_id = f"{self._ids.getrandbits(128):032x}"
        info = CallInfo(
            carrier=self.carrier.name, call_id=call_id, from_=from_, to=to, direction=direction
        )
        gremlin = Gremlin(faults or self.faults, str(self._begun))
        signer = self._forger if gremlin.faults.forged_signature else self.carrier
        webhooks = Webhooks(self.carrier, signer, self.network, self._errands)
        line = Line(
            self.carrier,
            signer,
            self.network,
            webhooks,
            info,
            gremlin,
            Recorder(carrier=self.carrier.name, call_id=call_id, watch=self._watch),
            inbound=self.inbound,
            status_url=self.hooks.url(Purpose.STATUS),
            remember_s=self._remember_s,
            keep_audio=self._keep_audio,
            open_media=self._open_media,
        )
        self.lines[call_id] = line
        line.over.add_done_callback(lambda _: self._file(line))
        self._begun += 1
        self._programs[call_id] = Program(line, self.carrier, webhooks, gremlin, self.party)
        return line

    def _file(self, line: Line) -> None:
        """A call is over: keep what REST may still ask about it, and no audio."""
        self._past[line.info.call_id] = line.leg()
        del self.lines[line.info.call_id], self._programs[line.info.call_id]
        while len(self._past) > REMEMBERED:
            del self._past[next(iter(self._past))]

    def left_open(self) -> list[Line]:
        """Calls that are still up."""
        return [line for line in self.lines.values() if line.state is not CallState.ENDED]

    # REST.

    async def rest(self, request: Request) -> Response:
        """Answer a REST request, with the URL the server meant (the carrier's own host).

        Raises:
            TimeoutError: the answer was lost (a fault that was asked for).
        """
        await asyncio.sleep(self._gremlin.delay())
        response = self._in_the_way()
        if response is None:
            response = self._carry_out(request)
            if self._gremlin.strikes(self.faults.rest_error_done):
                response = Response(500)
        lost = self._gremlin.strikes(self.faults.rest_lost)
        status = 0 if lost else response.status
        now = asyncio.get_running_loop().time()
        self.requests.append(RestCall(now, request.method, request.path, status))
        await asyncio.sleep(self._gremlin.delay())
        if lost:
            raise TimeoutError("the answer was lost on purpose")
        return response

    def _in_the_way(self) -> Response | None:
        """What keeps a request from being carried out, if anything does."""
        if self._gremlin.strikes(self.faults.rest_refused):
            return Response(503)
        if self._gremlin.strikes(self.faults.rest_limited):
            return Response(429, {"retry-after": "1"})
        if self._gremlin.strikes(self.faults.rest_error):
            return Response(500)
        return None

    def _carry_out(self, request: Request) -> Response:
        platform = self.carrier.platform(request)
        learned: Leg | None = None
        try:
            while True:
                learned = self._obey(platform.send(learned))
        except StopIteration as done:
            answer: Response = done.value
            return answer

    def _obey(self, command: Command) -> Leg | None:
        if isinstance(command, Place):
            return self._place(command)
        line = self.lines.get(command.call_id)
        if line is None:
            return self._past.get(command.call_id)
        program = self._programs[command.call_id]
        if isinstance(command, HangUpLeg):
            ringing = line.state in (CallState.QUEUED, CallState.RINGING)
            why = Why.CANCELLED if ringing else Why.COMPLETED
            line.end(EndReason(why, Who.BOT), How.REST)
        elif isinstance(command, Instruct):
            program.instruct(command.steps, keep_stream=command.keep_stream)
        elif isinstance(command, Fetch):
            program.instruct([Redirect(command.url, command.method)], keep_stream=False)
        elif isinstance(command, Press):
            line.play_tones(command.digits)
        else:
            assert isinstance(command, Find)
        return line.leg()

    def _place(self, wish: Place) -> Leg:
        line = self._line(Direction.OUTBOUND, wish.from_, wish.to)
        line.info = replace(line.info, tag=wish.tag, dial_id=wish.dial_id)
        line.tag = wish.tag
        queued = line.leg()
        self._programs[line.info.call_id].ring_out(wish, self.callee)
        self.placed.put_nowait(line)
        return queued

    async def next_placed(self, within: float) -> Line:
        """The next call the server places.

        Raises:
            Overdue: it placed none in ``within`` seconds.
        """
        async with deadline(within, "the server to place a call"):
            return await self.placed.get()

    async def aclose(self) -> None:
        """End every call that is still up, and let go of everything."""
        for line in list(self.lines.values()):
            await line.stop()
        await self._errands.cancel()


def switchboard(*exchanges: Exchange) -> Send:
    """What a server sends REST requests with, when the simulated carriers are in its process."""
    by_name = {exchange.carrier.name: exchange for exchange in exchanges}

    async def send(carrier: str, request: Request) -> Response:
        exchange = by_name.get(carrier)
        if exchange is None:
            raise Unreachable(f"no simulated carrier is called {carrier!r}")
        return await exchange.rest(request)

    return send
