"""A phone from ring to hang-up, in virtual time, against a hand-written server."""

import asyncio

import pytest

from trunkline.errors import ConfigError
from trunkline.events import (
    CallState,
    Who,
    Why,
)
from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert
from trunkline.sim.line import How

from .acme import STREAM, Server, echo, play, tone


def test_a_call_from_ring_to_status_webhook():
    server = Server(STREAM, bot=echo)

    async def scene(phone):
        call = await phone.call()
        assert call.state is CallState.ACTIVE
        await call.say(tone(500), words="mmm")
        await asyncio.sleep(1)
        reason = await call.ended(1) if call.reason else None
        assert reason is None
        await call.hang_up()
        return call

    call = play(server, scene)
    assert (call.reason.why, call.reason.who, call.how) == (Why.COMPLETED, Who.CALLER, How.CALLER)
    assert server.kinds() == ["Offered", "Ended"]
    offered, ended = server.webhooks
    assert offered["call"]["call_id"] == ended["call_id"] == call.id
    assert offered["again"] is False
    assert ended["duration_s"] == pytest.approx(1.5, abs=0.05)
    record = call.record()
    assert record.carrier == "acme"
    assert [m.kind for m in record.moments] == [
        "ringing",
        "answered",
        "stream",
        "said",
        "hang_up",
        "stream",
    ]
    # What was said at t in frames of 20 ms is heard, as µ-law, one frame later.
    said = record.caller.index(tone(20)[2:10]) - 2
    frames = convert(encode(tone(500), PCMU_8K.encoding), PCMU_8K, L16_8K)
    assert record.bot[said + 320 : said + 320 + len(frames)] == frames
    assert call.holes == []
    assert call.complaints == []
    assert call.line.idle_s == 0


def test_a_phone_without_a_network_says_so():
    async def scene(phone):
        phone.exchange.base = ""
        with pytest.raises(ConfigError):
            phone.dial()
        assert phone.network is not None
        phone.network = phone.network

    play(Server(), scene)


def test_a_phone_that_is_put_away_hangs_up():
    server = Server(STREAM)
    calls = []

    async def scene(phone):
        calls.append(await phone.call())
        calls.append(phone.dial())

    play(server, scene)
    assert [c.how for c in calls] == [How.CALLER, How.CALLER]


def test_a_phone_may_keep_no_audio():
    async def scene(phone):
        call = await phone.call()
        await call.say(tone(300))
        await call.wait_for_silence(200)
        await call.hang_up()
        return call

    record = play(Server(STREAM, bot=echo), scene, keep_audio=False).record()
    assert (record.caller, record.bot) == (b"", b"")
    assert [m.kind for m in record.moments][-2:] == ["hang_up", "stream"]
