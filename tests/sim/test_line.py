"""Keys and limits of one call."""

import asyncio

import pytest

from trunkline.errors import CallEnded
from trunkline.events import (
    Audio,
    Digit,
    Digits,
    Why,
)
from trunkline.media.formats import L16_8K, L16_24K, PCMU_8K
from trunkline.media.tones import DtmfDetector
from trunkline.sim.faults import Faults
from trunkline.sim.line import How

from .acme import AFTER, STREAM, Acme, Server, order, play


def collecting(bot):
    return Server(("collectdigits", {"url": "https://bot.test/digits"}), STREAM, bot=bot)


class ByWebhook(Acme):
    hears = Acme.hears - {Digit}
    digits_by_webhook = True


class InBand(Acme):
    hears = Acme.hears - {Digit}


@pytest.mark.parametrize("carrier", [Acme, ByWebhook, InBand])
def test_keys_travel_as_the_carriers_do(carrier):
    async def bot(talk):
        server.talk = talk
        await talk.until_gone()

    server = collecting(bot)

    async def scene(phone):
        call = await phone.call()
        with pytest.raises(ValueError, match="keys are"):
            await call.press("x")
        await call.press("12")
        await asyncio.sleep(0.25)
        await call.press("#", secret=True)
        await asyncio.sleep(1)
        await call.hang_up()
        with pytest.raises(CallEnded):
            await call.press("1")
        return call

    call = play(server, scene, carrier)
    on_socket = [e.digit for e in server.talk.seen if isinstance(e, Digit)]
    by_webhook = [w["digit"] for w in server.webhooks if w["kind"] == "DigitPressed"]
    voice = b"".join(e.payload for e in server.talk.seen if isinstance(e, Audio))
    in_voice = list(DtmfDetector(PCMU_8K).push(voice))
    wanted = ["1", "2", "#"]
    assert [on_socket, by_webhook, in_voice] == [
        wanted if carrier is Acme else [],
        wanted if carrier is ByWebhook else [],
        wanted if carrier is InBand else [],
    ]
    assert [m.text for m in call.record().moments if m.kind == "key"] == ["1", "2", "•"]


def test_keys_nobody_collects_are_lost():
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        await call.press("1")
        await call.hang_up()

    play(server, scene, ByWebhook)
    assert server.kinds() == ["Offered", "Ended"]


def test_keys_towards_the_caller_are_heard():
    async def bot(talk):
        await talk.say(Digits("7"))
        await talk.until_gone()

    server = Server(STREAM, bot=bot)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(1)
        await phone.send("acme", order("press", id=call.id, digits="9"))
        await asyncio.sleep(1)
        await phone.send("acme", order("press", id=call.id, digits="w"))
        await call.hang_up()
        return call

    assert DtmfDetector(L16_8K).push(play(server, scene).heard) == "79"


def test_a_call_nobody_ends_is_ended_by_the_carrier_after_hours():
    server = Server(("pause", {"seconds": 86_400}))

    async def scene(phone):
        call = phone.dial()
        await call.ended(5 * 3600)
        return call

    call = play(server, scene)
    assert (call.how, call.reason.why) == (How.LIMIT, Why.LIMIT)
    assert call.line.idle_s == pytest.approx(4 * 3600)


class OneFormat(Acme):
    """Has one encoding for a whole stream."""

    one_format = True
    inbound = Acme.outbound


@pytest.mark.parametrize(("carrier", "heard"), [(Acme, PCMU_8K), (OneFormat, L16_24K)])
def test_the_caller_is_streamed_in_the_encoding_of_the_answer_where_there_is_but_one(
    carrier, heard
):
    async def bot(talk):
        server.talk = talk
        await talk.until_gone()

    server = Server(("openstream", {**STREAM[1], "audio": "L16/24000"}), bot=bot)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(0.5)
        await call.hang_up()

    play(server, scene, carrier)
    started, *rest = server.talk.seen
    assert (started.inbound, started.outbound) == (heard, L16_24K)
    sizes = {len(e.payload) for e in rest if isinstance(e, Audio)}
    assert sizes == {heard.bytes_in(20)}


class Returning(Acme):
    """Opens a lost media socket again by itself."""

    reconnects = True


@pytest.mark.parametrize("carrier", [Acme, Returning])
def test_a_lost_media_socket_is_opened_again_where_the_carrier_does_that(carrier):
    talks = []

    async def bot(talk):
        talks.append(talk)
        await talk.until_gone()

    server = Server(
        ("openstream", {"url": "wss://bot.test/media/t", "parameters": {"token": "t"}}), bot=bot
    )

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(10)
        await call.hang_up() if call.reason is None else None
        return call

    call = play(server, scene, carrier, faults=Faults(drop_after=2.0, drops=2))
    if carrier is Acme:
        assert len(talks) == 1
        (over,) = [m.at for m in call.record().moments if m.kind == "hang_up"]
        assert (call.how, over) == (How.DOCUMENT, pytest.approx(2.0, abs=0.1))
        return
    assert call.how is How.CALLER
    # Torn off after two seconds, twice, and away for one each time.
    opened = [m.at for m in call.record().moments if (m.kind, m.text) == ("stream", "open")]
    assert opened == pytest.approx([0.0, 3.0, 6.0], abs=0.1)
    assert call.line.idle_s == pytest.approx(2.0, abs=0.1)
    assert [u.url for u in server.upgrades] == ["wss://bot.test/media/t"] * 3
    starts = [talk.seen[0] for talk in talks]
    assert {start.call_id for start in starts} == {call.id}
    assert {start.parameters["token"] for start in starts} == {"t"}
    assert len({start.stream_id for start in starts}) == 3
    assert call.complaints == []


@pytest.mark.parametrize("code", [1000, 1001, 1008])
def test_a_media_socket_that_was_closed_with_a_word_is_not_opened_again(code):
    async def bot(talk):
        await talk.next()
        await talk.close(code)

    server = Server(STREAM, bot=bot)

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    call = play(server, scene, Returning)
    assert call.how is How.DOCUMENT
    assert len(server.upgrades) == 1


def test_a_server_that_refuses_a_socket_to_come_back_is_asked_three_times():
    async def bot(talk):
        server.refuse = 403
        await talk.until_gone()

    server = Server(STREAM, AFTER, bot=bot, after=[("hangup", {})])

    async def scene(phone):
        call = await phone.call()
        await call.ended(20)
        return call

    call = play(server, scene, Returning, faults=Faults(drop_after=1.0))
    assert len(server.upgrades) == 1 + 3
    assert call.now == pytest.approx(4.0, abs=0.1)
    assert call.how is How.VERB


@pytest.mark.parametrize("delay_ms", [0, 300])
@pytest.mark.parametrize("end", ["caller", "order"])
def test_a_socket_that_is_not_wanted_any_more_does_not_come_back(end, delay_ms):
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        while call.line.stream is not None:
            await asyncio.sleep(0.01)
        # It comes back after 1 s: before that, or, where all takes its time, just while it does.
        on_its_way = delay_ms / 1000 if end == "order" else 0.0
        await asyncio.sleep(1.15 - on_its_way if delay_ms else 0.5)
        if end == "caller":
            await call.hang_up()
        else:
            steps = [("pause", {"seconds": 5})]
            await phone.send("acme", order("do", id=call.id, steps=steps))
        await asyncio.sleep(3)
        assert call.line.stream is None
        await call.hang_up() if call.reason is None else None
        return call

    play(server, scene, Returning, faults=Faults(drop_after=1.0, delay_ms=delay_ms))
    assert len(server.upgrades) == (2 if delay_ms else 1)
