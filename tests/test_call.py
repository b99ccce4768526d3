"""The call a bot holds, on a line that is only a playout and a hand-moved clock."""

import asyncio

import pytest

from trunkline.call import (
    EARLY_AUDIO_MS,
    Call,
    SpeakingStarted,
    SpeakingStopped,
    UtteranceState,
)
from trunkline.carrier import FrameRule, Marks
from trunkline.errors import CallEnded, Unsupported
from trunkline.events import (
    Audio,
    CallInfo,
    Digit,
    Direction,
    EndReason,
    Extra,
    Mark,
    Started,
    Who,
    Why,
)
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K, AudioFormat
from trunkline.media.playout import Playout
from trunkline.media.transcode import convert
from trunkline.sim.clock import run_virtual

OVER = EndReason(Why.COMPLETED, Who.CALLER)
INFO = CallInfo(carrier="acme", call_id="c1", from_="+15550001111", to="+15550002222")


class Line:
    """A line on which time passes when it is told to."""

    def __init__(self, audio=PCMU_8K, marks=Marks.NONE):
        self.playout = Playout(audio, FrameRule(), marks)
        self.time = 100.0
        self.wakes = 0
        self.asked = []
        self.clears = 0

    def now(self):
        return self.time

    def pass_on(self, passage, audio):
        return False  # so it is pushed

    def wake(self):
        self.wakes += 1

    def clear(self):
        self.playout.clear(self.time)
        self.clears += 1

    async def hang_up(self, *, after_playback):
        self.asked.append(("hang_up", after_playback))

    def say(self, event):
        self.asked.append(event)
        return event.kind != "strange"

    async def send_digits(self, digits):
        self.asked.append(("digits", digits))

    async def transfer(self, to, *, from_):
        self.asked.append(("transfer", to, from_))
        return Why.BUSY


def make(audio=PCMU_8K, inbound=PCMU_8K):
    line = Line(audio)
    started = Started(
        call_id="c1", inbound=inbound, outbound=audio, parameters={"k": "v"}, from_="sip", to="sip"
    )
    return Call(INFO, started, line), line


def step(call, line, seconds):
    """Let time pass; returns what went on the wire."""
    wire = []
    until = line.time + seconds
    while line.time < until:
        wire += line.playout.due(line.time)
        for change in line.playout.changes(line.time):
            call.changed(change)
        line.time = round(line.time + 0.01, 6)
    return wire


def audio_of(wire):
    return b"".join(event.payload for event in wire if isinstance(event, Audio))


def test_says_who_is_on_it():
    call, _ = make()
    assert (call.id, call.carrier, call.from_, call.to) == (
        "c1",
        "acme",
        "+15550001111",
        "+15550002222",
    )
    assert call.direction is Direction.INBOUND
    assert call.parameters == {"k": "v"}
    assert (call.audio_in, call.audio_out, call.ended) == (PCMU_8K, PCMU_8K, None)


def test_numbers_come_from_the_socket_only_where_no_webhook_told_them():
    started = Started(call_id="c", inbound=PCMU_8K, outbound=PCMU_8K, from_="+1", to="+2")
    call = Call(CallInfo(carrier="acme", call_id="c"), started, Line())
    assert (call.from_, call.to) == ("+1", "+2")


# --- hearing ---


def test_a_callback_hears_the_very_bytes_that_came():
    call, _ = make()
    heard = []
    call.listen(heard.append)
    frame = bytes(160)
    call.heard(Audio(frame))
    assert heard[0] is frame


def test_a_callback_hears_in_the_encoding_it_asked_for():
    call, _ = make()
    heard = []
    call.listen(heard.append, L16_8K)
    frame = bytes(range(160))
    call.heard(Audio(frame))
    assert b"".join(heard) == convert(frame, PCMU_8K, L16_8K)


@pytest.mark.parametrize("wanted", [L16_16K, PCMU_8K], ids=str)
def test_a_listener_is_not_called_with_nothing(wanted):
    call, _ = make()
    heard = []
    call.listen(heard.append, wanted)
    call.heard(Audio(b""))
    assert heard == []


def test_what_was_said_before_anybody_listened_is_not_lost():
    call, _ = make()
    frames = [bytes([n]) * 160 for n in range(5)]
    for frame in frames:
        call.heard(Audio(frame))
    heard = []
    stop = call.listen(heard.append)
    assert heard == frames
    stop()
    stop()
    call.heard(Audio(b"x"))
    assert heard == frames


def test_unheard_audio_is_kept_for_ten_seconds_only():
    call, _ = make()
    for number in range(600):
        call.heard(Audio(number.to_bytes(2, "big") * 80))
    heard = []
    call.listen(heard.append)
    assert len(heard) == EARLY_AUDIO_MS / 20
    assert heard[-1][:2] == (599).to_bytes(2, "big")


def test_iterating_gives_audio_and_events_in_order_and_ends_with_the_call():
    call, _ = make()
    call.heard(Audio(b"a"))
    call.happened(Digit("1"))

    async def main():
        seen = []

        async def read():
            async for event in call:
                seen.append(event)  # noqa: PERF401

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        call.happened(Digit("2"))
        call.heard(Audio(b"b"))
        call.happened(Extra("x", {}))
        await asyncio.sleep(0)
        call.over(OVER)
        await reader
        return seen

    early = [Digit("1"), Audio(b"a")]
    assert run_virtual(main()) == [*early, Digit("2"), Audio(b"b"), Extra("x", {})]


def test_the_audio_iterator_converts_and_ends():
    call, _ = make()

    async def main():
        chunks = []

        async def read():
            async for chunk in call.audio(L16_8K):
                chunks.append(chunk)  # noqa: PERF401

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        call.heard(Audio(b"\xff" * 160))
        call.over(OVER)
        await reader
        late = [chunk async for chunk in call.audio()]
        return chunks, late

    chunks, late = run_virtual(main())
    assert b"".join(chunks) == bytes(320)
    assert late == []


def test_a_reader_that_falls_behind_loses_the_oldest_audio_and_no_event():
    call, _ = make()

    async def main():
        feed = aiter(call)
        for number in range(600):
            call.heard(Audio(number.to_bytes(2, "big") * 80))
            if number % 200 == 0:
                call.happened(Digit(str(number // 200)))
        call.over(OVER)
        return [event async for event in feed]

    events = run_virtual(main())
    assert [e for e in events if isinstance(e, Digit)] == [Digit("0"), Digit("1"), Digit("2")]
    audio = [e for e in events if isinstance(e, Audio)]
    assert len(audio) == 500
    assert audio[-1].payload[:2] == (599).to_bytes(2, "big")


def test_a_cancelled_reader_leaves_the_call_usable():
    call, _ = make()

    async def main():
        feed = call.audio()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(feed), 1.0)
        call.heard(Audio(b"x"))
        return await anext(feed)

    assert run_virtual(main()) == b"x"


def test_watchers_get_what_they_missed_and_can_stop():
    call, _ = make()
    call.happened(Digit("1"))
    seen, other = [], []
    stop = call.on(seen.append)
    call.on(other.append)
    call.happened(Digit("2"))
    stop()
    stop()  # again, which does nothing
    call.happened(Digit("3"))
    assert seen == [Digit("1"), Digit("2")]
    assert other == [Digit("2"), Digit("3")]


# --- speaking ---


def test_audio_in_the_wires_encoding_reaches_it_bit_for_bit():
    call, line = make()
    speech = bytes(range(256)) * 20
    utterance = call.play(speech)
    assert line.wakes > 0
    assert utterance.pushed_ms == pytest.approx(640)
    assert audio_of(step(call, line, 1.0)) == speech
    assert utterance.state is UtteranceState.PLAYED
    assert utterance.heard_ms == pytest.approx(640)


@pytest.mark.parametrize("source", [L16_8K, L16_16K, L16_24K])
def test_audio_in_another_encoding_is_converted_to_its_last_sample(source: AudioFormat):
    call, line = make()
    speech = bytes(source.bytes_in(300))
    call.play(speech, source)
    assert len(audio_of(step(call, line, 1.0))) == PCMU_8K.bytes_in(300)


def test_an_utterance_goes_through_its_states_and_tells_watchers():
    call, line = make()
    seen = []
    call.on(seen.append)
    utterance = call.utterance()
    assert utterance.state is UtteranceState.QUEUED
    assert utterance.write(b"")  # nothing to say is no mistake
    assert utterance.write(b"\x80" * 800)
    step(call, line, 0.05)
    assert utterance.state is UtteranceState.SPEAKING
    assert call.speaking
    assert 0 < utterance.heard_ms <= 100
    utterance.end()
    utterance.end()
    step(call, line, 0.5)
    assert utterance.state is UtteranceState.PLAYED
    assert not call.speaking
    assert seen == [SpeakingStarted(utterance), SpeakingStopped(utterance, 100.0, False)]


def test_writing_after_the_end_is_a_mistake():
    call, _ = make()
    utterance = call.play(b"\xff" * 160)
    with pytest.raises(ValueError, match="end"):
        utterance.write(b"\xff")


def test_barge_in_clears_what_is_said_and_what_waits():
    call, line = make()
    seen = []
    call.on(seen.append)
    first, second = call.play(b"\x80" * 8000), call.play(b"\x80" * 8000)
    step(call, line, 0.3)
    call.clear()
    wire = step(call, line, 1.0)
    assert audio_of(wire) == b""
    assert (first.state, second.state) == (UtteranceState.CLEARED, UtteranceState.CLEARED)
    assert 200 <= first.heard_ms <= 310
    assert second.heard_ms == 0
    assert not first.write(b"\xff")
    first.end()
    stopped = seen[-1]
    assert isinstance(stopped, SpeakingStopped)
    assert stopped.cleared
    assert stopped.utterance is first
    assert [type(e).__name__ for e in seen] == ["SpeakingStarted", "SpeakingStopped"]


def test_after_a_barge_in_the_next_utterance_is_whole():
    call, line = make()
    call.play(b"\x01" * 8000)
    step(call, line, 0.3)
    call.clear()
    call.play(b"\x02" * 1600)
    assert audio_of(step(call, line, 1.0)) == b"\x02" * 1600


def test_waiting_for_utterances():
    call, line = make()

    async def main():
        played = call.play(b"\x80" * 1600)
        waiting = asyncio.create_task(played.wait())
        quiet = asyncio.create_task(call.quiet())
        await asyncio.sleep(0)
        step(call, line, 0.1)
        await asyncio.sleep(0)
        assert not waiting.done()
        step(call, line, 0.4)
        assert await waiting is UtteranceState.PLAYED
        assert await played is UtteranceState.PLAYED
        await quiet
        await call.quiet()

    run_virtual(main())


def test_a_cancelled_wait_does_not_spoil_the_next():
    call, line = make()

    async def main():
        utterance = call.play(b"\x80" * 1600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(utterance.wait(), 0.1)
        step(call, line, 0.5)
        return await utterance.wait()

    assert run_virtual(main()) is UtteranceState.PLAYED


def test_a_live_utterance_is_not_paced():
    call, line = make()
    utterance = call.utterance(live=True)
    utterance.write(b"\x80" * 8000)
    assert len(audio_of(line.playout.due(line.time))) == 8000


def test_marks_never_show_on_the_bots_side():
    line = Line(marks=Marks.RETURNED)
    started = Started(call_id="c1", inbound=PCMU_8K, outbound=PCMU_8K)
    call = Call(INFO, started, line)
    seen = []
    call.on(seen.append)
    call.play(b"\x80" * 160)
    assert any(isinstance(event, Mark) for event in line.playout.due(line.time))
    assert seen == []


# --- acting, and the end ---


def test_asks_its_line_to_act():
    call, line = make()

    async def main():
        await call.send_digits("1w#")
        assert await call.transfer("+1555", from_="+1666") is Why.BUSY
        await call.hang_up()
        await call.hang_up(after_playback=False)

    run_virtual(main())
    assert line.asked == [
        ("digits", "1w#"),
        ("transfer", "+1555", "+1666"),
        ("hang_up", True),
        ("hang_up", False),
    ]


@pytest.mark.parametrize("digits", ["", "x", "12 3", "+"])
def test_refuses_keys_no_telephone_has(digits):
    call, line = make()
    with pytest.raises(ValueError, match="0-9"):
        run_virtual(call.send_digits(digits))
    assert line.asked == []


def test_messages_without_a_word_are_the_lines():
    call, line = make()
    call.send_extra("later", {"a": 1})
    with pytest.raises(Unsupported, match="acme takes no messages"):
        call.send_extra("strange", {})
    assert line.asked == [Extra("later", {"a": 1}), Extra("strange", {})]


def test_when_it_is_over_nothing_more_can_be_asked():
    call, line = make()

    async def main():
        utterance = call.utterance()
        utterance.write(b"\x80" * 800)
        step(call, line, 0.05)
        waiting = asyncio.create_task(utterance.wait())
        await asyncio.sleep(0)
        call.over(OVER)
        assert await waiting is UtteranceState.CLEARED
        assert utterance.heard_ms <= 100
        assert not utterance.write(b"\x80")
        for act in (call.send_digits("1"), call.transfer("+1")):
            with pytest.raises(CallEnded, match="completed"):
                await act
        with pytest.raises(CallEnded):
            call.play(b"")
        with pytest.raises(CallEnded):
            call.send_extra("later", {})
        call.clear()
        await call.hang_up()
        # What happened before is still told, to whoever asks late; then it is over.
        assert [type(event) async for event in call] == [SpeakingStarted]

    run_virtual(main())
    assert call.ended == OVER
    assert not call.speaking
    assert line.asked == []


def test_a_change_of_an_utterance_that_is_forgotten_is_ignored():
    call, line = make()
    call.play(b"\x80" * 160)
    wire = line.playout.due(line.time)
    assert audio_of(wire)
    call.over(OVER)
    line.time += 1
    for change in line.playout.changes(line.time):
        call.changed(change)
    assert not call.speaking


def test_what_a_bot_leaves_open_can_be_ended_for_it():
    call, line = make()
    utterance = call.utterance()
    utterance.write(b"\x80" * 160)
    call.end_utterances()
    step(call, line, 0.5)
    assert utterance.state is UtteranceState.PLAYED


# --- keys ---


async def press(call, keys, gap=1.0):
    for key in keys:
        await asyncio.sleep(gap)
        call.happened(Digit(key))


async def collect(call, keys, gap=1.0, **options):
    """What is collected while somebody presses ``keys``, and how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    pressing = asyncio.create_task(press(call, keys, gap))
    got = await call.collect_digits(**options)
    took = loop.time() - began
    pressing.cancel()
    return got, pytest.approx(took)


@pytest.mark.parametrize(
    ("keys", "options", "got", "took"),
    [
        ("1234", {"count": 4}, "1234", 4),
        ("123456", {"count": 4}, "1234", 4),
        ("12#", {}, "12", 3),
        ("12#", {"count": 3}, "12", 3),
        ("12#", {"count": 3, "terminator": ""}, "12#", 3),
        ("12*", {"terminator": "*"}, "12", 3),
        ("12", {}, "12", 2 + 4),
        ("12", {"next_timeout": 2.5}, "12", 2 + 2.5),
        ("", {}, "", 10),
        ("", {"first_timeout": 3}, "", 3),
        ("#", {}, "", 1),
    ],
)
def test_keys_are_collected_until_one_of_the_ends(keys, options, got, took):
    call, _ = make()
    assert run_virtual(collect(call, keys, **options)) == (got, took)


@pytest.mark.parametrize("secret", [False, True])
def test_secret_keys_reach_nobody_else(secret):
    call, _ = make()
    seen = []
    call.on(seen.append)

    async def main():
        got, _ = await collect(call, "42#", secret=secret)
        call.happened(Digit("9"))
        return got

    assert run_virtual(main()) == "42"
    others = [] if secret else [Digit("4"), Digit("2"), Digit("#")]
    assert seen == [*others, Digit("9")]


@pytest.mark.parametrize("secret", [False, True])
def test_the_first_key_stops_what_is_being_said(secret):
    call, line = make()
    call.happened(Digit("1"))  # before: not for us

    async def main():
        assert await collect(call, "", first_timeout=3, clear=True) == ("", 3)
        assert line.clears == 0
        await collect(call, "42#", secret=secret, clear=True)
        assert line.clears == 1
        await collect(call, "42#", secret=secret)
        await collect(call, "#", secret=secret, clear=True)
        assert line.clears == 2

    run_virtual(main())


def test_two_may_collect_at_once():
    call, _ = make()

    async def main():
        pressing = asyncio.create_task(press(call, "12"))
        got = await asyncio.gather(call.collect_digits(1), call.collect_digits(2))
        await pressing
        return got

    assert run_virtual(main()) == ["1", "12"]


def test_the_end_of_the_call_ends_collecting():
    call, _ = make()

    async def main():
        collecting = asyncio.create_task(call.collect_digits(4))
        await press(call, "1")
        call.over(OVER)
        assert await collecting == "1"
        with pytest.raises(CallEnded):
            await call.collect_digits(4)

    run_virtual(main())


def test_no_keys_at_all_cannot_be_asked_for():
    call, _ = make()
    with pytest.raises(ValueError, match="at least 1"):
        run_virtual(call.collect_digits(0))


def test_the_end_can_be_waited_for():
    call, _ = make()

    async def main():
        first, second = (asyncio.create_task(call.wait()) for _ in range(2))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call.wait(), 1.0)
        call.over(OVER)
        assert await first == await second == await call.wait() == OVER

    run_virtual(main())
