"""The carrier's REST side: orders to calls, and what is known of calls that are over."""

import asyncio

import msgspec
import pytest

from trunkline.events import (
    CallState,
    Who,
    Why,
)
from trunkline.media.formats import L16_8K
from trunkline.media.tones import DtmfDetector
from trunkline.sim.exchange import REMEMBERED
from trunkline.sim.faults import Faults
from trunkline.sim.line import How
from trunkline.sim.network import Unreachable

from .acme import STREAM, Server, echo, order, play


def test_hanging_up_over_rest():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        response = await phone.send("acme", order("hangup", id=call.id))
        assert response.json() == {"id": call.id, "state": "ended", "tag": ""}
        await call.ended(1)
        assert (await phone.send("acme", order("state", id=call.id))).json()["state"] == "ended"
        assert (await phone.send("acme", order("hangup", id=call.id))).status == 200
        assert (await phone.send("acme", order("state", id="nobody"))).status == 404
        assert phone.exchange.left_open() == []
        return call, phone.exchange.requests

    call, requests = play(server, scene)
    assert (call.how, call.reason.who) == (How.REST, Who.BOT)
    assert [(r.path, r.status) for r in requests] == [
        ("/v1/hangup", 200),
        ("/v1/state", 200),
        ("/v1/hangup", 200),
        ("/v1/state", 404),
    ]


def test_hanging_up_over_rest_while_it_rings_cancels():
    server = Server(("pause", {"seconds": "inf"}))

    async def scene(phone):
        call = phone.dial()
        await asyncio.sleep(1)
        assert call.state is CallState.RINGING
        await phone.send("acme", order("hangup", id=call.id))
        await call.ended(1)
        return call

    assert play(server, scene).reason.why is Why.CANCELLED


def test_a_call_answered_by_rest():
    server = Server(("pause", {"seconds": "inf"}), bot=echo)

    async def scene(phone):
        call = phone.dial()
        await asyncio.sleep(1)
        assert call.state is CallState.RINGING
        steps = [["openstream", {"url": "wss://bot.test/media", "blocking": False}]]
        steps.append(["pause", {"seconds": "inf"}])
        await phone.send("acme", order("do", id=call.id, steps=steps))
        assert await call.answered(1)
        await asyncio.sleep(2)
        await call.line.stream._connection.close()
        await asyncio.sleep(30)
        assert call.state is CallState.ACTIVE
        assert phone.exchange.left_open() == [call.line]
        await call.hang_up()
        return call

    # For half a minute the line was open and nobody was there.
    assert play(server, scene).line.idle_s == pytest.approx(30, abs=0.1)


def test_an_order_replaces_what_the_call_does_and_may_keep_the_stream():
    server = Server(STREAM, ("hangup", {}))

    async def scene(phone):
        call = await phone.call()
        first = call.line.stream
        steps = [["sendtones", {"digits": "1w2"}], ["awaitstream", {}], ["pause", {"seconds": 9}]]
        await phone.send("acme", order("do", id=call.id, steps=steps, keep=True))
        await asyncio.sleep(2)
        assert call.line.stream is first
        await phone.send("acme", order("fetch", id=call.id, url="https://bot.test/after"))
        await call.ended(1)
        assert first.closed.result().code == 1000
        late = await phone.send("acme", order("do", id=call.id, steps=steps))
        assert late.status == 200
        return call

    call = play(server, scene)
    assert DtmfDetector(L16_8K).push(call.heard) == "12"
    assert server.kinds() == ["Offered", "Offered", "Ended"]
    assert call.how is How.DOCUMENT


def test_rest_can_be_refused_or_its_answer_lost():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        outcomes = []
        for _ in range(200):
            try:
                response = await phone.send("acme", order("state", id=call.id))
                outcomes.append(response.status)
            except TimeoutError:
                outcomes.append(0)
        assert [r.status for r in phone.exchange.requests] == outcomes
        return outcomes

    outcomes = play(server, scene, faults=Faults(rest_refused=0.3, rest_lost=0.3, delay_ms=10))
    # 200 trials: refused and not lost 0.21, lost 0.3; five standard deviations are 29 and 32.
    assert 13 <= outcomes.count(503) <= 71
    assert 28 <= outcomes.count(0) <= 92
    assert outcomes.count(200) == 200 - outcomes.count(503) - outcomes.count(0)


def test_a_lost_answer_was_carried_out():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        with pytest.raises(TimeoutError):
            await phone.send("acme", order("hangup", id=call.id))
        await call.ended(1)
        return call

    assert play(server, scene, faults=Faults(rest_lost=1.0)).how is How.REST


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [("rest_limited", 429, False), ("rest_error", 500, False), ("rest_error_done", 500, True)],
)
def test_rest_can_be_answered_with_an_error(fault, status, done):
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        response = await phone.send("acme", order("hangup", id=call.id))
        assert response.status == status
        assert response.retry_after == (1.0 if status == 429 else None)
        assert (call.state is CallState.ENDED) == done
        await call.hang_up()

    play(server, scene, faults=Faults(**{fault: 1.0}))


def test_rest_is_for_those_who_know_the_secret():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        wrong = msgspec.structs.replace(order("hangup", id=call.id), headers={})
        assert (await phone.send("acme", wrong)).status == 401
        assert call.state is CallState.ACTIVE
        with pytest.raises(Unreachable, match="nobody"):
            await phone.send("nobody", wrong)

    play(server, scene)


def test_a_webhook_that_is_sent_thrice_is_followed_once():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(1)
        assert len(call.line.streams) == 1
        await call.hang_up()

    play(server, scene, faults=Faults(repeat_webhook=3))
    assert sorted(server.kinds()) == ["Ended"] * 3 + ["Offered"] * 3
    assert len({w["call"]["call_id"] for w in server.webhooks if w["kind"] == "Offered"}) == 1


def test_calls_that_are_over_leave_no_audio_behind():
    server = Server(STREAM)

    async def scene(phone):
        ids = []
        for _ in range(5):
            call = await phone.call()
            await call.hang_up()
            ids.append(call.id)
        assert phone.exchange.lines == {}
        for call_id in ids:
            response = await phone.send("acme", order("state", id=call_id))
            assert response.json()["state"] == "ended"
        return ids

    assert len(set(play(server, scene))) == 5


def test_only_so_many_ended_calls_are_remembered():
    server = Server(("hangup", {}))

    async def scene(phone):
        first = await phone.call()
        await first.ended()
        for _ in range(REMEMBERED):
            await phone.dial().ended()
        assert (await phone.send("acme", order("state", id=first.id))).status == 404

    play(server, scene)
