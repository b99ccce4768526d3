"""One media socket: its first messages, what it plays, what it makes of marks and clears."""

import asyncio
import struct
from itertools import pairwise

import pytest

from trunkline.carrier import Marks
from trunkline.events import (
    Audio,
    Clear,
    Cleared,
    Digits,
    Extra,
    Mark,
    Started,
    Stopped,
)
from trunkline.media.formats import L16_8K, L16_24K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert
from trunkline.sim.faults import Faults
from trunkline.sim.line import How

from .acme import AFTER, STREAM, Acme, Gone, Server, pcm_at, play, tone


def test_the_stream_begins_as_it_should_and_sends_silence():
    async def bot(talk):
        await talk.until_gone()
        server.talk = talk

    server = Server(
        ("openstream", {"url": "wss://bot.test/media?a=1", "parameters": {"token": "t"}}), bot=bot
    )

    async def scene(phone):
        call = await phone.call(from_="+12025550199", to="+12025550111")
        await asyncio.sleep(1)
        await call.hang_up()
        return call

    call = play(server, scene)
    started, *audio, stopped = server.talk.seen
    assert started == Started(
        call_id=call.id,
        inbound=PCMU_8K,
        outbound=PCMU_8K,
        stream_id=started.stream_id,
        from_="+12025550199",
        to="+12025550111",
        parameters={"token": "t"},
    )
    assert len(audio) == 51  # the call was seen to be answered with the first frame
    assert all(a == Audio(b"\xff" * 160, 20 * n) for n, a in enumerate(audio))
    assert isinstance(stopped, Stopped)
    assert server.upgrades[0].url == "wss://bot.test/media?a=1"
    assert "x-acme" in server.upgrades[0].headers


@pytest.mark.parametrize("form", [L16_8K, L16_24K])
def test_each_message_may_say_its_own_encoding(form):
    voice = tone(300)

    async def bot(talk):
        await talk.say(Audio(convert(voice, L16_8K, form), format=form))
        await asyncio.sleep(1.5)
        await talk.say(Audio(encode(voice, PCMU_8K.encoding), format=PCMU_8K))
        await talk.until_gone()

    async def scene(phone):
        call = await phone.call()
        first = await call.wait_for_speech()
        await call.wait_for_silence(200)
        second = await call.wait_for_speech()
        await call.wait_for_silence(200)
        await call.hang_up()
        return call, first, second

    call, first, second = play(Server(STREAM, bot=bot), scene)
    assert second - first == pytest.approx(1.5, abs=0.03)
    for start in (first, second):
        heard = pcm_at(call.record(), start, 300)
        error = max(
            abs(a - b)
            for a, b in zip(
                struct.unpack("<2000h", heard[400:4400]),
                struct.unpack("<2000h", voice[400:4400]),
                strict=True,
            )
        )
        assert error < 400  # µ-law's steps at this level are 256 wide; the tone has 8000
    assert call.holes == []


@pytest.mark.parametrize(
    ("marks", "returned"),
    [
        (Marks.RETURNED, ["one", "two"]),
        (Marks.DROPPED, ["one"]),
        (Marks.NONE, []),
    ],
)
def test_clear_stops_the_bot_and_treats_marks_as_the_carrier_does(marks, returned):
    class Kind(Acme):
        pass

    Kind.marks = marks
    came = []

    async def bot(talk):
        await talk.next()
        second = Audio(encode(tone(1000), PCMU_8K.encoding))
        await talk.say(second, Mark("one"), second, Mark("two"))
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(1.5)
        await talk.say(Clear())
        try:
            while True:
                event = await talk.next()
                if isinstance(event, Mark | Cleared):
                    at = asyncio.get_running_loop().time() - begun
                    came.append((type(event).__name__, getattr(event, "name", ""), round(at, 3)))
        except Gone:
            return

    async def scene(phone):
        call = await phone.call()
        start = await call.wait_for_speech()
        end = await call.wait_for_silence(500)
        await call.hang_up()
        return call, end - start

    call, seconds = play(Server(STREAM, bot=bot), scene, Kind)
    assert seconds == pytest.approx(1.5, abs=0.021)
    assert [name for kind, name, _ in came if kind == "Mark"] == returned
    assert [(k, at) for k, _, at in came if k == "Cleared"] == [("Cleared", 1.5)]
    if marks is Marks.RETURNED:
        assert [at for k, _, at in came if k == "Mark"] == [1.5, 1.5]  # read when it woke
    (clear,) = [m for m in call.record().moments if m.kind == "clear"]
    assert clear.text == "500 ms unheard"
    assert call.line.streams[0].buffer.cleared_ms == pytest.approx(500, abs=1)


def test_marks_come_back_when_they_are_reached_and_not_a_frame_later():
    times = []

    async def bot(talk):
        await talk.say(Audio(b"\xff" * 808), Mark("after 101 ms"))
        begun = asyncio.get_running_loop().time()
        while not isinstance(await talk.next(), Mark):
            pass
        times.append(asyncio.get_running_loop().time() - begun)

    async def scene(phone):
        await (await phone.call()).ended(5)

    play(Server(STREAM, bot=bot), scene)
    assert times == [pytest.approx(0.101, abs=1e-6)]


def test_holes_are_counted():
    async def bot(talk):
        for _ in range(3):
            await talk.say(Audio(encode(tone(100), PCMU_8K.encoding)))
            await asyncio.sleep(0.15)

    async def scene(phone):
        call = await phone.call()
        await call.ended(5)
        return call

    assert [round(h.ms) for h in play(Server(STREAM, bot=bot), scene).holes] == [50, 50]


def test_what_the_server_should_not_say_is_noted():
    async def bot(talk):
        await talk.raw("?")
        await talk.say(Extra("nonsense", {}))
        await talk.raw('["Ping", {}]')
        while not isinstance(await talk.next(), Extra):  # a Pong: the reply the protocol owes
            pass

    async def scene(phone):
        call = await phone.call()
        await call.ended(5)
        return call

    call = play(Server(STREAM, bot=bot), scene)
    assert [text.split(":")[0] for text in call.complaints] == [
        "the server broke the protocol",
        "the server sent 'Extra', which means nothing here",
    ]


# --- faults ----------------------------------------------------------------------------------


def faulty(bot, faults, seconds=3.0, *steps, after=()):
    """A call of some seconds with faults; returns it and what the bot saw."""
    talks = []

    async def noting(talk):
        talks.append(talk)
        await bot(talk)

    server = Server(STREAM, *steps, bot=noting, after=after)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(seconds)
        await call.hang_up()
        return call

    return play(server, scene, faults=faults), talks


async def listen(talk):
    talk.code = await talk.until_gone()
    talk.left_at = asyncio.get_running_loop().time()


@pytest.mark.parametrize(("drop_code", "seen"), [(0, 1006), (1001, 1001)])
def test_a_socket_that_is_dropped(drop_code, seen):
    call, (talk,) = faulty(listen, Faults(drop_after=1.0, drop_code=drop_code))
    assert talk.code == seen
    assert talk.left_at == pytest.approx(1001)
    assert not any(isinstance(e, Stopped) for e in talk.seen)
    assert call.how is How.DOCUMENT  # nothing follows the stream in this document


def test_only_so_many_sockets_are_dropped():
    call, talks = faulty(
        listen, Faults(drop_after=0.5, drops=2), 3.0, AFTER, after=[STREAM, ("hangup", {})]
    )
    assert [talk.code for talk in talks] == [1006, 1006]
    call, talks = faulty(
        listen, Faults(drop_after=0.5, drops=1), 3.0, AFTER, after=[STREAM, ("hangup", {})]
    )
    assert [talk.code for talk in talks] == [1006, 1000]
    assert call.how is How.CALLER


def test_a_carrier_that_stops_reading_holds_the_server_up():
    times = []

    async def bot(talk):
        await talk.next()
        try:
            async with asyncio.timeout(60):
                for _ in range(100):
                    await talk.say(Audio(b"\xff" * 8000))
                    times.append(asyncio.get_running_loop().time())
                    await asyncio.sleep(0.1)
        except OSError:
            times.append("gone")

    call, _ = faulty(bot, Faults(stall_after=2.0), 10.0)
    # 64 KiB are on their way at most: six messages of 10.7 kB, and the one that was being read.
    assert times[-1] == "gone"
    assert 1002.4 < times[-2] < 1002.8
    assert call.how is How.CALLER
    assert any("stops reading" in m.text for m in call.record().moments)


def test_a_half_open_connection_falls_silent():
    _, (talk,) = faulty(listen, Faults(mute_after=1.0))
    audio = [e for e in talk.seen if isinstance(e, Audio)]
    assert len(audio) in (49, 50)
    assert not any(isinstance(e, Stopped) for e in talk.seen)
    assert talk.code == 1000


def test_a_server_that_stops_reading_is_given_up():
    async def bot(talk):
        await asyncio.sleep(1000)

    server = Server(STREAM, ("hangup", {}), bot=bot)

    async def scene(phone):
        call = await phone.call()
        await call.ended(600)
        await asyncio.sleep(1000)
        return call

    call = play(server, scene)
    # A frame is about 270 bytes of JSON, fifty a second: 64 KiB are full after 4.8 s, and it is
    # given 10 s more.
    assert call.now > 1000
    ended = next(m.at for m in call.record().moments if m.kind == "hang_up")
    assert 13 < ended < 18
    assert any("the server to read" in text for text in call.complaints)


def test_everything_is_late_and_in_order():
    arrivals = []

    async def bot(talk):
        await talk.next()
        await talk.say(Audio(encode(tone(100), PCMU_8K.encoding)), Mark("x"))
        begun = asyncio.get_running_loop().time()
        try:
            while True:
                event = await talk.next()
                now = asyncio.get_running_loop().time()
                if isinstance(event, Audio):
                    arrivals.append((event.timestamp, now))
                elif isinstance(event, Mark):
                    talk.mark = now - begun
        except Gone:
            return

    call, (talk,) = faulty(bot, Faults(delay_ms=50, jitter_ms=100))
    assert [t for t, _ in arrivals] == sorted(t for t, _ in arrivals)
    answered = next(m.at for m in call.record().moments if m.kind == "answered") + 1000
    late = [now - answered - (t + 20) / 1000 for t, now in arrivals]
    assert min(late) > 0.05
    assert max(late) > 0.12
    assert 0.2 < talk.mark < 0.4  # both ways, and the playing between
    assert 0.1 < answered - 1000 < 0.3  # the webhook, too


def test_what_the_server_sends_at_once_is_late_in_its_order():
    """Also where two messages arrive at the same moment, a clear after what it clears."""

    async def bot(talk):
        await talk.next()
        for level in range(1, 9):
            pieces = [encode(pcm, PCMU_8K.encoding) for pcm in [struct.pack("<h", 1000 * level)]]
            await talk.say(*[Audio(piece * 160) for piece in pieces * 9], Clear())
            await talk.say(*[Audio(piece * 160) for piece in pieces])
            await asyncio.sleep(0.5)
        await talk.until_gone()

    for seed in range(5):
        call, _ = faulty(bot, Faults(delay_ms=30, jitter_ms=20, seed=seed), 5.0)
        loud = [s for (s,) in struct.iter_unpack("<h", call.heard) if s]
        steps = [s for s, before in zip(loud, [0, *loud], strict=False) if s != before]
        assert len(steps) == 8
        assert 8 * 160 <= len(loud) < 8 * 3 * 160  # at most 20 ms before a clear got there


def test_messages_are_lost_doubled_and_swapped_on_the_wire():
    call, (talk,) = faulty(listen, Faults(lose=0.1, duplicate=0.1, reorder=0.1), 10.0)
    stamps = [e.timestamp // 20 for e in talk.seen if isinstance(e, Audio)]
    whole = call.line.streams[0].frames_sent
    assert len(set(stamps)) < whole - 20
    assert len(stamps) > len(set(stamps)) + 20
    assert sum(a > b for a, b in pairwise(stamps)) > 20


def test_a_start_that_comes_twice_and_another_calls_id():
    _, (talk,) = faulty(listen, Faults(repeat_start=True, forged_call_id="another"))
    assert [e.call_id for e in talk.seen if isinstance(e, Started)] == ["another", "another"]


def test_marks_can_be_lost():
    async def bot(talk):
        await talk.say(Mark("x"))
        await talk.until_gone()

    _, (talk,) = faulty(bot, Faults(lose_marks=1.0))
    assert not any(isinstance(e, Mark) for e in talk.seen)


def test_a_forged_token_is_presented():
    server = Server(
        ("openstream", {"url": "wss://bot.test/" + "ab" * 20, "parameters": {"token": "xyz"}})
    )

    async def scene(phone):
        await (await phone.call()).hang_up()

    play(server, scene, faults=Faults(forged_token=True))
    assert server.upgrades[0].url == "wss://bot.test/" + "ba" * 20


def test_a_server_that_is_slow_to_close_is_not_waited_for():
    async def bot(talk):
        await talk.next()
        await talk.say(Digits("1"))
        await asyncio.sleep(30)

    server = Server(STREAM, bot=bot)

    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(8)  # its window is full now
        await call.hang_up(5)
        return call

    assert play(server, scene).how is How.CALLER


def test_frames_are_whole_whatever_the_encoding():
    class Wide(Acme):
        inbound = (L16_24K,)

    talks = []

    async def bot(talk):
        talks.append(talk)
        await talk.until_gone()

    async def scene(phone):
        call = await phone.call()
        await call.say(tone(200))
        await call.hang_up()

    play(Server(STREAM, bot=bot), scene, Wide)
    assert {len(e.payload) for e in talks[0].seen if isinstance(e, Audio)} == {960}
