"""The whole way, for every carrier found: webhook, answer, socket, audio, REST, status webhook.

The simulator is the carrier, the server is the server, and no carrier is named. All in virtual
time and in one process; what is asserted is what the caller heard and what the carrier was told.
"""

import asyncio
import math
import struct
import time

import pytest

from trunkline import carriers
from trunkline.bots import echo
from trunkline.carrier import Control, Dial, Hooks, Offer
from trunkline.config import Settings
from trunkline.events import Clear, Digit, Digits, Why
from trunkline.media.formats import L16_8K
from trunkline.media.tones import DtmfDetector
from trunkline.rest import Rest
from trunkline.server import create_app
from trunkline.server.tokens import MemoryUsed, Ticket, Tokens
from trunkline.sim.clock import run_virtual
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.measure import speech
from trunkline.sim.phone import Phone
from trunkline.sim.program import Callee, Outcome, Party

BASE = "https://bot.example.com"
NAMES = carriers.names()
every_carrier = pytest.mark.parametrize("carrier", NAMES)


def able(*controls):
    """The carriers that can do all of this."""
    return [
        name for name in NAMES if all(carriers.get(name).supports(control) for control in controls)
    ]


# Whose transfers, when they fail, ask our webhook how to go on.
comes_back = [name for name in able(Control.TRANSFER) if carriers.get(name).asks_after]


def tone(ms, hz=300):
    wave = (round(8000 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(8 * ms))
    return struct.pack(f"<{8 * ms}h", *wave)


def play(carrier, bot, scene, *, settings=None, **options):
    """Run ``scene(phone)`` with a server that answers with ``bot``; nothing may stay behind."""

    async def main():
        phone = Phone(carrier, base=BASE, **options)
        given = {"public_url": BASE, "simulator_url": "http://simulator.test", **(settings or {})}
        app = create_app(bot, Settings(**given), send=phone.send)
        phone.app = app
        async with InProcess(app) as phone.network, phone:
            result = await scene(phone)
            assert phone.exchange.left_open() == []
            assert app.state.trunkline.switchboard.calls == []
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"still running: {left}"
        return result

    return run_virtual(main())


async def settled(call, within=60.0):
    """Until the call is over on both sides, the server's tidying up included."""
    await call.ended(within)
    await asyncio.sleep(5)
    return call


def greeting(ms=1000):
    """A bot that says something and is done."""

    async def bot(call):
        call.play(tone(ms), L16_8K)

    return bot


async def listener(call):
    """A bot that only listens."""
    async for _ in call:
        pass


@every_carrier
def test_echo_is_heard_at_once_and_whole(carrier):
    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(1)
        await call.say(tone(1000))
        await asyncio.sleep(1)
        await call.hang_up()
        return await settled(call)

    call = play(carrier, echo.bot, scene)
    record = call.record()
    (said,) = speech(record.caller, record.rate)
    (heard,) = speech(record.bot, record.rate)
    # A frame comes 20 ms after it began, and leaves in a message that may have to be full; a
    # resampler may hold back 2 ms.
    rule = carriers.get(carrier).frame
    assert heard.start - said.start <= 0.025 + (rule.ms if rule.whole else 20) / 1000
    assert heard.seconds == pytest.approx(said.seconds, abs=0.011)
    assert call.holes == []
    assert call.complaints == []
    assert call.how is How.CALLER


@every_carrier
def test_a_bot_that_is_done_hangs_up_when_it_has_been_heard(carrier):
    async def scene(phone):
        call = await phone.call()
        await settled(call)
        return call, phone.exchange.requests

    call, requests = play(carrier, greeting(1500), scene)
    record = call.record()
    (heard,) = speech(record.bot, record.rate)
    assert heard.seconds == pytest.approx(1.5, abs=0.011)
    over = next(m.at for m in record.moments if m.kind == "hang_up")
    assert over >= heard.end
    assert over - heard.end < 1.0
    if carrier in able(Control.HANG_UP):
        assert call.how is How.REST
        assert requests
        assert all(r.status < 300 for r in requests)
    assert call.complaints == []


@every_carrier
def test_a_bot_that_fails_leaves_nobody_on_the_line(carrier, caplog):
    async def bot(call):
        await asyncio.sleep(1)
        raise LookupError("the bot's own mistake")

    async def scene(phone):
        call = await phone.call()
        return await settled(call)

    call = play(carrier, bot, scene)
    assert call.line.idle_s < 2
    assert "the bot's own mistake" in caplog.text
    if carrier in able(Control.HANG_UP):
        assert call.how is How.REST


@every_carrier
def test_a_caller_who_hangs_up_ends_the_bot(carrier):
    ended = []

    async def bot(call):
        await listener(call)
        ended.append(call.ended)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(2)
        await call.hang_up()
        return await settled(call)

    play(carrier, bot, scene)
    assert [reason.why for reason in ended] == [Why.COMPLETED]


@every_carrier
def test_barge_in(carrier):
    async def bot(call):
        call.play(tone(10_000), L16_8K)
        async for pcm in call.audio(L16_8K):
            if max(struct.unpack(f"<{len(pcm) // 2}h", pcm)) > 1000:
                call.clear()
                break
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        start = await call.wait_for_speech()
        await asyncio.sleep(3 - (call.now - start))
        await call.say(tone(500))
        await asyncio.sleep(1)
        await call.hang_up()
        return await settled(call)

    call = play(carrier, bot, scene)
    record = call.record()
    (said,) = speech(record.caller, record.rate)
    (heard,) = speech(record.bot, record.rate)
    if Clear in carriers.get(carrier).says:
        assert heard.end - said.start <= 0.06
    else:
        assert heard.end - said.start <= 0.2
    assert call.holes == []


@every_carrier
def test_a_socket_that_is_torn_off_is_replaced_or_the_call_is_ended(carrier):
    heard = []

    async def bot(call):
        call.listen(heard.append)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(10)
        if call.reason is None:
            await call.hang_up()
        return await settled(call)

    call = play(carrier, bot, scene, faults=Faults(drop_after=2.0))
    streams = call.line.streams
    assert call.how is How.CALLER or not carriers.get(carrier).reconnects
    if call.how is How.CALLER:
        assert len(streams) == 2
        # The one bot went on hearing: but for the moment in between, all ten seconds.
        assert sum(map(len, heard)) >= 0.9 * sum(s.frames_sent * len(heard[0]) for s in streams)
    else:
        assert call.how is (How.REST if carrier in able(Control.HANG_UP) else How.DOCUMENT)
    assert call.line.idle_s < 5


@every_carrier
def test_sockets_that_are_torn_off_again_and_again_end_the_call(carrier):
    async def scene(phone):
        call = await phone.call()
        await settled(call, 120)
        return call

    call = play(carrier, listener, scene, faults=Faults(drop_after=1.0, drops=1000))
    assert call.line.idle_s < 30


@every_carrier
@pytest.mark.parametrize("fault", ["stall_after", "mute_after"])
def test_a_carrier_that_stalls_or_falls_silent_ends_the_call(carrier, fault):
    async def bot(call):
        while call.ended is None:
            await call.play(tone(5000), L16_8K).wait()

    async def scene(phone):
        call = await phone.call()
        await settled(call, 120)
        return call

    call = play(carrier, bot, scene, faults=Faults(**{fault: 3.0}), settings={"no_media": 10.0})
    if carrier in able(Control.HANG_UP):
        assert call.how is How.REST


@every_carrier
def test_webhooks_that_come_thrice_make_one_call(carrier):
    bots = []

    async def bot(call):
        bots.append(call.id)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(2)
        assert len(call.line.streams) == 1
        await call.hang_up()
        return await settled(call)

    call = play(carrier, bot, scene, faults=Faults(repeat_webhook=3))
    assert bots == [call.id]


@every_carrier
def test_a_start_that_comes_twice_makes_one_call(carrier):
    bots = []

    async def bot(call):
        bots.append(call.id)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(2)
        assert call.line.stream is not None
        await call.hang_up()
        return await settled(call)

    call = play(carrier, bot, scene, faults=Faults(repeat_start=True))
    assert bots == [call.id]


@every_carrier
@pytest.mark.parametrize(
    "faults",
    [
        Faults(forged_token=True),
        Faults(forged_call_id="c-0123456789abcdef"),
        Faults(forged_signature=True),
    ],
    ids=["token", "call id", "signature"],
)
def test_lies_reach_no_bot_and_leave_no_call_open(carrier, faults):
    bots = []

    async def bot(call):
        bots.append(call.id)

    async def scene(phone):
        call = phone.dial()
        return await settled(call, 60)

    kind = carriers.get(carrier)
    if faults.forged_signature and not (kind.signs_webhooks or kind.signs_upgrade):
        pytest.skip("this carrier proves nothing")
    call = play(carrier, bot, scene, faults=faults)
    assert bots == []
    assert call.line.idle_s < 30


@every_carrier
def test_audio_that_is_lost_doubled_swapped_and_late_breaks_nothing(carrier):
    heard = []

    async def bot(call):
        call.listen(heard.append, L16_8K)
        call.play(tone(3000), L16_8K)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await call.say(tone(3000))
        await asyncio.sleep(2)
        await call.hang_up()
        return await settled(call)

    faults = Faults(lose=0.05, duplicate=0.05, reorder=0.05, delay_ms=60, jitter_ms=60)
    call = play(carrier, bot, scene, faults=faults)
    assert len(b"".join(heard)) > 16_000 * 4
    record = call.record()
    assert sum(s.seconds for s in speech(record.bot, record.rate)) == pytest.approx(3, abs=0.02)
    assert call.holes == []  # late, all of it, by less than the lead
    assert call.complaints == []


@every_carrier
def test_keys_reach_the_bot(carrier):
    keys = []

    async def bot(call):
        call.on(lambda event: keys.append(event.digit) if isinstance(event, Digit) else None)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await call.press("12#")
        await asyncio.sleep(1)
        await call.hang_up()
        return await settled(call)

    play(carrier, bot, scene)
    assert keys == ["1", "2", "#"]


@pytest.mark.parametrize(
    "carrier",
    [n for n in NAMES if n in able(Control.SEND_DIGITS) or Digits in carriers.get(n).says],
)
def test_keys_from_the_bot_are_heard_and_the_call_goes_on(carrier):
    async def bot(call):
        await asyncio.sleep(1)
        await call.send_digits("42")
        await asyncio.sleep(3)
        call.play(tone(500), L16_8K)
        await listener(call)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(8)
        assert call.line.stream is not None
        await call.hang_up()
        return await settled(call)

    call = play(carrier, bot, scene)
    assert DtmfDetector(L16_8K).push(call.heard) == "42"
    *_, last = speech(call.heard, 8000)
    assert last.seconds == pytest.approx(0.5, abs=0.011)


@pytest.mark.parametrize("carrier", able(Control.TRANSFER))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_transfer_takes_the_call_away_and_leaves_nobody_behind(carrier, outcome):
    async def bot(call):
        await asyncio.sleep(1)
        await call.transfer("+12025550155")

    async def scene(phone):
        call = await phone.call()
        return await settled(call, 120)

    call = play(carrier, bot, scene, party=Party(outcome=outcome, talk_s=20))
    (moment,) = [m for m in call.record().moments if m.kind == "transfer"]
    assert moment.text == outcome.value
    assert call.line.idle_s < 5
    over = next(m.at for m in call.record().moments if m.kind == "hang_up")
    assert (over - moment.at >= 20) == (outcome is Outcome.ANSWER)


@pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.NO_ANSWER, Outcome.ANSWER])
@pytest.mark.parametrize("carrier", comes_back)
def test_a_transfer_that_fails_brings_the_caller_back_to_the_bot(carrier, outcome):
    results = []

    async def bot(call):
        await asyncio.sleep(1)
        results.append(await call.transfer("+12025550155"))
        if call.ended is None:
            call.play(tone(1000), L16_8K)
        else:
            results.append(call.ended.why)

    async def scene(phone):
        call = await phone.call()
        return await settled(call, 120)

    call = play(carrier, bot, scene, party=Party(outcome=outcome, talk_s=20))
    record = call.record()
    if outcome is Outcome.ANSWER:
        assert results == [Why.COMPLETED, Why.TRANSFERRED]
        assert speech(record.bot, record.rate) == []
    else:
        assert results == [Why(outcome.value)]
        (heard,) = speech(record.bot, record.rate)
        assert heard.seconds == pytest.approx(1.0, abs=0.05)
        (moment,) = [m for m in record.moments if m.kind == "transfer"]
        # The other party rings for two seconds first; then the bot is back within two.
        assert heard.start - moment.at <= 2 + 2
        assert call.how is How.REST


@pytest.mark.parametrize("carrier", able(Control.TRANSFER))
def test_a_server_that_stops_does_not_cut_off_whom_it_transferred(carrier):
    async def bot(call):
        await asyncio.sleep(1)
        await call.transfer("+12025550155")

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(10)
        await phone.app.state.trunkline.switchboard.drain(0.0)
        await asyncio.sleep(1)
        up = call.reason is None
        await call.hang_up()
        await settled(call)
        return up

    assert play(carrier, bot, scene, party=Party(talk_s=600))


@pytest.mark.parametrize("carrier", able(Control.HANG_UP))
def test_no_call_stays_open_though_rest_fails_a_third_of_the_time(carrier):
    async def scene(phone):
        calls = [await phone.call() for _ in range(20)]
        for call in calls:
            await call.ended(60)
        await asyncio.sleep(30)
        return calls

    calls = play(
        carrier, greeting(200), scene, faults=Faults(rest_refused=0.2, rest_lost=0.1, seed=3)
    )
    assert {call.how for call in calls} <= {How.REST, How.VERB}
    assert max(call.line.idle_s for call in calls) < 20


@every_carrier
def test_beyond_its_limit_a_server_says_busy(carrier):
    async def scene(phone):
        first = await phone.call()
        second = await phone.call()
        assert second.reason is not None
        assert second.line.streams == []
        await first.hang_up()
        await settled(first)
        return second

    play(carrier, listener, scene, settings={"max_calls": 1})


@every_carrier
def test_a_call_that_lasts_too_long_is_ended(carrier):
    async def scene(phone):
        call = await phone.call()
        return await settled(call, 300)

    call = play(carrier, listener, scene, settings={"max_duration": 60.0})
    over = next(m.at for m in call.record().moments if m.kind == "hang_up")
    assert 60 <= over <= 61
    if carrier in able(Control.HANG_UP):
        assert call.how is How.REST


@every_carrier
def test_a_hundred_calls_at_once(carrier):
    async def scene(phone):
        calls = await asyncio.gather(*(phone.call() for _ in range(100)))
        await asyncio.gather(*(call.say(tone(200)) for call in calls))
        await asyncio.sleep(0.5)
        await asyncio.gather(*(call.hang_up() for call in calls))
        await settled(calls[-1])
        return calls

    calls = play(carrier, echo.bot, scene)
    for call in calls:
        (heard,) = speech(call.heard, 8000)
        assert heard.seconds == pytest.approx(0.2, abs=0.011)
    assert [hole for call in calls for hole in call.holes] == []


@pytest.mark.parametrize("carrier", able(Control.DIAL))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_call_to_somebody(carrier, outcome):
    hooks = Hooks(f"{BASE}/{carrier}")
    kind = carriers.get(carrier)
    offer = Offer(
        stream_url=f"wss://bot.example.com/{carrier}/media",
        token=Tokens(("s",), 60.0, time.time, MemoryUsed(time.time)).mint(
            Ticket(carrier, "", "", "wish-1"), within=15
        ),
        hooks=hooks,
        audio=kind.outbound[0],
    )
    wish = Dial(to="+12025550123", from_="+12025550100", offer=offer, ring_timeout=15, key="wish-1")

    async def scene(phone):
        ours = kind(kind.examples())
        dial_id = await Rest(phone.send).run(carrier, ours.dial(wish))
        call = await phone.next_call()
        assert dial_id in (call.id, call.info.dial_id)
        assert call.info.to == "+12025550123"
        await settled(call, 60)
        return call

    call = play(
        carrier,
        greeting(500),
        scene,
        callee=Callee(outcome=outcome, ring_s=3),
        settings={"secret": ("s",)},
    )
    if outcome is Outcome.ANSWER:
        # Where nothing else ends a call, its document does, when we close the socket.
        hung_up = (How.REST, How.VERB) if carrier in able(Control.HANG_UP) else (How.DOCUMENT,)
        assert call.how in hung_up
        (heard,) = speech(call.heard, 8000)
        assert heard.start >= 3
        assert heard.seconds == pytest.approx(0.5, abs=0.011)
    else:
        assert call.how is How.UNANSWERED
        assert call.line.streams == []
    assert call.complaints == []
