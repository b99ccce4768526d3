"""Ears in virtual time, with a rating that reads the audio's first sample. No model."""

import asyncio

import pytest

from trunkline.bots.ears import Ears
from trunkline.bots.speech import SpeechEnded, SpeechStarted, Transcript
from trunkline.bots.vad import WINDOW_BYTES, TurnDetector
from trunkline.media.formats import L16_16K
from trunkline.sim.clock import run_virtual

VOICE = (8000).to_bytes(2, "little", signed=True) * 512  # -12.2 dBFS
ECHO = (700).to_bytes(2, "little", signed=True) * 512  # -33.4 dBFS
SILENCE = bytes(WINDOW_BYTES)
END = SILENCE * 16


class Rating:
    """Anything that is not digital silence is speech."""

    def __init__(self):
        self.windows = 0
        self.resets = 0
        self.error = None

    def __call__(self, window):
        assert len(window) == WINDOW_BYTES
        if self.error is not None:
            raise self.error
        self.windows += 1
        return 0.0 if window == SILENCE else 1.0

    def reset(self):
        self.resets += 1


class Writing:
    """Writes down how many windows it was given, after as many seconds as it is told."""

    def __init__(self):
        self.delays = []
        self.given = []
        self.error = None

    async def warm_up(self):
        return None

    async def transcribe(self, audio):
        self.given.append(audio)
        if self.delays:
            await asyncio.sleep(self.delays.pop(0))
        if self.error is not None:
            raise self.error
        return f"take {len(self.given)}"


class Scene:
    def __init__(self, load=None, detector=None):
        self.rating = Rating()
        self.writing = Writing()
        self.ears = Ears(load or (lambda: self.rating), self.writing, detector)
        self.heard = []
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.task = self.loop.create_task(self._collect())

    async def _collect(self):
        async for heard in self.ears:
            self.heard.append((round(self.loop.time() - self.began, 3), heard))

    @property
    def kinds(self):
        return [type(heard) for _, heard in self.heard]

    async def speak(self, audio, ms=32):
        """Push audio as it would come in, 32 ms at a time."""
        for at in range(0, len(audio), WINDOW_BYTES):
            self.ears.push(audio[at : at + WINDOW_BYTES])
            await asyncio.sleep(ms / 1000)


def hearing(scene, **options):
    async def main():
        stage = Scene(**options)
        await asyncio.sleep(0.001)
        try:
            await scene(stage)
        finally:
            await stage.ears.close()
            await asyncio.wait([stage.task])
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return stage

    return run_virtual(main())


def test_a_turn_is_noticed_ended_and_written_down():
    async def scene(stage):
        await stage.speak(VOICE * 10 + END)

    stage = hearing(scene)
    begun, ended, written = stage.heard
    assert begun == (pytest.approx(0.065, abs=0.002), SpeechStarted())
    assert ended == (pytest.approx(0.801, abs=0.002), SpeechEnded())
    assert written[1] == Transcript("take 1", pytest.approx(26 * 0.032))
    assert stage.writing.given == [VOICE * 10 + END]
    assert stage.ears.format == L16_16K


def test_any_chunks_will_do():
    async def scene(stage):
        audio = VOICE * 10 + END
        for at in range(0, len(audio), 333):
            stage.ears.push(audio[at : at + 333])
            await asyncio.sleep(0)

    stage = hearing(scene)
    assert stage.rating.windows == 26
    assert stage.kinds == [SpeechStarted, SpeechEnded, Transcript]


def test_half_a_second_from_before_is_kept():
    async def scene(stage):
        await stage.speak(SILENCE * 100 + VOICE * 5 + END)

    (given,) = hearing(scene).writing.given
    assert given == SILENCE * 14 + VOICE * 5 + END  # with the three that were needed to notice


def test_a_second_turn_has_nothing_of_the_first():
    async def scene(stage):
        await stage.speak(VOICE * 9 + END + VOICE * 5 + END)

    assert hearing(scene).writing.given == [VOICE * 9 + END, VOICE * 5 + END]


def test_transcripts_come_in_order_and_do_not_delay_what_is_heard_next():
    async def scene(stage):
        stage.writing.delays = [5.0, 0.0]
        await stage.speak(VOICE * 5 + END + VOICE * 5 + END)
        await asyncio.sleep(5)

    stage = hearing(scene)
    assert [type(h).__name__ for _, h in stage.heard] == [
        "SpeechStarted",
        "SpeechEnded",
        "SpeechStarted",
        "SpeechEnded",
        "Transcript",
        "Transcript",
    ]
    assert [h.text for _, h in stage.heard[4:]] == ["take 1", "take 2"]


def test_a_caller_whose_frames_stop_has_stopped():
    async def scene(stage):
        await stage.speak(VOICE * 10)
        stage.stopped = stage.loop.time() - 0.032
        await asyncio.sleep(1)
        await stage.speak(VOICE * 3)

    stage = hearing(scene)
    at, ended = stage.heard[1]
    assert ended == SpeechEnded()
    assert at + stage.began - stage.stopped <= 0.3
    assert stage.kinds == [SpeechStarted, SpeechEnded, Transcript, SpeechStarted]
    assert stage.rating.resets == 1


def test_frames_that_merely_jitter_are_waited_for():
    async def scene(stage):
        await stage.speak(VOICE * 5)
        await asyncio.sleep(0.15)
        await stage.speak(VOICE * 10)
        await asyncio.sleep(0.15)
        await stage.speak(VOICE * 5 + END)
        await asyncio.sleep(1)

    assert hearing(scene).kinds == [SpeechStarted, SpeechEnded, Transcript]


def test_what_came_before_the_model_was_loaded_is_heard():
    async def main():
        stage = Scene()
        stage.ears.push(VOICE * 10 + END)
        assert stage.rating.windows == 0
        await asyncio.sleep(0.001)
        await stage.ears.close()
        await asyncio.wait([stage.task])
        return stage

    assert run_virtual(main()).kinds[:2] == [SpeechStarted, SpeechEnded]


def echoing(loudness, audio):
    async def scene(stage):
        stage.ears.expect_echo(loudness)
        await stage.speak(audio)

    return hearing(scene).kinds


def test_our_echo_is_not_the_caller():
    # We speak at -16 dBFS: what comes back is at -36 or less, and counts up to 4 dB more.
    assert echoing(-16.0, ECHO * 50) == []
    assert echoing(-18.0, ECHO * 50) == [SpeechStarted]
    assert echoing(-16.0, VOICE * 50) == [SpeechStarted]


def test_an_echo_may_come_late_but_not_for_ever():
    async def scene(stage):
        stage.ears.expect_echo(-16.0)
        stage.ears.expect_echo(None)
        await stage.speak(ECHO * 11)
        stage.late = list(stage.kinds)
        await stage.speak(ECHO * 3)

    stage = hearing(scene)
    assert stage.late == []
    assert stage.kinds == [SpeechStarted]


def test_we_may_speak_again_before_the_echo_is_over():
    async def scene(stage):
        stage.ears.expect_echo(-16.0)
        stage.ears.expect_echo(None)
        await stage.speak(ECHO * 5)
        stage.ears.expect_echo(-16.0)
        await stage.speak(ECHO * 50)

    assert hearing(scene).kinds == []


def test_silence_before_any_echo_changes_nothing():
    async def scene(stage):
        stage.ears.expect_echo(None)
        await stage.speak(SILENCE * 12 + ECHO * 3)

    assert hearing(scene).kinds == [SpeechStarted]


def broken(stage, error):
    assert stage.task.exception() is error


def test_a_model_that_does_not_load_is_told():
    error = RuntimeError("no such model")

    def load():
        raise error

    async def scene(stage):
        await stage.speak(VOICE * 5)

    broken(hearing(scene, load=load), error)


def test_a_model_that_fails_is_told_and_not_raised_at_the_call():
    error = RuntimeError("out of memory")

    async def scene(stage):
        await stage.speak(VOICE * 5)
        stage.rating.error = error
        await stage.speak(VOICE * 12)
        await asyncio.sleep(1)

    broken(hearing(scene), error)


def test_a_transcriber_that_fails_is_told():
    async def scene(stage):
        stage.writing.error = OSError("gone")
        await stage.speak(VOICE * 5 + END)

    stage = hearing(scene)
    broken(stage, stage.writing.error)


def test_closing_ends_everything_and_may_be_said_twice():
    async def scene(stage):
        stage.writing.delays = [100]
        await stage.speak(VOICE * 5 + END + VOICE * 5)
        await stage.ears.close()
        await stage.task
        stage.ended = stage.loop.time() - stage.began

    stage = hearing(scene, detector=TurnDetector(silence_ms=320))
    assert stage.kinds == [SpeechStarted, SpeechEnded, SpeechStarted]
    assert stage.ended < 2
