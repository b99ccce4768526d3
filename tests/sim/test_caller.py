"""What a person can do and wait for."""

import asyncio
import io
import struct
import time
import wave

import pytest

from trunkline.errors import CallEnded
from trunkline.events import Audio, CallState, Direction
from trunkline.media.formats import L16_8K, L16_16K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.sim.caller import read_wav
from trunkline.sim.deadline import Overdue
from trunkline.sim.measure import speech

from .acme import STREAM, Server, echo, play, tone


def wav(pcm, rate=8000, channels=1, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def talker(*plan):
    """A bot that speaks for so many ms, is silent for so many, and so on; then listens."""

    async def bot(talk):
        for speak, quiet in plan:
            await talk.say(Audio(encode(tone(speak), PCMU_8K.encoding)))
            await asyncio.sleep((speak + quiet) / 1000)
        await talk.until_gone()

    return bot


def test_what_is_said_is_recorded_where_it_was_said():
    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(1)
        begun = call.now
        await call.say(tone(500))
        assert call.now - begun == pytest.approx(0.5, abs=0.021)
        await call.say(encode(tone(300), PCMU_8K.encoding), PCMU_8K, words="again", wait=False)
        await asyncio.sleep(1)
        await call.hang_up()
        return call.record()

    record = play(Server(STREAM), scene)
    (span,) = speech(record.caller, 8000)
    assert (span.start, span.end) == (pytest.approx(1.02, abs=0.03), pytest.approx(1.82, abs=0.03))
    assert [m.text for m in record.moments if m.kind == "said"] == ["", "again"]


def test_words_need_a_speaker_and_any_kind_will_do(tmp_path):
    path = tmp_path / "hello.wav"
    path.write_bytes(wav(tone(200)))

    def slow(text):
        time.sleep(0.01)  # it runs in a thread: virtual time stands still
        return tone(100 * len(text)), L16_8K

    async def soon(text):
        await asyncio.sleep(1)
        return tone(100 * len(text)), L16_8K

    async def speak(call, what):
        begun = call.now
        await call.say(what)
        return round(call.now - begun, 1)

    async def scene(phone):
        call = await phone.call()
        took = [await speak(call, path)]
        if phone._speaker is None:
            with pytest.raises(ValueError, match="no speaker"):
                await call.say("hello")
        else:
            took.append(await speak(call, "hello"))
        await call.hang_up()
        with pytest.raises(CallEnded):
            await call.say(b"")
        return took

    assert play(Server(STREAM), scene) == [0.2]
    assert play(Server(STREAM), scene, speaker=slow) == [0.2, 0.5]
    assert play(Server(STREAM), scene, speaker=soon) == [0.2, 1.5]


def test_a_call_that_ends_cuts_the_speaker_short():
    async def scene(phone):
        call = await phone.call()
        speaking = asyncio.ensure_future(call.say(tone(5000)))
        await asyncio.sleep(1)
        await call.hang_up()
        with pytest.raises(CallEnded):
            await speaking

    play(Server(STREAM), scene)


def test_one_may_stop_in_mid_word():
    async def scene(phone):
        call = await phone.call()
        speaking = asyncio.ensure_future(call.say(tone(5000)))
        await asyncio.sleep(1)
        call.shut_up()
        await speaking
        await asyncio.sleep(1)
        await call.hang_up()
        return call.record()

    (span,) = speech(play(Server(STREAM), scene).caller, 8000)
    assert span.seconds == pytest.approx(1.0, abs=0.05)


def test_waiting_for_speech_and_for_silence():
    async def scene(phone):
        call = await phone.call()
        first = await call.wait_for_speech(2)
        assert call.speaking
        assert await call.wait_for_speech(0.001) == first  # still speaking: at once
        quiet = await call.wait_for_silence(400)
        assert not call.speaking
        assert call.now - quiet == pytest.approx(0.4, abs=0.04)
        second = await call.wait_for_speech()
        with pytest.raises(Overdue, match="700 ms of silence"):
            await call.wait_for_silence(within=0.5)
        await call.hang_up()
        assert await call.wait_for_silence() > 0
        return quiet - first, second - first

    spoke, again = play(Server(STREAM, bot=talker((800, 1200), (3000, 0))), scene)
    assert spoke == pytest.approx(0.8, abs=0.021)
    assert again == pytest.approx(2.0, abs=0.021)


def test_silence_must_last_from_when_one_begins_to_wait():
    async def scene(phone):
        call = await phone.call()
        await asyncio.sleep(5)
        begun = call.now
        await call.wait_for_silence(300)
        waited = call.now - begun
        await call.hang_up()
        return waited

    assert play(Server(STREAM), scene) == pytest.approx(0.3, abs=0.021)


def test_a_bot_that_says_nothing():
    async def leave(talk):
        await asyncio.sleep(2)

    async def scene(phone):
        call = await phone.call()
        with pytest.raises(Overdue, match="the bot to speak"):
            await call.wait_for_speech(1)
        with pytest.raises(CallEnded):
            await call.wait_for_speech(10)
        with pytest.raises(Overdue, match="a miracle"):
            await (await phone.call()).wait_until(lambda: False, "a miracle", 1)

    play(Server(STREAM, bot=leave), scene)


def test_what_can_be_seen_of_a_call():
    async def scene(phone):
        call = await phone.call(to="+12025550122")
        assert (call.info.to, call.info.direction) == ("+12025550122", Direction.INBOUND)
        assert call.state is CallState.ACTIVE
        assert (call.reason, call.how) == (None, None)
        await call.say(tone(100))
        await asyncio.sleep(0.1)
        assert len(call.heard) > 1600
        await call.hang_up()
        await call.hang_up()
        return call.record(verdict="fine")

    assert play(Server(STREAM, bot=echo), scene).verdict == "fine"


def test_wav_files():
    stereo = struct.pack("<4h", 1, 9, 2, 9)
    assert read_wav(wav(stereo, 16000, 2)) == (struct.pack("<2h", 1, 2), L16_16K)
    with pytest.raises(ValueError, match="8 bits"):
        read_wav(wav(b"abcd", width=1))
    with pytest.raises(ValueError, match="not a WAV"):
        read_wav(b"RIFF")
