"""The transport on a simulated call: what is heard, what is told of it, and how it ends."""

import asyncio
import warnings
from itertools import pairwise

import numpy as np
import pytest

with warnings.catch_warnings():  # Pipecat imports audioop, which warns of its end
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.transports.base_output")

from loguru import logger
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.audio.mixers.base_audio_mixer import BaseAudioMixer
from pipecat.frames import frames
from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    FilterEnableFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams
from pipeline_rig import on_call, speech, tone

from trunkline.adapters.pipecat.transport import TrunklineParams, TrunklineTransport
from trunkline.events import Failed, Who, Why
from trunkline.media.formats import L16_8K, Encoding
from trunkline.media.g711 import decode, encode
from trunkline.media.tones import DtmfDetector
from trunkline.sim.faults import Faults
from trunkline.sim.line import How
from trunkline.sim.record import BOT, Kind

EIGHT = "one two three four five six seven eight"


def audible_s(pcm):
    """Seconds of L16 at 8 kHz in which there is anything."""
    samples = np.abs(np.frombuffer(pcm, "<i2")[: len(pcm) // 320 * 160].astype(int))
    return (samples.reshape(-1, 160).max(1) > 500).sum() * 0.02


def test_what_follows_our_voice_comes_when_it_is_heard():
    async def scene(call, held):
        await held.say(*speech(EIGHT, 2.0))
        await call.wait_for_speech()
        await call.wait_for_silence()

    call, held = on_call(scene)
    after = held.after
    assert audible_s(call.heard) == pytest.approx(2.0, abs=0.04)
    assert after.text == EIGHT
    [started] = after.times(BotStartedSpeakingFrame)
    [stopped] = after.times(BotStoppedSpeakingFrame)
    assert stopped - started == pytest.approx(2.0, abs=0.03)
    # Eight words in two seconds: one every 250 ms, each when it has been said.
    words = [at - started for at in after.times(TTSTextFrame)]
    assert words == pytest.approx([0.25 * n for n in range(1, 9)], abs=0.05)
    assert after.times(TTSStoppedFrame)[0] >= started + 2.0 - 0.03
    # Its audio, as it was given, at the caller's pace.
    assert b"".join(f.audio for f in after.frames(TTSAudioRawFrame)) == tone(2.0)
    assert len(after.frames(TTSAudioRawFrame)) >= 45
    assert held.named("on_playback_finished") == [held.call]


@pytest.mark.parametrize("carrier", ["bandwidth", "twilio", "wavix", "sfvopi"])
def test_after_a_barge_in_nothing_more_is_heard_or_remembered(carrier):
    async def scene(call, held):
        await held.say(*speech(EIGHT, 4.0))
        begun = await call.wait_for_speech()
        await asyncio.sleep(begun + 2.1 - call.now)
        await held.say(InterruptionFrame())
        scene.said_at = call.now
        await asyncio.sleep(3.0)
        scene.quiet_at = call.line.ear.voice_at

    call, held = on_call(scene, carrier=carrier)
    assert scene.quiet_at - scene.said_at < 0.1
    assert held.after.text in ("one two three", "one two three four")
    [started] = held.after.times(BotStartedSpeakingFrame)
    [stopped] = held.after.times(BotStoppedSpeakingFrame)
    assert stopped - started == pytest.approx(2.1, abs=0.15)
    assert held.after.frames(TTSStoppedFrame) == []
    told = sum(len(frame.audio) for frame in held.after.frames(TTSAudioRawFrame)) / 32000
    assert told == pytest.approx(audible_s(call.heard), abs=0.15)
    assert held.named("on_playback_finished") == [held.call]


@pytest.mark.parametrize("carrier", ["bandwidth", "twilio", "wavix", "sfvopi"])
def test_an_ending_pipeline_is_heard_to_its_last_sample(carrier):
    async def scene(call, held):
        await held.say(*speech("Goodbye!", 1.0))
        await held.end()
        await call.ended()

    call, held = on_call(scene, carrier=carrier)
    assert audible_s(call.heard) == pytest.approx(1.0, abs=0.03)
    assert held.after.text == "Goodbye!"
    assert call.reason.who is Who.BOT
    assert held.named("on_client_disconnected") == []


def test_a_cancelled_pipeline_hangs_up_at_once():
    async def scene(call, held):
        await held.say(*speech(EIGHT, 9.0))
        await call.wait_for_speech()
        await held.worker.queue_frame(CancelFrame())
        await call.ended()

    call, _ = on_call(scene)
    assert call.how is How.REST
    assert audible_s(call.heard) < 1.0


def test_a_pipeline_may_end_and_leave_the_hanging_up_to_the_bot():
    async def scene(call, held):
        await held.say(*speech("One moment.", 1.0))
        await held.end()
        await call.ended()

    call, _ = on_call(scene, params=lambda: TrunklineParams(auto_hang_up=False))
    assert audible_s(call.heard) == pytest.approx(1.0, abs=0.03)


def test_sentences_that_follow_each_other_are_one_stretch_of_speech():
    async def scene(call, held):
        await held.say(*speech("one two", 1.0), *speech("three four", 1.0))
        await call.wait_for_speech()
        await call.wait_for_silence()

    _, held = on_call(scene)
    assert held.after.text == "one two three four"
    [started] = held.after.times(BotStartedSpeakingFrame)
    [stopped] = held.after.times(BotStoppedSpeakingFrame)
    assert stopped - started == pytest.approx(2.0, abs=0.05)


def test_words_announced_are_told_before_their_audio_is_complete():
    async def scene(call, held):
        sentence = AggregatedTextFrame(EIGHT, "sentence", context_id="1")
        sentence.will_be_spoken, sentence.append_to_context = True, False
        audio = TTSAudioRawFrame(tone(1.5), 16000, 1, context_id="1")
        await held.say(sentence, TTSStartedFrame(context_id="1"), audio)
        await call.wait_for_speech()
        await asyncio.sleep(1.4)
        await held.say(InterruptionFrame())
        await asyncio.sleep(0.1)

    _, held = on_call(scene)
    assert held.after.text == "one two three four"  # at 330 ms a word
    assert all(frame.append_to_context for frame in held.after.frames(TTSTextFrame))


def test_words_with_times_of_their_own_keep_them():
    async def scene(call, held):
        begun = held.transport.output().get_clock().get_time()
        words = [TTSTextFrame(word, "word", context_id="1") for word in ("one", "two", "three")]
        for n, word in enumerate(words):
            word.pts = begun + int((0.5 + n * 0.5) * 1e9)
        audio = TTSAudioRawFrame(tone(2.0), 16000, 1, context_id="1")
        await held.say(TTSStartedFrame(context_id="1"), audio, *words)
        await call.wait_for_speech()
        await asyncio.sleep(1.25)
        await held.say(InterruptionFrame())
        await asyncio.sleep(1.0)

    _, held = on_call(scene)
    assert held.after.text == "one two"
    [started] = held.after.times(BotStartedSpeakingFrame)
    said = [at - started for at in held.after.times(TTSTextFrame)]
    assert said == pytest.approx([0.5, 1.0], abs=0.1)


def test_a_sound_that_nobody_ends_ends_by_itself_and_is_no_speech():
    async def scene(call, held):
        await held.say(OutputAudioRawFrame(tone(0.5), 16000, 1))
        await call.wait_for_speech()
        await call.wait_for_silence()
        await asyncio.sleep(1.0)

    call, held = on_call(scene)
    assert audible_s(call.heard) == pytest.approx(0.5, abs=0.03)
    assert held.after.frames(BotStartedSpeakingFrame) == []
    assert held.named("on_playback_finished") == [held.call]


def test_the_first_channel_of_two_is_said():
    async def scene(call, held):
        mono = np.frombuffer(tone(0.5), "<i2")
        stereo = np.stack([mono, np.zeros_like(mono)], 1).tobytes()
        await held.say(OutputAudioRawFrame(stereo, 16000, 2))
        await call.wait_for_speech()
        await call.wait_for_silence()

    call, _ = on_call(scene)
    assert audible_s(call.heard) == pytest.approx(0.5, abs=0.03)


def test_a_service_that_speaks_the_carriers_codec_is_passed_through():
    spoken = encode(tone(1.0, 8000), Encoding.PCMU)

    async def scene(call, held):
        await held.say(TTSAudioRawFrame(spoken, 8000, 1), TTSStoppedFrame())
        await call.say(tone(1.0, 8000), L16_8K)

    call, held = on_call(
        scene,
        carrier="twilio",
        rate=8000,
        params=lambda: TrunklineParams(
            audio_in_encoding=Encoding.PCMU, audio_out_encoding=Encoding.PCMU
        ),
    )
    assert decode(spoken, Encoding.PCMU) in call.heard
    heard = b"".join(frame.audio for frame in held.before.frames(InputAudioRawFrame))
    assert spoken[200:-200] in heard


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_caller_is_heard_at_the_pipelines_rate(rate):
    async def scene(call, held):
        await call.say(tone(1.0, 8000), L16_8K)
        await asyncio.sleep(0.2)

    _, held = on_call(scene, rate=rate)
    frames = held.before.frames(InputAudioRawFrame)
    assert {frame.sample_rate for frame in frames} == {rate}
    heard = np.frombuffer(b"".join(frame.audio for frame in frames), "<i2").astype(int)
    loud = np.flatnonzero(np.abs(heard) > 2000)
    assert (loud[-1] - loud[0]) / rate == pytest.approx(1.0, abs=0.01)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.1)


def test_keys_come_in():
    async def scene(call, held):
        await call.press("5#")
        await asyncio.sleep(0.5)

    _, held = on_call(scene, carrier="twilio")
    assert [frame.button.value for frame in held.before.frames(InputDTMFFrame)] == ["5", "#"]
    assert held.named("on_dtmf") == ["5", "#"]


@pytest.mark.parametrize(
    ("carrier", "out_of_band"), [("plivo", True), ("bandwidth", True), ("sfvopi", False)]
)
def test_keys_go_out_when_what_was_said_before_was_heard(carrier, out_of_band):
    async def scene(call, held):
        await held.say(*speech("one", 1.0), OutputDTMFFrame(KeypadEntry.FIVE))
        await asyncio.sleep(3.0)

    call, held = on_call(scene, carrier=carrier)
    assert DtmfDetector(L16_8K).push(call.heard) == "5"
    assert DtmfDetector(L16_8K).push(call.heard[: 16000 * 1]) == ""
    pressed = [m.text for m in call.record().moments if (m.kind, m.channel) == (Kind.KEY, BOT)]
    assert pressed == (["5"] if out_of_band else [])
    assert held.before.errors == []


def test_who_hangs_up_is_told():
    async def scene(call, held):
        await asyncio.sleep(0.5)
        await call.hang_up()

    _, held = on_call(scene)
    assert held.events == [
        ("on_client_connected", held.call),
        ("on_client_disconnected", held.call),
    ]


def test_nothing_is_said_to_somebody_gone():
    async def scene(call, held):
        await call.hang_up()
        await held.say(*speech("Hello?", 1.0))
        await held.say(OutputTransportMessageUrgentFrame({"eventType": "later"}))
        await asyncio.sleep(0.1)

    call, held = on_call(scene)
    assert held.before.errors == []
    assert audible_s(call.heard) == 0
    assert held.after.text == ""


@pytest.mark.parametrize("ends", [False, True])
def test_a_session_has_its_time(ends):
    async def scene(call, held):
        await asyncio.sleep(4.0)
        scene.over = call.reason

    params = lambda: TrunklineParams(session_timeout=2, session_timeout_ends_call=ends)  # noqa: E731
    _, held = on_call(scene, params=params)
    assert held.named("on_session_timeout") == [held.call]
    assert (scene.over is not None) is ends


# --- params of the transport that this one takes the place of -----------------------------------


def swapped(**given):
    return lambda: FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, **given)


@pytest.fixture
def warned():
    lines = []
    number = logger.add(lambda line: lines.append(line.record["message"]), level="WARNING")
    yield lines
    logger.remove(number)


def test_the_params_of_pipecats_transport_do_as_they_are(warned):
    async def scene(call, held):
        await held.say(*speech("one two", 1.0))
        await asyncio.sleep(2.5)

    class Originless(TwilioFrameSerializer):
        """Any serializer will do: none is asked."""

    given = {
        "serializer": Originless("MZ1", params=Originless.InputParams(auto_hang_up=False)),
        "add_wav_header": True,
        "fixed_audio_packet_size": 320,
        "allowed_origins": ["https://shop.example.com"],
        "ws_close_timeout": 0.1,
        "session_timeout": 2,
    }
    call, held = on_call(scene, carrier="twilio", params=swapped(**given))
    assert audible_s(call.heard) == pytest.approx(1.0, abs=0.03)
    assert np.abs(np.frombuffer(call.heard, "<i2")).max() < 8200  # no header is heard
    assert held.after.text == "one two"
    assert held.named("on_session_timeout") == [held.call]
    assert len(warned) == 2
    assert "serializer is not used" in warned[0]
    assert "add_wav_header is not done" in warned[1]


@pytest.mark.parametrize(
    ("carrier", "size", "fits"),
    [
        ("vonage", 640, True),
        ("vonage", 320, False),
        ("wavix", 960, True),
        ("wavix", 640, False),
        ("bandwidth", 333, True),  # takes any: the size is nothing to it
    ],
)
def test_packets_of_a_fixed_size_are_the_carriers(carrier, size, fits):
    async def bot(call):
        params = swapped(fixed_audio_packet_size=size)()
        if fits:
            TrunklineTransport(call, params)
        else:
            with pytest.raises(ValueError, match="20 ms a message"):
                TrunklineTransport(call, params)
        seen.append(call)

    async def scene(call, _):
        await call.ended()

    seen = []
    on_call(scene, carrier=carrier, bot=bot)
    assert len(seen) == 1


def test_a_mixer_is_refused():
    class Hum(BaseAudioMixer):
        start = stop = process_frame = mix = None

    with pytest.raises(ValueError, match="audio_out_mixer"):
        TrunklineTransport(None, TransportParams(audio_out_mixer=Hum()))


# --- messages in the carrier's own words ---------------------------------------------------------


def test_raw_messages_reach_the_carrier_urgent_ones_at_once():
    async def scene(call, held):
        await held.say(
            *speech("one", 1.0),
            OutputTransportMessageFrame({"eventType": "later", "a": 1}),
            OutputTransportMessageUrgentFrame({"eventType": "now"}),
            OutputTransportMessageUrgentFrame({"label": "rtvi-ai", "eventType": "none of theirs"}),
        )
        await call.wait_for_speech()
        await call.wait_for_silence()

    means = "the server sent {!r}, which means nothing here".format
    complaints = [means("now"), means("later")]
    call, held = on_call(scene, complaints=complaints)
    told = {moment.text: moment.at for moment in call.record().moments if moment.text in complaints}
    assert told[complaints[1]] - told[complaints[0]] == pytest.approx(1.0, abs=0.1)
    assert held.before.errors == []
    assert len(held.after.frames(OutputTransportMessageFrame)) == 1


def test_a_mark_comes_back_when_what_was_said_before_it_was_heard():
    async def scene(call, held):
        mark = {"event": "mark", "streamSid": held.call.id, "mark": {"name": "said"}}
        await held.say(*speech("one", 1.0), OutputTransportMessageFrame(mark))
        await call.wait_for_speech()
        await call.wait_for_silence()

    _, held = on_call(scene, carrier="twilio")
    [frame] = held.after.frames(InputTransportMessageFrame)
    assert (frame.message["event"], frame.message["mark"]) == ("mark", {"name": "said"})
    [told] = held.after.times(InputTransportMessageFrame)
    assert told - held.after.times(BotStartedSpeakingFrame)[0] == pytest.approx(1.0, abs=0.1)


def test_a_raw_clear_is_a_clear_and_raw_keys_are_keys():
    async def scene(call, held):
        await held.say(*speech(EIGHT, 4.0))
        begun = await call.wait_for_speech()
        await asyncio.sleep(begun + 1.0 - call.now)
        raw = {"event": "clearAudio", "streamId": held.call.id}
        await held.say(OutputTransportMessageUrgentFrame(raw))
        await asyncio.sleep(0.5)
        raw = {"event": "sendDTMF", "dtmf": "42"}
        await held.say(OutputTransportMessageUrgentFrame(raw))
        await asyncio.sleep(2.0)

    call, held = on_call(scene, carrier="plivo")
    assert held.before.errors == []
    assert audible_s(call.heard[: 16000 * 3]) < 1.4
    assert DtmfDetector(L16_8K).push(call.heard) == "42"


@pytest.mark.parametrize(
    ("carrier", "message", "why"),
    [
        ("twilio", {"event": "dance"}, ""),
        ("twilio", {"event": "mark", "streamSid": "another", "mark": {"name": "a"}}, ""),
        ("telnyx", {"event": "media", "media": {"payload": "////" * 80}}, "audio frames"),
        ("bandwidth", {"eventType": object()}, ""),
    ],
)
def test_a_message_that_cannot_be_sent_is_an_error_and_no_more(carrier, message, why):
    async def scene(call, held):
        await held.say(OutputTransportMessageUrgentFrame(message), *speech("one", 0.5))
        await asyncio.sleep(2.0)

    call, held = on_call(scene, carrier=carrier)
    [error] = held.before.errors
    assert error.startswith("message not sent: ")
    assert why in error
    assert audible_s(call.heard) == pytest.approx(0.5, abs=0.03)


# --- loudness, and what must not be interrupted --------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "encoding"), [("wavix", Encoding.L16), ("twilio", Encoding.PCMU)]
)
def test_the_voice_is_as_loud_as_it_is_told_to_be(carrier, encoding):
    volume, gain = (getattr(frames, f"Volume{name}Frame", None) for name in ("", "Gain"))
    if volume is None:
        pytest.skip("this Pipecat has no volume")

    async def scene(call, held):
        said = [TTSAudioRawFrame(encode(tone(0.5, 8000), encoding), 8000, 1) for _ in range(4)]
        await held.say(said[0], volume(volume=1.0), said[1], gain(gain=0.25), said[2])
        await held.say(volume(volume=9.0), gain(gain=1.0), said[3], TTSStoppedFrame())
        await call.wait_for_speech()
        await call.wait_for_silence()

    params = lambda: TrunklineParams(audio_out_volume=0.5, audio_out_encoding=encoding)  # noqa: E731
    call, _ = on_call(scene, carrier=carrier, rate=8000, params=params)
    samples = np.abs(np.frombuffer(call.heard, "<i2").astype(int))
    begin = np.flatnonzero(samples > 500)[0]
    peaks = [samples[begin + n * 4000 + 400 :][:3200].max() for n in range(4)]
    assert peaks[:3] == pytest.approx([4000, 8000, 2000], rel=0.05)
    assert peaks[3] >= 32000


def test_an_output_filter_is_told_what_it_should_do():
    class Loud(BaseAudioFilter):
        asked = 0

        async def start(self, sample_rate):
            pass

        async def stop(self):
            pass

        async def process_frame(self, frame):
            self.asked += 1

        async def filter(self, audio):
            return audio if self.asked else bytes(len(audio))

    if "audio_out_filter" not in TransportParams.model_fields:
        pytest.skip("this Pipecat filters no output")

    async def scene(call, held):
        said = [OutputAudioRawFrame(tone(0.5), 16000, 1) for _ in range(2)]
        await held.say(said[0], FilterEnableFrame(enable=True), said[1])
        await asyncio.sleep(2.0)

    call, _ = on_call(scene, params=lambda: TrunklineParams(audio_out_filter=Loud()))
    assert audible_s(call.heard) == pytest.approx(0.5, abs=0.03)


def test_speech_that_must_be_heard_is_heard_through_a_barge_in():
    said = TTSAudioRawFrame(tone(2.0), 16000, 1)
    if hasattr(said, "interruptible"):
        said.interruptible = False
    else:  # Pipecats before 1.11 say so by a class

        class MustBeHeard(TTSAudioRawFrame, frames.UninterruptibleFrame):
            pass

        said = MustBeHeard(tone(2.0), 16000, 1)

    async def scene(call, held):
        await held.say(said, TTSStoppedFrame())
        await call.wait_for_speech()
        await held.say(InterruptionFrame())
        await asyncio.sleep(3.0)
        await held.say(*speech(EIGHT, 4.0))
        await call.wait_for_speech()
        await held.say(InterruptionFrame())
        await asyncio.sleep(3.0)

    call, _ = on_call(scene)
    assert audible_s(call.heard) == pytest.approx(2.2, abs=0.2)


# --- a carrier that does not read ----------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["bandwidth", "twilio"])
def test_a_carrier_that_stops_reading_ends_the_call_and_stalls_nothing(carrier):
    async def scene(call, held):
        stalled = call.now + 1.0
        await held.say(*speech("on and on", 60.0))  # more than any buffer on the way holds
        await call.ended()
        scene.took = call.now - stalled

    call, held = on_call(scene, carrier=carrier, faults=Faults(stall_after=1.0))
    assert (call.how, held.call.ended.why) == (How.REST, Why.NETWORK)
    # 64 KiB are taken on the way, about six seconds; then two seconds for one write.
    assert scene.took < 9.0
    heard = held.before.times(InputAudioRawFrame)
    assert max(after - before for before, after in pairwise(heard)) < 0.1
    assert heard[-1] - heard[0] > 5.0
    assert held.named("on_client_disconnected") == [held.call]
    assert held.worker.has_finished()


def test_what_the_carrier_complains_of_reaches_the_pipeline():
    async def scene(call, held):
        held.call.happened(Failed("31900", "bad"))
        await asyncio.sleep(0.1)

    _, held = on_call(scene)
    [frame] = held.before.frames(InputTransportMessageFrame)
    assert frame.message == {"type": "Failed", "code": "31900", "message": "bad"}
