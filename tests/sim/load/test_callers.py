"""What callers do and measure, with the time told to them."""

import pytest

from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.media.transcode import Transcoder
from trunkline.sim.load.callers import EchoCaller, InterruptingCaller, TalkingCaller, caller, voice
from trunkline.sim.load.figures import Live
from trunkline.sim.load.pattern import Pattern
from trunkline.sim.load.plan import Scenario
from trunkline.sim.load.playout import Playout

SILENCE = b"\xff" * 160


class Bench:
    """A caller, with figures and a buffer that holds nothing back."""

    def __init__(self, make):
        self.live = Live()
        self.playout = Playout(0)
        self.caller = make(self)
        self.now = 100.0

    @property
    def figures(self):
        return self.live.settle()

    def hear(self, audio, now, audio_format=PCMU_8K):
        begins = self.playout.add(audio_format.ms_in(len(audio)) / 1000, now)
        self.caller.hear(audio, now, begins)

    def turn(self, bot=b""):
        """20 ms: the caller's frame; and perhaps something the bot says."""
        self.now = round(self.now + 0.02, 6)
        frame = self.caller.frame(self.now)
        if bot:
            self.hear(bot, self.now)
        return frame


def echo_bench(heard=PCMU_8K, first=0):
    return Bench(
        lambda bench: EchoCaller(bench.playout, bench.live, Pattern(PCMU_8K), heard, first)
    )


def test_an_echo_is_as_late_as_it_is():
    bench = echo_bench()
    for number in range(200):
        frame = bench.turn()
        bench.hear(frame, bench.now + (0.1505 if number == 120 else 0.0035))
    late = bench.figures.lateness
    assert bench.figures.frames_back == 200
    assert late.quantile(0.5) == pytest.approx(3.5, abs=0.011)
    assert late.most == pytest.approx(150.5)
    assert late.quantile(0.99) == pytest.approx(3.5, abs=0.011)
    # … and as heard: what came after the late one waits behind it.
    assert bench.figures.lag.quantiles([0.5, 0.9]) == pytest.approx([3.5, 150.5], abs=0.11)


def test_two_frames_in_one_message_are_told_apart():
    bench = echo_bench()
    first, then = bench.turn(), bench.turn()
    bench.hear(first + then, bench.now + 0.001)
    assert bench.figures.frames_back == 2
    # The first waited for the second, and the second comes after the first.
    assert bench.figures.lateness.quantiles([0.5, 1]) == pytest.approx([21, 21], abs=0.011)


def test_what_is_lost_and_what_comes_twice_is_counted():
    bench = echo_bench()
    for number in range(20):
        frame = bench.turn()
        if number not in (0, 5, 6):  # the first is no loss: the bot was not there yet
            bench.hear(frame, bench.now)
        if number == 9:
            bench.hear(frame, bench.now)
    assert (bench.figures.frames_lost, bench.figures.frames_repeated) == (2, 1)
    assert bench.figures.frames_back == 17


@pytest.mark.parametrize("first", [0, 40_000_000])
@pytest.mark.parametrize("cut", [1, 5, 80, 159])
def test_however_it_is_cut_in_between_an_echo_is_measured_and_nothing_lost(cut, first):
    """Whole frames are recognized as they are, others by their numbers: one after the other."""
    bench = echo_bench(first=first)
    for number in range(60):
        frame = bench.turn()
        if number % 3 == 1:
            bench.hear(frame[:cut], bench.now + 0.002)
            bench.hear(frame[cut:], bench.now + 0.002)
        else:
            bench.hear(frame, bench.now + 0.002)
    assert (bench.figures.frames_back, bench.figures.frames_lost) == (60, 0)
    assert bench.figures.frames_repeated == 0
    ahead = 20.0 * cut / 160  # the second piece comes with the first, and lasts less
    assert bench.figures.lateness.quantile(0.5) == pytest.approx(2, abs=0.011)
    assert 2 - ahead - 0.011 <= bench.figures.lateness.quantile(0) <= 2.011


def test_what_comes_back_after_ten_seconds_is_an_error():
    bench = echo_bench()
    old = bench.turn()
    for _ in range(520):
        bench.turn()
    bench.hear(old, bench.now)
    assert bench.figures.errors == {"echo": 1}
    assert bench.figures.frames_back == 0


@pytest.mark.parametrize("same", [True, False])
def test_resampled_or_in_another_encoding_it_is_measured_by_beeps(same):
    audio = PCMU_8K if same else L16_8K
    bench = echo_bench(audio)
    # A gain that destroys the numbers, in the same encoding; or another encoding.
    there, back = Transcoder(PCMU_8K, L16_8K), Transcoder(L16_8K, audio)
    for _ in range(260):
        pcm = there.push(bench.turn())
        softer = b"".join(
            (int.from_bytes(pcm[n : n + 2], "little", signed=True) * 7 // 8).to_bytes(
                2, "little", signed=True
            )
            for n in range(0, len(pcm), 2)
        )
        bench.hear(back.push(softer), bench.now + 0.018, audio)
    assert bench.figures.frames_back == 0
    assert bench.figures.beeps_back == 5
    assert bench.figures.lateness.quantile(0.5) == pytest.approx(18, abs=0.3)


def interrupting(press=None):
    words = (b"word",) * 10
    return Bench(lambda bench: InterruptingCaller(bench.playout, SILENCE, bench.live, words, press))


def test_a_barge_in_is_timed_from_the_first_sound_to_the_clear():
    bench, began = interrupting(), 0.0
    for _ in range(60):
        if bench.turn(SILENCE) == b"word":
            began = bench.now
            break
    assert began == pytest.approx(101.04)  # a second after it heard the bot
    bench.playout.clear(began + 0.123)
    bench.caller.cleared(began + 0.123)
    assert bench.figures.stop.most == pytest.approx(123)
    assert [bench.turn() for _ in range(10)] == [b"word"] * 9 + [SILENCE]


def test_without_a_clear_it_is_timed_to_the_end_of_what_was_heard():
    bench, pressed = interrupting(lambda: pressed.append(bench.now)), []
    while not pressed:
        assert bench.turn(SILENCE) == SILENCE
    for _ in range(4):  # it speaks on for 80 ms, and what came is played to its end
        bench.turn(SILENCE)
    for _ in range(20):
        bench.turn()
    assert bench.figures.stop.most == pytest.approx(100, abs=0.1)
    assert bench.figures.errors == {}


def test_a_bot_that_speaks_on_is_an_error_and_is_interrupted_again():
    pressed = []
    bench = interrupting(lambda: pressed.append(bench.now))
    for _ in range(8 * 50):
        bench.turn(SILENCE)
    assert bench.figures.errors == {"barge-in": 1}
    assert len(pressed) == 2
    assert not bench.figures.stop.count


def test_a_talking_caller_speaks_when_the_bot_does_not():
    words = (b"a", b"b")
    bench = Bench(lambda bench: TalkingCaller(bench.playout, SILENCE, words, 100.0))
    silent = [bench.turn() for _ in range(249)]
    assert set(silent) == {SILENCE}  # it waits 5 s for the bot to begin
    assert [bench.turn() for _ in range(4)] == [SILENCE, b"a", b"b", SILENCE]
    for _ in range(20):
        assert bench.turn(SILENCE) == SILENCE  # the bot answers
    after = [bench.turn() for _ in range(60)]
    assert after.index(b"a") == 51  # a second after its last sound
    assert bench.turn() == SILENCE


@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_scenario_has_a_caller_whose_frames_last_20_ms(scenario):
    for audio in (PCMU_8K, L16_8K):
        who = caller(
            scenario,
            Playout(0),
            Live(),
            inbound=audio,
            outbound=audio,
            pattern=Pattern(audio),
            press=None,
            now=0.0,
        )
        assert {len(who.frame(now)) for now in (0.0, 10.0, 10.02)} == {audio.bytes_in(20)}


def test_the_callers_voice_begins_with_sound():
    frames = voice(L16_8K)
    assert max(frames[0]) > 0
    assert {len(frame) for frame in frames} == {320}
    assert len(frames) > 100
