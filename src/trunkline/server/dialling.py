"""Places calls: each wish once, at the carrier's pace, and none forgotten.

That a request to place a call got no answer, or a server's error for one, does not say whether
there is a call now, and asking again might ring somebody twice. So a wish's id rides in the URL
of every webhook of its call. Any of them proves that the call exists; where none comes for longer
than a call can ring, there is none, and it is tried again. What is left: a call whose REST answer
and whose webhooks were all lost is placed again. If both are heard of after all, one is hung up.

It names no carrier. How a call is answered and joined to a bot is the switchboard's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from ..carrier import Carrier, Control, Dial, Hooks, Offer
from ..errors import (
    Busy,
    CarrierError,
    ConfigError,
    TrunklineError,
    Unsupported,
)
from ..events import (
    Answered,
    CallInfo,
    CallState,
    Ended,
    EndReason,
    MachineDetected,
    Notice,
    Offered,
    Ringing,
    Who,
    Why,
)
from ..media.formats import AudioFormat
from ..rest import Rest, Send
from .attempt import Attempt
from .dialled import Dialled, DialState, Wish
from .doorbell import Doorbell
from .limiter import Limiter
from .tokens import Ticket, Tokens
from .turns import Turns

__all__ = ["DIAL", "Dialler"]

log = logging.getLogger("trunkline.dial")

DIAL = "dial"
"""The name of the query parameter that a wish's id rides in."""
MARGIN_S = 10.0
"""How much longer than it rings a call may take until its webhook has come: carriers queue, and
repeat a webhook that failed within seconds."""
TRIES = 6
REFUSED_FOR_S = 600.0
"""For how long a wish is tried again that the carrier refuses for its rate or number of calls."""
ASK_EVERY_S = 30.0
KEPT = 10_000
"""How many wishes that are over are remembered, with their keys."""
QUEUED_MOST = 10_000
"""How many may wait, ring and talk in all, before more are refused."""
_RINGS = (DialState.PLACED, DialState.RINGING, DialState.ANSWERED)
STOP_S = 20.0


class Dialler:
    """Every wish to call somebody, and how far it has come.

    Args:
        carriers: by name.
        audio: the encoding our audio goes out in, by carrier.
        tokens: mints media tokens.
        send: carries one REST request.
        rest: carries out REST flows.
        bell: is told of calls that were placed, and has bots ready for them.
        hooks: our webhook URLs, by carrier.
        stream_urls: our media URLs without token, by carrier.
        rates: calls a second, by carrier.
        most: how many calls there may be at once at each carrier that we placed.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        carriers: Mapping[str, Carrier],
        *,
        audio: Mapping[str, AudioFormat],
        tokens: Tokens,
        send: Send,
        rest: Rest,
        bell: Doorbell,
        hooks: Mapping[str, Hooks],
        stream_urls: Mapping[str, str],
        rates: Mapping[str, float],
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self._carriers = carriers
        self._audio = audio
        self._tokens = tokens
        self._send = send
        self._rest = rest
        self._bell = bell
        self._hooks = hooks
        self._stream_urls = stream_urls
        self._rates = rates
        self._most = most
        self._clock = clock
        self._turns: dict[str, Turns] = {}
        self._wishes: dict[str, Dialled] = {}
        self._by_key: dict[str, Dialled] = {}
        self._by_call: dict[tuple[str, str], Dialled] = {}
        self._past: deque[Dialled] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    # Wishes.

    def dial(self, wish: Wish, key: str = "") -> Dialled:
        """Call somebody; returns at once. With a key that was used before: that wish again.

        Raises:
            Busy: the server stops, or far too many calls wait.
            ConfigError: the carrier is not switched on.
            Unsupported: it cannot place calls.
            ValueError: the key belongs to another wish, or is none.
        """
        if key and (known := self._by_key.get(key)):
            if known.wish != wish:
                raise ValueError("this key was used for another call")
            return known
        self._check(wish.carrier)
        dialled = Dialled(wish, key, self._clock)
        dialled.on_change.append(self._changed)
        self._wishes[dialled.id] = self._by_key[dialled.key] = dialled
        task = asyncio.get_running_loop().create_task(self._drive(dialled), name="dial")
        self._tasks[dialled.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(dialled.id, None))
        return dialled

    def _check(self, name: str) -> None:
        if self._stopping:
            raise Busy("the server is stopping")
        carrier = self._carriers.get(name)
        if carrier is None:
            known = ", ".join(sorted(self._carriers))
            raise ConfigError(f"no carrier called {name!r} is switched on; there is {known}")
        if not carrier.supports(Control.DIAL):
            raise Unsupported(f"{carrier.title} has no request that places a call")
        if len(self._tasks) >= QUEUED_MOST:
            raise Busy("too many calls wait to be dialled", retry_after=60.0)

    def _changed(self, dialled: Dialled) -> None:
        """Have its bot get ready once there is a call, and let go where nobody answers."""
        wish = dialled.wish
        if dialled.over:
            self._bell.end(dialled.info)
        elif dialled.state in _RINGS and not (dialled.joined or dialled.unwanted):
            within = wish.ring_timeout + MARGIN_S
            self._bell.begin(self._carriers[wish.carrier], dialled.info, wish.bot, within)

    def find(self, name: str, carrier: str = "") -> Dialled | None:
        """The wish of this id, or whose call has this id at the carrier."""
        return self._wishes.get(name) or self._by_call.get((carrier, name))

    @property
    def wishes(self) -> list[Dialled]:
        """All that are remembered, the oldest first."""
        return list(self._wishes.values())

    async def hang_up(self, dialled: Dialled) -> None:
        """Take a wish back, or end its call; does nothing where that is over.

        A call of which it is not known yet whether it exists is ended as soon as it is; one whose
        carrier has no request for that, as soon as it is answered.

        Raises:
            CarrierError: the carrier would not.
        """
        dialled.unwanted = True
        carrier = self._carriers[dialled.wish.carrier]
        if dialled.state is DialState.QUEUED:
            self._close(dialled, EndReason(Why.CANCELLED, Who.OPERATOR))
            self._tasks[dialled.id].cancel()
        elif not dialled.over and dialled.info.call_id and carrier.supports(Control.HANG_UP):
            await self._rest.end_call(carrier, dialled.info)
            self._close(dialled, EndReason(Why.CANCELLED, Who.OPERATOR))

    async def stop(self) -> None:
        """Dial no more; give up what waits, and hang up what rings. Bots' calls go on."""
        self._stopping = True
        pending = [wish for wish in self._wishes.values() if not wish.over and not wish.joined]
        for outcome in await asyncio.gather(*map(self.hang_up, pending), return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("hang-up failed", extra={"error": str(outcome)})
        # What is being placed, or cannot be called off, is waited for a little.
        known = (DialState.PLACING, DialState.PLACED, DialState.RINGING)
        if asked := [self._tasks[wish.id] for wish in pending if wish.state in known]:
            await asyncio.wait(asked, timeout=STOP_S)

    async def close(self) -> None:
        """Let go of everything, once no call is left."""
        await self.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the switchboard tells.

    def heard(self, carrier: str, name: str, notice: Notice) -> Dialled | None:
        """Take down what a verified webhook says of a wish; returns the one it is about."""
        call = notice.call if isinstance(notice, Offered | Ringing | Answered) else None
        call_id = call.call_id if call else getattr(notice, "call_id", "")
        dialled = self.find(name, carrier) or self.find(call_id, carrier)
        if dialled is None or dialled.wish.carrier != carrier:
            return None
        dial_id = call.dial_id if call else getattr(notice, "dial_id", "")
        if not dialled.owns(call_id, dial_id):
            return dialled
        dialled.heard.set()
        if call is not None:
            self._bind(dialled, call)
            ringing = isinstance(notice, Ringing)
            dialled.reach(DialState.RINGING if ringing else DialState.ANSWERED)
        elif isinstance(notice, MachineDetected):
            dialled.machine = notice.result
        elif isinstance(notice, Ended) and not dialled.joined:
            cancelled = EndReason(Why.CANCELLED, Who.OPERATOR, notice.reason.raw)
            self._close(dialled, cancelled if dialled.unwanted else notice.reason)
        return dialled

    def _bind(self, dialled: Dialled, call: CallInfo) -> None:
        dialled.call_id = dialled.call_id or call.call_id
        dialled.dial_id = dialled.dial_id or call.dial_id
        self._by_call[dialled.wish.carrier, dialled.call_id] = dialled

    def left(self, call: CallInfo, reason: EndReason) -> None:
        """A bot's call is over, and this is why."""
        if dialled := self._by_call.get((call.carrier, call.call_id)):
            self._close(dialled, reason)

    # One wish.

    async def _drive(self, dialled: Dialled) -> None:
        carrier = self._carriers[dialled.wish.carrier]
        try:
            await self._place(carrier, dialled)
        except Exception:
            log.exception("dialling failed", extra=_who(dialled))
            self._fail(dialled, "an error of the server's own; see its log")

    async def _place(self, carrier: Carrier, dialled: Dialled) -> None:
        """Try until the call is there, and stay until it is over: so long it counts as one."""
        turns = self._turns_of(carrier)
        doubts = 0
        while doubts < TRIES and not dialled.over:
            ticket = await turns.wait(first=dialled.tries > 0)
            try:
                attempt = Attempt(self._send)
                if await self._try(carrier, dialled, attempt):
                    await self._follow(carrier, dialled)
                    return
                doubts += not attempt.refused
            finally:
                turns.leave(ticket)
        self._fail(dialled, dialled.error or "the carrier could not be asked")

    def _turns_of(self, carrier: Carrier) -> Turns:
        if carrier.name not in self._turns:
            limiter = Limiter(self._rates[carrier.name], self._most)
            self._turns[carrier.name] = Turns(limiter)
        return self._turns[carrier.name]

    async def _try(self, carrier: Carrier, dialled: Dialled, attempt: Attempt) -> bool:
        """Ask the carrier once; whether that settled it."""
        dialled.tries += 1
        dialled.reach(DialState.PLACING)
        flow = carrier.dial(self._order(carrier, dialled))
        try:
            dial_id = await Rest(attempt).run(carrier.name, flow)
        except (TrunklineError, ValueError) as error:
            return await self._failed(dialled, attempt, error)
        self._turns_of(carrier).taken()
        log.info("call placed", extra=_who(dialled))
        if not dialled.call_id:
            dialled.dial_id = dial_id
            self._by_call[carrier.name, dial_id] = dialled
        elif not dialled.owns(dial_id):
            await self._end_twin(carrier, dialled, dial_id)
        dialled.reach(DialState.PLACED)
        return True

    def _order(self, carrier: Carrier, dialled: Dialled) -> Dial:
        wish, name = dialled.wish, carrier.name
        # Where the call streams at once, rather than ask first, this token is what lets it in.
        ticket = Ticket(name, "", "", tag=dialled.id)
        offer = Offer(
            stream_url=self._stream_urls[name],
            token=self._tokens.mint(ticket, within=wish.ring_timeout + MARGIN_S),
            hooks=Hooks(self._hooks[name].base, f"{DIAL}={dialled.id}"),
            audio=self._audio[name],
        )
        return Dial(
            to=wish.to,
            from_=wish.from_,
            offer=offer,
            ring_timeout=wish.ring_timeout,
            max_duration=wish.max_duration,
            detect_machine=wish.detect_machine,
            key=dialled.id,
        )

    async def _failed(self, dialled: Dialled, attempt: Attempt, error: Exception) -> bool:
        """Find out what a request came to that brought no call for sure; whether it is settled."""
        dialled.error = str(error)
        about = _who(dialled) | {"error": str(error)}
        if dialled.heard.is_set():
            return True
        if attempt.refused:
            assert isinstance(error, CarrierError)
            log.info("dialling too fast", extra=about)
            self._turns[dialled.wish.carrier].refused(error.retry_after)
            if self._clock() - dialled.times[DialState.PLACING] < REFUSED_FOR_S:
                dialled.reach(DialState.QUEUED)
                return False
        elif attempt.may_have_placed(error):
            log.warning("whether a call was placed is unknown", extra=about)
            dialled.reach(DialState.UNKNOWN)
            if await self._shows_up(dialled):
                return True
            dialled.reach(DialState.QUEUED)
            return self._taken_back(dialled)
        elif isinstance(error, CarrierError) and error.retryable:
            log.warning("the carrier cannot be asked", extra=about)
            dialled.reach(DialState.QUEUED)
            return self._taken_back(dialled)
        self._fail(dialled, str(error))
        return True

    async def _shows_up(self, dialled: Dialled) -> bool:
        """Whether any webhook proves in time that there is a call."""
        try:
            async with asyncio.timeout(dialled.wish.ring_timeout + MARGIN_S):
                await dialled.heard.wait()
        except TimeoutError:
            return False
        return True

    def _taken_back(self, dialled: Dialled) -> bool:
        if dialled.unwanted:
            self._close(dialled, EndReason(Why.CANCELLED, Who.OPERATOR))
        return dialled.over

    async def _follow(self, carrier: Carrier, dialled: Dialled) -> None:
        """Stay until the call is over. Webhooks tell; where they do not, the carrier is asked."""
        wish = dialled.wish
        if dialled.unwanted and carrier.supports(Control.HANG_UP):
            await self._end(dialled)
        loop = asyncio.get_running_loop()
        latest = loop.time() + wish.ring_timeout + wish.max_duration + 2 * MARGIN_S
        patience = wish.ring_timeout + MARGIN_S
        while not dialled.over:
            try:
                async with asyncio.timeout(None if dialled.joined else patience):
                    await dialled.ended()
            except TimeoutError:
                late = loop.time() >= latest
                if not dialled.joined and (late or await self._is_gone(carrier, dialled)):
                    await self._end(dialled)
            patience = ASK_EVERY_S

    async def _is_gone(self, carrier: Carrier, dialled: Dialled) -> bool:
        """Whether a call of which nothing is heard is over, or may as well be."""
        if not carrier.supports(Control.STATE):
            return DialState.ANSWERED not in dialled.times
        try:
            state = await self._rest.run(carrier.name, carrier.state(dialled.info))
        except TrunklineError as error:
            log.warning("a call's state is unknown", extra=_who(dialled) | {"error": str(error)})
            return False
        return state is CallState.ENDED

    async def _end(self, dialled: Dialled) -> None:
        """Hang up a call that no bot is on, and close the book on it whatever comes of that."""
        carrier = self._carriers[dialled.wish.carrier]
        try:
            await self._rest.end_call(carrier, dialled.info)
        except TrunklineError as error:
            log.error("hang-up failed", extra=_who(dialled) | {"error": str(error)})
        why = Why.CANCELLED if dialled.unwanted else Why.UNKNOWN
        self._close(dialled, EndReason(why, Who.OPERATOR if dialled.unwanted else Who.UNKNOWN))

    async def _end_twin(self, carrier: Carrier, dialled: Dialled, dial_id: str) -> None:
        """Hang up the second call of a wish whose first has been heard of after all."""
        log.warning("a call was placed twice", extra=_who(dialled))
        twin = CallInfo(carrier=carrier.name, call_id=dial_id, dial_id=dial_id)
        try:
            await self._rest.end_call(carrier, twin)
        except TrunklineError as error:
            log.error("hang-up failed", extra=_who(dialled) | {"error": str(error)})

    # How it ends.

    def _fail(self, dialled: Dialled, error: str) -> None:
        if not dialled.over:
            log.error("call not placed", extra=_who(dialled) | {"error": error})
            reason = EndReason(Why.FAILED, Who.CARRIER, error)
            dialled.close(DialState.FAILED, reason, error)
            self._file(dialled)

    def _close(self, dialled: Dialled, reason: EndReason) -> None:
        if not dialled.over:
            log.info("dialled call over", extra=_who(dialled) | {"why": reason.why.value})
            dialled.close(DialState.ENDED, reason)
            self._file(dialled)

    def _file(self, dialled: Dialled) -> None:
        self._past.append(dialled)
        while len(self._past) > KEPT:
            old = self._past.popleft()
            del self._wishes[old.id], self._by_key[old.key]
            for call_id in {old.call_id, old.dial_id} - {""}:
                self._by_call.pop((old.wish.carrier, call_id), None)


def _who(dialled: Dialled) -> dict[str, object]:
    return {"carrier": dialled.wish.carrier, "dial": dialled.id}
