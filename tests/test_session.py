"""A session's ends: limits, lost sockets, bots that misbehave, carriers that do not read.

What a whole call does is in ``test_end_to_end``; here are the corners, for every carrier found.
"""

import asyncio
import contextlib
import logging

import pytest

from rig import Rig, listener
from trunkline import carriers
from trunkline.carrier import Control, OpenStream
from trunkline.errors import Unsupported
from trunkline.events import Audio, Clear, Digits, Extra, Mark, Offered, Stopped
from trunkline.media.formats import L16_8K
from trunkline.media.tones import dtmf
from trunkline.media.transcode import convert
from trunkline.sim.clock import run_virtual
from trunkline.sim.network import NotConnected
from trunkline.sockets import SocketClosed

every_carrier = pytest.mark.parametrize("name", carriers.names())
VOICE = dtmf("1" * 20, L16_8K, tone_ms=100, gap_ms=1)


def run(name, scene, bot=listener, **given):
    async def main():
        async with Rig(name, bot, **given) as rig:
            result = await scene(rig)
            for session in rig.board.calls:
                await session.wait()
            return result

    return run_virtual(main())


def now():
    return asyncio.get_running_loop().time()


async def over(call, within=30.0):
    """Until the bot's call has ended; how long that took."""
    began = now()
    while call.ended is None:
        assert now() - began < within, "the call goes on"
        await asyncio.sleep(0.05)
    return now() - began


def frame(rig, loud=False):
    audio = rig.kind.inbound[0]
    pcm = VOICE[:320] if loud else bytes(320)
    return Audio(convert(pcm, L16_8K, audio))


async def talk(rig, socket, end, seconds, loud=False):
    """Stream frames, ten at a time, until the call ends."""
    with contextlib.suppress(SocketClosed):
        for _ in range(int(seconds * 5)):
            for _ in range(10):
                end.send(frame(rig, loud))
            await rig.flush(socket, end)
            await asyncio.sleep(0.19)


# --- limits ---


@every_carrier
def test_a_carrier_that_falls_silent_is_hung_up_on(name):
    async def scene(rig):
        await rig.join()
        took = await over(rig.bots[0])
        assert took == pytest.approx(7, abs=0.2)
        return rig.bots[0].ended

    ended = run(name, scene, no_media=7)
    assert (ended.why, ended.who, ended.raw) == ("limit", "operator", "no_media")


@every_carrier
def test_a_line_on_which_nobody_speaks_is_hung_up(name):
    async def scene(rig):
        _, socket, end = await rig.join()
        await talk(rig, socket, end, 4, loud=True)
        spoken = now()
        await talk(rig, socket, end, 6)
        await over(rig.bots[0])
        assert rig.bots[0].ended.raw == "silence"
        return now() - spoken

    # Speech is looked for in one frame of ten.
    assert run(name, scene, silence=5) == pytest.approx(5, abs=0.3)


@every_carrier
def test_a_bot_that_speaks_keeps_a_silent_caller_on_the_line(name):
    async def bot(call):
        call.play(VOICE * 4, L16_8K)
        await call.quiet()
        await listener(call)

    async def read(socket):
        with contextlib.suppress(SocketClosed):
            while True:
                await socket.receive()

    async def scene(rig):
        _, socket, end = await rig.join()
        reader = asyncio.create_task(read(socket))
        await talk(rig, socket, end, 5)
        alive = rig.bots[0].ended is None
        await talk(rig, socket, end, 8)
        await over(rig.bots[0])
        await reader
        return alive, rig.bots[0].ended.raw

    assert run(name, scene, bot=bot, silence=4) == (True, "silence")


@every_carrier
def test_limits_can_be_switched_off(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        await asyncio.sleep(100_000)
        alive = rig.bots[0].ended is None
        await rig.over(info)
        return alive

    assert run(name, scene, no_media=0, silence=0, max_duration=0)


# --- sockets that are lost ---


@every_carrier
def test_a_lost_socket_is_waited_for_and_then_the_call_is_hung_up(name):
    async def scene(rig):
        _, socket, _ = await rig.join()
        socket.abort()
        took = await over(rig.bots[0])
        assert took == pytest.approx(3, abs=0.2)
        return rig.bots[0].ended.why

    assert run(name, scene) == "network"


@every_carrier
def test_a_second_socket_goes_on_with_the_same_call(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        call = rig.bots[0]
        heard = []
        call.listen(heard.append)
        socket.abort()
        await asyncio.sleep(1)
        step = await rig.again(info)
        second = await rig.open(step)
        end = rig.end(info, step)
        await rig.flush(second, end)
        await rig.say(second, end, frame(rig))
        await asyncio.sleep(20)
        assert call.ended is None
        await rig.over(info)
        return len(rig.bots), len(heard)

    assert run(name, scene, no_media=60) == (1, 1)


@every_carrier
def test_a_socket_for_a_call_that_is_over_is_refused(name):
    async def scene(rig):
        info = rig.info()
        first, second = await rig.offer(info), None
        socket = await rig.open(first)
        await rig.flush(socket, rig.end(info, first))
        if not rig.kind.asks_after:
            socket.abort()
            await asyncio.sleep(1)
        second = await rig.again(info)
        await rig.over(info)
        with pytest.raises((NotConnected, SocketClosed)):
            late = await rig.open(second)
            await rig.flush(late, rig.end(info, second))
            while True:
                await late.receive()
        await asyncio.sleep(5)
        return len(rig.bots)

    assert run(name, scene) in (1, 2)


@pytest.mark.parametrize("name", [n for n in carriers.names() if carriers.get(n).asks_after])
def test_a_new_socket_replaces_one_that_is_still_open(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        step = await rig.again(info)
        second = await rig.open(step)
        end = rig.end(info, step)
        await rig.flush(second, end)
        await rig.say(second, end, frame(rig))
        assert rig.bots[0].ended is None
        await rig.over(info)
        return len(rig.bots)

    assert run(name, scene) == 1


@every_carrier
def test_another_calls_start_in_mid_stream_ends_the_call(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        other = rig.end(info, OpenStream(url=""), call_id="call-of-somebody-else")
        await rig.flush(socket, other)
        await asyncio.sleep(1)
        return rig.bots[0].ended and rig.bots[0].ended.why

    assert run(name, scene) == "protocol"


# --- carriers that reconnect by themselves: at the same URL, with the same token ---


returning = pytest.mark.parametrize(
    "name", [n for n in carriers.names() if carriers.get(n).reconnects]
)


@returning
def test_a_socket_that_comes_back_before_its_loss_was_noticed_replaces_the_dead_one(name, caplog):
    async def scene(rig):
        info, dead, end = await rig.join()
        heard = []
        rig.bots[0].listen(heard.append)
        await talk(rig, dead, end, 1)
        step = await rig.again(info)
        with pytest.raises(NotConnected) as refused:
            await rig.open(step)  # while audio flows, the token is used up
        await asyncio.sleep(1)
        second = await rig.open(step)
        end = rig.end(info, step)
        await rig.flush(second, end)
        with pytest.raises(SocketClosed) as replaced:
            while True:
                await dead.receive()
        before = len(heard)
        await rig.say(second, end, frame(rig))
        await rig.over(info)
        return refused.value.status, replaced.value.code, len(heard) - before, len(rig.bots)

    assert run(name, scene) == (403, 1000, 1, 1)


@returning
def test_a_socket_that_comes_back_after_the_call_is_over_is_refused(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        socket.abort()
        await over(rig.bots[0])
        await asyncio.sleep(1)
        with pytest.raises(NotConnected) as refused:
            await rig.open(await rig.again(info))
        return refused.value.status

    assert run(name, scene) == 403


@returning
def test_a_socket_comes_back_so_many_times_and_no_more(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        came = 0
        with pytest.raises(NotConnected):
            while came < 20:
                socket.abort()
                await asyncio.sleep(1)
                step = await rig.again(info)
                socket = await rig.open(step)
                await rig.flush(socket, rig.end(info, step))
                came += 1
        await over(rig.bots[0])
        return came, len(rig.bots)

    assert run(name, scene) == (5, 1)


@returning
def test_a_stream_that_starts_again_on_the_same_socket_goes_on(name):
    async def bot(call):
        await asyncio.sleep(1)
        call.play(VOICE[:3200], L16_8K)
        await listener(call)

    async def scene(rig):
        info, socket, _ = await rig.join()
        end = rig.end(info, OpenStream(url=""), stream_id="another")
        await rig.flush(socket, end)
        await asyncio.sleep(2)
        events = end.receive(await socket.receive())
        alive = rig.bots[0].ended is None
        await rig.over(info)
        return alive, len(rig.bots), [type(event) for event in events]

    assert run(name, scene, bot=bot) == (True, 1, [Audio])


@returning
def test_a_webhook_that_comes_again_during_a_call_gets_the_same_answer(name):
    async def scene(rig):
        info = rig.info()
        first = await rig.webhook(Offered(info))
        (step,) = rig.carrier.read_answer(first)
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))
        again = await rig.webhook(Offered(info))
        await asyncio.sleep(0.1)
        alive = rig.bots[0].ended is None
        await rig.over(info)
        return alive, len(rig.bots), again.status, again.body == first.body

    assert run(name, scene) == (True, 1, 200, True)


# --- bots ---


@every_carrier
def test_a_bot_that_fails_is_logged_once_and_the_call_hung_up(name, caplog):
    async def bot(call):
        raise RuntimeError("what a bot may do")

    async def scene(rig):
        await rig.join()
        await asyncio.sleep(1)
        return rig.bots[0].ended

    ended = run(name, scene, bot=bot)
    assert (ended.why, ended.who) == ("bot_error", "bot")
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert [r.getMessage() for r in errors if "bot" in r.getMessage()] == ["bot failed"]


@every_carrier
def test_a_bot_that_does_not_notice_the_end_is_cancelled(name):
    cancelled = []

    async def bot(call):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(now())
            raise

    async def scene(rig):
        info, _, _ = await rig.join()
        await rig.over(info)
        ended = now()
        await asyncio.sleep(10)
        return cancelled[0] - ended

    assert run(name, scene, bot=bot) == pytest.approx(2, abs=0.1)


@every_carrier
def test_a_bot_that_will_not_stop_is_left_behind_with_an_error(name, caplog):
    async def bot(call):
        until = now() + 30
        while now() < until:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue

    async def scene(rig):
        info, _, _ = await rig.join()
        await rig.over(info)
        await asyncio.sleep(6)
        calls = len(rig.board.calls)
        await asyncio.sleep(60)
        return calls

    assert run(name, scene, bot=bot) == 0
    assert "bot does not stop" in [r.getMessage() for r in caplog.records]


@every_carrier
def test_a_bot_that_hangs_up_twice_hangs_up_once(name):
    async def bot(call):
        await asyncio.gather(call.hang_up(), call.hang_up(after_playback=False))
        await call.hang_up()

    async def scene(rig):
        await rig.join()
        await asyncio.sleep(1)
        return rig.bots[0].ended

    ended = run(name, scene, bot=bot)
    assert (ended.why, ended.who) == ("completed", "bot")


# --- carriers that do not keep up ---


@every_carrier
def test_audio_that_waits_to_be_sent_is_overtaken_by_a_clear(name):
    """What was due and not written yet must not follow the clear onto the wire."""
    kind = carriers.get(name)
    if Clear not in kind.says:
        pytest.skip("this carrier cannot clear")

    async def bot(call):
        call.play(VOICE, L16_8K)
        await asyncio.sleep(0.5)
        call.clear()
        await listener(call)

    async def scene(rig):
        info, socket, end = await rig.join()
        events = []
        try:
            async with asyncio.timeout(2):
                while True:
                    events += end.receive(await socket.receive())
        except TimeoutError:
            pass
        await rig.over(info)
        return events

    events = run(name, scene, bot=bot)
    kinds = [type(event) for event in events]
    assert kinds.count(Clear) == 1
    assert Audio not in kinds[kinds.index(Clear) :]
    assert Mark not in kinds[kinds.index(Clear) :]


# --- the server's end ---


@every_carrier
def test_draining_lets_calls_finish_then_ends_them(name):
    async def scene(rig):
        await rig.join()
        began = now()
        await rig.board.drain(10.0)
        return now() - began, rig.bots[0].ended

    took, ended = run(name, scene, no_media=0)
    assert 10 <= took <= 13
    assert (ended.why, ended.who) == ("drain", "operator")


@every_carrier
def test_draining_lets_last_words_be_heard(name):
    async def bot(call):
        call.play(VOICE[:32000], L16_8K)  # two seconds
        await listener(call)

    async def scene(rig):
        await rig.join()
        began = now()
        await rig.board.drain(0.0)
        return now() - began

    assert 1.9 <= run(name, scene, bot=bot, no_media=0) <= 4.5


@every_carrier
def test_draining_an_idle_server_takes_no_time(name):
    async def scene(rig):
        began = now()
        await rig.board.drain(60.0)
        return now() - began

    assert run(name, scene) == 0


@every_carrier
def test_keys_that_the_socket_can_carry_go_there(name):
    if Digits not in carriers.get(name).says:
        pytest.skip("this carrier's socket carries no keys")

    async def bot(call):
        await call.send_digits("12#")
        await listener(call)

    async def scene(rig):
        info, socket, end = await rig.join()
        (event,) = end.receive(await socket.receive())
        await rig.over(info)
        return event

    assert run(name, scene, bot=bot) == Digits("12#")


@every_carrier
def test_messages_without_a_word_go_out_where_the_carrier_takes_them(name):
    said = Extra("later", {"a": [1, None]})

    async def bot(call):
        await asyncio.sleep(0.1)
        try:
            call.send_extra(said.kind, said.fields)
        except Unsupported:
            refused.append(name)
        await listener(call)

    async def scene(rig):
        info, socket, end = await rig.join()
        heard = []
        if takes:
            heard += end.receive(await socket.receive())
        await asyncio.sleep(0.5)
        await rig.over(info)
        return heard

    takes, refused = Extra in carriers.get(name).says, []
    assert run(name, scene, bot=bot) == ([said] if takes else [])
    assert refused == ([] if takes else [name])


@every_carrier
def test_the_stream_that_stops_ends_the_call_at_once(name):
    if Stopped not in carriers.get(name).hears:
        pytest.skip("this carrier's streams just close")

    async def scene(rig):
        _, socket, end = await rig.join()
        await rig.say(socket, end, Stopped("callended"))
        await asyncio.sleep(0.1)
        return rig.bots[0].ended

    assert run(name, scene).why == "completed"


@every_carrier
def test_a_call_that_is_transferred_is_no_longer_listened_to(name):
    """Some carriers go on to the other party only when the media socket has closed."""
    if not carriers.get(name).supports(Control.TRANSFER):
        pytest.skip("this carrier transfers no calls")

    async def bot(call):
        await call.transfer("+12025550155")

    async def scene(rig):
        info, socket, _ = await rig.join()
        with pytest.raises(SocketClosed) as end:
            while True:
                await asyncio.wait_for(socket.receive(), 5.0)
        alive = rig.bots[0].ended is None
        await rig.over(info)
        return end.value.code, alive, rig.bots[0].ended.why

    assert run(name, scene, bot=bot) == (1000, True, "transferred")


@every_carrier
def test_formats_are_those_of_the_stream(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        call = rig.bots[0]
        await rig.over(info)
        return call.audio_in, call.audio_out

    kind = carriers.get(name)
    assert run(name, scene) == (kind.inbound[0], kind.outbound[0])


@pytest.mark.parametrize(
    "name",
    [
        kind.name
        for kind in carriers.all_carriers()
        if kind.supports(Control.TRANSFER) and kind.asks_after
    ],
)
def test_a_call_that_asks_how_to_go_on_in_mid_transfer_was_not_transferred(name):
    results = []

    async def bot(call):
        results.append(await call.transfer("+12025550155"))
        await listener(call)

    async def scene(rig):
        info, _, _ = await rig.join()
        await asyncio.sleep(1)
        step = await rig.again(info)
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))
        await asyncio.sleep(1)
        results.append(rig.bots[0].ended)
        await rig.over(info)

    run(name, scene, bot=bot)
    assert results == ["failed", None]


@pytest.mark.parametrize("name", [n for n in carriers.names() if carriers.get(n).asks_after])
def test_a_call_that_asks_again_and_again_and_opens_no_socket_is_ended(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        for _ in range(5):
            await rig.again(info)
            await asyncio.sleep(2)
        with pytest.raises(ValueError, match="not enough"):
            await rig.again(info)  # dismissed: no socket is offered
        await over(rig.bots[0])
        return rig.bots[0].ended.why

    assert run(name, scene) == "network"


@every_carrier
def test_a_listener_that_fails_is_logged_once_and_the_call_hung_up(name, caplog):
    async def bot(call):
        call.listen(lambda chunk: 1 / 0)
        await call.wait()

    async def scene(rig):
        _, socket, end = await rig.join()
        await rig.say(socket, end, frame(rig), frame(rig))
        await asyncio.sleep(1)
        return rig.bots[0].ended

    ended = run(name, scene, bot=bot)
    assert (ended.why, ended.who) == ("bot_error", "bot")
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == ["bot failed"]
