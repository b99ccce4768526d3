"""Calls that we place, at every carrier that can: once each, at its pace, whatever REST says."""

import asyncio
import math
from collections import Counter
from itertools import pairwise

import pytest

from trunkline import carriers
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.errors import Busy, ConfigError, Unsupported
from trunkline.events import MachineDetected, Why
from trunkline.media.formats import L16_8K
from trunkline.rest import NotSent
from trunkline.server import create_app
from trunkline.server.dialled import DialState
from trunkline.server.dialling import KEPT, TRIES
from trunkline.sim.clock import run_virtual
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.measure import speech
from trunkline.sim.network import Unreachable
from trunkline.sim.phone import Phone
from trunkline.sim.program import Callee, Outcome
from trunkline.web import Response

BASE = "https://bot.example.com"
ABLE = [n for n in carriers.names() if carriers.get(n).supports(Control.DIAL)]
every_carrier = pytest.mark.parametrize("carrier", ABLE)
FROM = "+12025550100"
TO = "+12025550123"


async def greeting(call):
    call.play(b"\x00\x20\x00\xe0" * 2000, L16_8K)


def play(carrier, scene, *, bot=greeting, settings=None, wire=None, **options):
    """Run ``scene(server, phone)``; nothing may stay behind."""

    async def main():
        phone = Phone(carrier, base=BASE, clock=asyncio.get_running_loop().time, **options)
        given = {"public_url": BASE, "simulator_url": "http://simulator.test", **(settings or {})}
        loop = asyncio.get_running_loop()
        wires = Wire(phone.send, **(wire or {}))
        app = create_app(bot, Settings(**given), send=wires, clock=loop.time)
        async with phone:
            async with InProcess(app) as phone.network:
                app.state.trunkline.wire = wires
                result = await scene(app.state.trunkline, phone)
            assert phone.exchange.left_open() == []
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"still running: {left}"
        return result

    return run_virtual(main())


@every_carrier
def test_somebody_is_called_and_hears_their_own_bot(carrier):
    seen = []

    async def bot(call):
        seen.append((dict(call.parameters), call.info.tag, call.from_, call.to, call.direction))
        await greeting(call)

    async def nobody(call):
        raise AssertionError("not this bot")

    async def scene(server, phone):
        dialled = server.dial(
            TO, from_=FROM, carrier=carrier, bot=bot, parameters={"name": "Ada", "n": "7"}
        )
        assert await dialled.answered()
        call = await phone.next_call()
        await call.ended(30)
        reason = await dialled.ended()
        return dialled, reason, call

    dialled, reason, call = play(carrier, scene, bot=nobody)
    ((parameters, tag, from_, to, direction),) = seen
    assert {"name": "Ada", "n": "7"}.items() <= parameters.items()
    assert (tag, from_, to, direction) == (dialled.id, FROM, TO, "outbound")
    assert reason.why is Why.COMPLETED
    assert dialled.state is DialState.ENDED
    assert (dialled.call_id, dialled.tries) == (call.id, 1)
    assert list(dialled.times) == sorted(dialled.times, key=list(DialState).index)
    (heard,) = speech(call.heard, 8000)
    assert heard.seconds == pytest.approx(0.5, abs=0.011)


@every_carrier
@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome.BUSY, Why.BUSY),
        (Outcome.NO_ANSWER, Why.NO_ANSWER),
        (Outcome.REJECT, Why.REJECTED),
    ],
)
def test_what_becomes_of_a_call_nobody_takes(carrier, outcome, why):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier, ring_timeout=20)
        assert not await dialled.answered()
        return dialled

    dialled = play(carrier, scene, callee=Callee(outcome=outcome))
    assert dialled.state is DialState.ENDED
    assert DialState.ANSWERED not in dialled.times
    # Some carriers have no word of their own for being declined.
    assert dialled.reason.why in {
        why,
        *([Why.BUSY, Why.NO_ANSWER, Why.FAILED] if why is Why.REJECTED else []),
    }


# --- a thousand calls ------------------------------------------------------------------------

# Three requests in ten go wrong, each in one of five ways; two of these are carried out.
BAD_REST = Faults(
    seed=11,
    rest_limited=0.07,
    rest_refused=0.07,
    rest_error=0.07,
    rest_error_done=0.07,
    rest_lost=0.07,
)


def numbers(count):
    return [f"+1202{5550000 + n}" for n in range(count)]


def most_within(times, seconds):
    """The most that any window of so many seconds holds, its end excluded."""
    times, most, first = sorted(times), 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds - 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@every_carrier
def test_a_thousand_calls_though_rest_fails_three_times_in_ten(carrier):
    async def scene(server, phone):
        wishes = [
            server.dial(to, from_=FROM, carrier=carrier, key=f"order {to}", ring_timeout=10)
            for to in numbers(1000)
        ]
        # Asked for again, by somebody who did not hear the first time: nothing comes of that.
        for to in numbers(1000):
            server.dial(to, from_=FROM, carrier=carrier, key=f"order {to}", ring_timeout=10)
        for wish in wishes:
            await wish.ended()
        return wishes, list(drained(phone.exchange.placed)), phone.exchange.requests

    wishes, placed, requests = play(
        carrier,
        scene,
        settings={"max_dialled": 1000},
        faults=BAD_REST,
        callee=Callee(outcome=Outcome.BUSY, ring_s=3),
        keep_audio=False,
    )
    called = Counter(line.info.to for line in placed)
    assert called == Counter(numbers(1000))  # none twice, none forgotten
    assert {wish.state for wish in wishes} == {DialState.ENDED}
    assert {wish.reason.why for wish in wishes} == {Why.BUSY}
    (path, _), *_ = Counter(r.path for r in requests if r.method == "POST").most_common(1)
    asked = [r.at for r in requests if r.path == path]
    assert len(asked) > 1000
    rate = carriers.get(carrier).dial_rate
    for times in (asked, [line.began for line in placed]):
        assert most_within(times, 1) <= math.ceil(rate)
        assert most_within(times, 60) <= 60 * rate


@every_carrier
def test_calls_that_are_answered_while_rest_fails(carrier):
    joined = Counter()

    async def bot(call):
        joined[call.parameters["to"]] += 1
        await greeting(call)

    async def scene(server, phone):
        wishes = [
            server.dial(to, from_=FROM, carrier=carrier, bot=bot, parameters={"to": to})
            for to in numbers(60)
        ]
        reasons = [await wish.ended() for wish in wishes]
        await asyncio.sleep(60)
        return reasons, Counter(line.info.to for line in drained(phone.exchange.placed))

    reasons, called = play(carrier, scene, faults=BAD_REST, keep_audio=False)
    assert called == joined == Counter(numbers(60))
    assert {reason.why for reason in reasons} == {Why.COMPLETED}


def drained(queue):
    while not queue.empty():
        yield queue.get_nowait()


# --- whether there is a call -----------------------------------------------------------------


class Wire:
    """Between server and carrier: does to the nth dial request what it is told to."""

    def __init__(self, send, **done):
        self._send = send
        self._done = {int(name[1:]): what for name, what in done.items()}
        self.dials = []
        self.cut = False

    async def __call__(self, carrier, request):
        if self.cut:
            raise NotSent("ConnectError")
        if request.repeatable:
            return await self._send(carrier, request)
        self.dials.append(asyncio.get_running_loop().time())
        what = self._done.get(len(self.dials))
        if isinstance(what, Response):
            return what
        if what is NotSent:
            raise NotSent("ConnectError")
        if isinstance(what, LookupError):
            raise what
        if what == "lost before":
            raise TimeoutError
        if isinstance(what, tuple) and what[0] == "late":
            self._later = asyncio.create_task(self._keep(carrier, request, what[1]))
            raise TimeoutError
        if isinstance(what, tuple) and what[0] == "slow":
            await asyncio.sleep(what[1])
        response = await self._send(carrier, request)
        if what == "lost after":
            raise TimeoutError
        if isinstance(what, tuple) and what[0] == "answered late":
            await asyncio.sleep(what[1])
        return Response(response.status, {}, b"{") if what == "garbled" else response

    async def _keep(self, carrier, request, seconds):
        await asyncio.sleep(seconds)
        await self._send(carrier, request)


@every_carrier
@pytest.mark.parametrize("what", ["lost after", "garbled"])
def test_an_answer_that_is_lost_is_made_up_for_by_a_webhook(carrier, what):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier)
        assert await dialled.answered()
        await dialled.ended()
        return dialled, phone.exchange.placed.qsize()

    dialled, placed = play(carrier, scene, wire={"n1": what})
    assert (dialled.tries, placed) == (1, 1)
    assert dialled.reason.why is Why.COMPLETED


@every_carrier
def test_webhooks_that_come_before_the_answer_change_nothing(carrier):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier)
        assert await dialled.answered()
        await dialled.ended()
        return dialled, phone.exchange.placed.qsize()

    dialled, placed = play(carrier, scene, wire={"n1": ("answered late", 4.0)})
    assert (dialled.tries, placed) == (1, 1)
    assert dialled.reason.why is Why.COMPLETED


@every_carrier
def test_where_no_webhook_comes_the_call_is_placed_again(carrier):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier, ring_timeout=20)
        assert await dialled.answered()
        await dialled.ended()
        return dialled, server.wire.dials

    faults = {"n1": "lost before", "n2": Response(503), "n3": Response(408)}
    dialled, dials = play(carrier, scene, wire=faults)
    assert dialled.tries == 4
    # No call rings longer than 20 s; its webhook may take 10 s more.
    assert [b - a for a, b in pairwise(dials)] == pytest.approx([30, 30, 30], abs=2)


def test_a_carrier_that_never_answers_is_given_up():
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0], ring_timeout=5)
        assert not await dialled.answered()
        return dialled

    dialled = play(ABLE[0], scene, wire={f"n{n}": "lost before" for n in range(1, 99)})
    assert dialled.state is DialState.FAILED
    assert dialled.reason.why is Why.FAILED
    assert "no answer" in dialled.error
    assert dialled.tries == TRIES


@every_carrier
def test_a_carrier_that_cannot_be_reached_is_asked_again_at_once(carrier):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier, ring_timeout=60)
        assert await dialled.answered()
        await dialled.ended()
        return dialled.times, server.wire.dials

    times, dials = play(carrier, scene, wire={f"n{n}": NotSent for n in range(1, 8)})
    assert len(dials) == 8
    assert times[DialState.ANSWERED] - times[DialState.QUEUED] < 30


@every_carrier
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_a_refusal_is_final_and_says_why(carrier, status):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier)
        assert not await dialled.answered()
        return dialled, server.wire.dials

    dialled, dials = play(carrier, scene, wire={f"n{n}": Response(status) for n in range(1, 9)})
    assert dialled.state is DialState.FAILED
    assert f"HTTP {status}" in dialled.error
    assert dialled.reason.raw == dialled.error
    assert len(dials) <= 2  # a token that has run out is worth another try


def test_one_refusal_for_the_rate_slows_everybody_down():
    async def scene(server, phone):
        wishes = [server.dial(to, from_=FROM, carrier=ABLE[0]) for to in numbers(6)]
        for wish in wishes:
            await wish.ended()
        return server.wire.dials, [wish.tries for wish in wishes]

    faults = {"n3": Response(429, {"retry-after": "7"}), "n4": Response(429)}
    dials, tries = play(ABLE[0], scene, wire=faults)
    gap = 1 / carriers.get(ABLE[0]).dial_rate
    gaps = [b - a for a, b in pairwise(dials)]
    assert gaps == pytest.approx([gap, gap, 7, 2, gap, gap, gap], abs=0.01)
    assert tries == [1, 1, 3, 1, 1, 1]


def test_a_carrier_that_refuses_for_ten_minutes_is_given_up():
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0])
        await dialled.ended()
        return dialled

    dialled = play(ABLE[0], scene, wire={f"n{n}": Response(429) for n in range(1, 99)})
    assert dialled.state is DialState.FAILED
    assert "no more calls" in dialled.error
    waited = dialled.times[DialState.FAILED] - dialled.times[DialState.QUEUED]
    assert 600 <= waited < 640


@every_carrier
@pytest.mark.parametrize(
    "wire",
    [{"n1": ("late", 45.0)}, {"n1": ("late", 36.0), "n2": ("slow", 8.0)}],
    ids=["second first", "first first"],
)
def test_a_call_that_was_placed_twice_after_all_reaches_one_bot(carrier, wire):
    """The carrier keeps a request for itself, and carries it out when nobody thinks so any more."""
    bots = []

    async def bot(call):
        bots.append(call.id)
        await asyncio.sleep(30)

    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier, bot=bot, ring_timeout=20)
        assert await dialled.answered()
        await dialled.ended()
        await asyncio.sleep(60)
        return dialled, list(drained(phone.exchange.placed))

    dialled, placed = play(carrier, scene, wire=wire)
    assert dialled.tries == 2
    assert len(placed) == 2
    assert bots == [dialled.call_id]
    (twin,) = [line for line in placed if line.info.call_id != dialled.call_id]
    assert twin.idle_s < 15


@every_carrier
def test_a_call_whose_webhooks_are_all_lost_is_asked_for(carrier):
    async def scene(server, phone):
        phone.network = Deaf()
        dialled = server.dial(TO, from_=FROM, carrier=carrier, ring_timeout=10)
        reason = await dialled.ended()
        return dialled, reason, await phone.next_call()

    dialled, reason, call = play(carrier, scene, callee=Callee(ring_s=4))
    assert dialled.state is DialState.ENDED
    assert reason.why is Why.UNKNOWN
    assert dialled.times[DialState.ENDED] - dialled.times[DialState.PLACED] < 60
    assert call.reason is not None


def test_a_call_of_which_nothing_can_be_learned_is_given_up_at_last():
    """No webhook comes, and the carrier answers no question: a record is not kept open for ever."""

    async def scene(server, phone):
        phone.network = Deaf()
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0], ring_timeout=10, max_duration=60)
        while dialled.state is not DialState.PLACED:
            await asyncio.sleep(0.1)
        server.wire.cut = True
        reason = await dialled.ended()
        server.wire.cut = False
        return dialled, reason

    dialled, reason = play(ABLE[0], scene)
    assert reason.why is Why.UNKNOWN
    lasted = dialled.times[DialState.ENDED] - dialled.times[DialState.PLACED]
    assert 10 + 60 <= lasted < 10 + 60 + 120


class Deaf:
    """A network on which the server cannot be reached."""

    async def request(self, request):
        raise Unreachable("nobody there")

    async def connect(self, upgrade):
        raise Unreachable("nobody there")


# --- taken back, and at the end --------------------------------------------------------------


@every_carrier
def test_a_call_that_rings_while_the_server_stops_is_hung_up(carrier):
    async def scene(server, phone):
        first, *waiting = [server.dial(to, from_=FROM, carrier=carrier) for to in numbers(3000)]
        while first.state not in (DialState.PLACED, DialState.RINGING):
            await asyncio.sleep(0.1)
        call = await phone.next_call()
        await server.switchboard.drain(10)
        with pytest.raises(Busy, match="stopping"):
            server.dial(TO, from_=FROM, carrier=carrier)
        await call.ended()
        return first, waiting, call

    async def bot(call):
        raise AssertionError("nobody may be called any more")

    first, waiting, call = play(carrier, scene, bot=bot, callee=Callee(ring_s=12))
    for wish in (first, *waiting):
        assert wish.state is DialState.ENDED
        assert wish.reason.why is Why.CANCELLED
    assert call.reason is not None
    assert call.line.idle_s < 1


def test_a_call_being_placed_while_the_server_stops_is_hung_up():
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0])
        await asyncio.sleep(1)
        assert dialled.state is DialState.PLACING
        await server.switchboard.drain(0)
        return dialled, await phone.next_call()

    dialled, call = play(ABLE[0], scene, wire={"n1": ("slow", 3.0)}, callee=Callee(ring_s=25))
    assert dialled.reason.why is Why.CANCELLED
    assert call.reason is not None


def test_a_server_that_cannot_hang_up_stops_all_the_same(caplog):
    async def scene(server, phone):
        server.dial(TO, from_=FROM, carrier=ABLE[0])
        await asyncio.sleep(1)
        server.wire.cut = True
        await server.switchboard.drain(0)
        await (await phone.next_call()).hang_up()

    play(ABLE[0], scene, callee=Callee(ring_s=25))
    assert "hang-up failed" in caplog.text


def test_a_wish_taken_back_while_nobody_knows_is_not_tried_again():
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0])
        await asyncio.sleep(1)
        assert dialled.state is DialState.UNKNOWN
        await server.dialler.hang_up(dialled)
        reason = await dialled.ended()
        await server.dialler.hang_up(dialled)
        return dialled, reason

    dialled, reason = play(ABLE[0], scene, wire={"n1": "lost before"})
    assert reason.why is Why.CANCELLED
    assert dialled.tries == 1


@every_carrier
def test_a_wish_taken_back_while_nobody_knows_is_hung_up_when_it_shows(carrier):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier)
        await asyncio.sleep(0.5)
        await server.dialler.hang_up(dialled)
        assert not await dialled.answered() or dialled.unwanted
        await dialled.ended()
        return dialled, await phone.next_call()

    dialled, call = play(carrier, scene, wire={"n1": "lost after"}, callee=Callee(ring_s=3))
    assert call.line.streams == [] or call.line.streams[0].closed.done()
    assert call.reason is not None
    assert dialled.tries == 1


# --- how many, by whom, to whom --------------------------------------------------------------


def test_no_more_calls_are_up_at_once_than_may_be():
    up = []

    async def bot(call):
        up.append(call)
        assert len(up) <= 2
        await asyncio.sleep(60)
        up.remove(call)

    async def scene(server, phone):
        wishes = [server.dial(to, from_=FROM, carrier=ABLE[0]) for to in numbers(5)]
        for wish in wishes:
            assert await wish.answered()
            assert (await wish.ended()).why is Why.COMPLETED

    play(ABLE[0], scene, bot=bot, settings={"max_dialled": 2})


@pytest.mark.parametrize("machine", ["human", "machine"])
@every_carrier
def test_what_answered_is_known_to_bot_and_record(carrier, machine):
    told = []

    async def bot(call):
        call.on(lambda event: told.append(event) if isinstance(event, MachineDetected) else None)
        await asyncio.sleep(5)

    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=carrier, bot=bot, detect_machine=True)
        await dialled.ended()
        return dialled

    dialled = play(carrier, scene, callee=Callee(machine=machine))
    if dialled.machine or told:  # some carriers have no detection, or tell of machines only
        assert dialled.machine == machine
        assert [event.result for event in told] == [machine]


def test_a_carrier_may_be_left_out_where_there_is_one_only():
    async def scene(server, phone):
        with pytest.raises(ConfigError, match="say which carrier"):
            server.dial(TO, from_=FROM)
        with pytest.raises(ConfigError, match="'nobody'"):
            server.dial(TO, from_=FROM, carrier="nobody")

    play(ABLE[0], scene)


def test_a_carrier_that_cannot_dial_says_so():
    unable = [n for n in carriers.names() if n not in ABLE]

    async def scene(server, phone):
        for name in unable:
            with pytest.raises(Unsupported):
                server.dial(TO, from_=FROM, carrier=name)

    play(ABLE[0], scene)


def test_a_key_stands_for_one_wish():
    async def scene(server, phone):
        first = server.dial(TO, from_=FROM, carrier=ABLE[0], key="order 7")
        assert server.dial(TO, from_=FROM, carrier=ABLE[0], key="order 7") is first
        with pytest.raises(ValueError, match="another call"):
            server.dial("+12025550124", from_=FROM, carrier=ABLE[0], key="order 7")
        for bad in ("x" * 256, "a\nb", "é"):
            with pytest.raises(ValueError, match="printable"):
                server.dial(TO, from_=FROM, carrier=ABLE[0], key=bad)
        await first.ended()
        assert server.dial(TO, from_=FROM, carrier=ABLE[0], key="order 7") is first
        ids = {server.dial(TO, from_=FROM, carrier=ABLE[0]).id for _ in range(20)}
        assert len(ids) == 20
        assert min(map(len, ids)) >= 16
        for wish in server.dialler.wishes:
            await server.dialler.hang_up(wish)

    play(ABLE[0], scene)


@pytest.mark.parametrize(
    "changed",
    [
        {"to": "2025550123"},
        {"to": "+0"},
        {"from_": ""},
        {"ring_timeout": 4},
        {"ring_timeout": 121},
        {"max_duration": 59},
        {"max_duration": 14_401},
    ],
)
def test_what_could_never_be_dialled_is_refused_at_once(changed):
    async def scene(server, phone):
        with pytest.raises(ValueError, match=r"\+12025550123|seconds"):
            server.dial(**({"to": TO, "from_": FROM, "carrier": ABLE[0]} | changed))

    play(ABLE[0], scene)


def test_only_so_many_wishes_are_remembered():
    async def scene(server, phone):
        first = server.dial(TO, from_=FROM, carrier=ABLE[0], key="the first")
        await first.ended()
        for to in numbers(KEPT):
            await server.dialler.hang_up(server.dial(to, from_=FROM, carrier=ABLE[0]))
            await asyncio.sleep(0)
        assert server.dialler.find(first.id) is None
        assert server.dialler.find(first.call_id, ABLE[0]) is None
        assert len(server.dialler.wishes) == KEPT
        again = server.dial(TO, from_=FROM, carrier=ABLE[0], key="the first")
        assert again is not first
        await server.dialler.hang_up(again)

    play(ABLE[0], scene)


def test_a_fault_of_the_servers_own_fails_the_wish_and_is_logged(caplog):
    async def scene(server, phone):
        dialled = server.dial(TO, from_=FROM, carrier=ABLE[0])
        assert not await dialled.answered()
        return dialled

    dialled = play(ABLE[0], scene, wire={"n1": LookupError("a mistake")})
    assert dialled.state is DialState.FAILED
    assert "its log" in dialled.error
    assert "a mistake" in caplog.text
