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
from trunkline.sim.line import How

from .acme import STREAM, Acme, Server, order, play


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
