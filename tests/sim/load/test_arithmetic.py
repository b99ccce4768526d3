"""What a load test's figures rest on, exactly: histograms, turns, playout, patterns, sums."""

import math
import random
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.carrier import Marks
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K, AudioFormat
from trunkline.media.g711 import decode, encode
from trunkline.media.transcode import Transcoder
from trunkline.sim.buffer import PlayoutBuffer
from trunkline.sim.load.figures import Figures, Second
from trunkline.sim.load.histogram import Histogram, Times, lower_edge, upper_edge
from trunkline.sim.load.pattern import BEEP_EVERY, BeepFinder, NumberFinder, Pattern
from trunkline.sim.load.playout import Playout
from trunkline.sim.load.proc import Usage
from trunkline.sim.load.tally import Spread, Tally
from trunkline.sim.load.wheel import SLOTS, slots_due

FORMATS = [PCMU_8K, PCMA_8K, L16_8K, L16_16K, L16_24K]


def histogram(times):
    filled = Histogram()
    for ms in times:
        filled.add(ms)
    return filled


# --- histograms ------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0, 90_000, allow_nan=False), min_size=1, max_size=300),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_a_quantile_is_never_less_than_the_real_one_and_at_most_a_bucket_more(times, share):
    real = float(np.quantile(times, share, method="inverted_cdf"))
    told = histogram(times).quantile(share)
    width = 0.01 if real < 50 else 0.1 if real < 1000 else 10.0
    assert real <= told + 1e-6
    if real < 59_000:
        assert told <= real + width + 1e-6
    assert told <= max(times)


def test_quantiles_of_what_everybody_can_count():
    hundred = histogram(range(1, 101))
    assert hundred.count == 100
    assert hundred.quantiles([0.5, 0.95, 0.99, 1.0]) == [50.1, 95.1, 99.1, 100]
    assert Histogram().quantile(0.99) == 0
    assert histogram([-3.0]).quantile(1.0) == 0


@given(st.lists(st.floats(0, 70_000)), st.lists(st.floats(0, 70_000)))
@settings(deadline=None)
def test_merging_is_counting_together(one, other):
    merged = histogram(one)
    merged.merge(histogram(other))
    assert merged == histogram(one + other)


@given(st.lists(st.one_of(st.floats(-1, 60), st.floats(0, 10**6), st.just(math.inf))))
@settings(deadline=None)
def test_times_are_counted_later_as_they_are_at_once(taken):
    times, later = Times(), Histogram()
    for ms in taken[::2]:
        times.add(ms)
    times.count_into(later)
    for ms in taken[1::2]:
        times.add(ms)
    times.count_into(later)
    times.count_into(later)
    assert later == histogram(taken)


@given(st.integers(0, 20_398))
def test_buckets_touch_and_hold_what_is_between_their_edges(bucket):
    assert upper_edge(bucket) == lower_edge(bucket + 1) > lower_edge(bucket)
    middle = (lower_edge(bucket) + upper_edge(bucket)) / 2
    assert list(histogram([middle]).counts) == [bucket]


def test_memory_does_not_grow_with_what_is_measured():
    rng = random.Random(1)
    assert len(histogram(rng.expovariate(0.1) for _ in range(50_000)).counts) < 20_000
    assert len(histogram([10.0**9, math.inf]).counts) == 1


# --- turns -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 0.2), max_size=60), st.floats(0, 1e6))
@settings(deadline=None)
def test_every_turn_comes_once_and_none_too_early(waits, began):
    now, done, given_turns = began, 0, []
    for wait in waits:
        now += wait
        turns = slots_due(began, done, now)
        given_turns += turns
        done = turns.stop
        assert all(began + turn * 0.001 <= now + 1e-6 for turn in turns)
        assert began + done * 0.001 > now - 1e-6
    assert given_turns == list(range(done))


def test_slots_share_the_twenty_milliseconds():
    assert [turn % SLOTS for turn in slots_due(5.0, 0, 5.0195)] == list(range(20))
    assert len(slots_due(5.0, 20, 5.0195)) == 0


# --- what the caller hears -------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1.5), st.sampled_from([10, 20, 40, 200])), max_size=60))
@settings(deadline=None)
def test_gaps_are_those_of_the_simulators_own_buffer(pieces):
    """Without holding back, the clock alone tells what the buffer that plays the audio tells."""
    real, ours, now = PlayoutBuffer(PCMU_8K, Marks.NONE), Playout(0), 100.0
    for wait, ms in pieces:
        now += wait
        real.add(bytes(8 * ms), now)
        ours.add(ms / 1000, now)
    assert ours.gaps == len(real.holes)
    assert ours.gap_ms == pytest.approx(sum(hole.ms for hole in real.holes))
    assert max(0, ours.ends - now) * 1000 == pytest.approx(real.buffered_ms(now), abs=1e-6)


def test_jitter_within_what_is_held_back_is_not_heard():
    held, bare = Playout(40), Playout(0)
    for frame in range(100):
        now = 10 + frame * 0.02 + (frame % 3) * 0.015
        for playout in (held, bare):
            playout.add(0.02, now)
    assert held.gaps == 0
    assert bare.gaps > 0


def test_an_underrun_is_as_long_as_the_silence_heard():
    playout = Playout(40)
    assert playout.add(0.02, 1.0) == 1.04
    assert playout.add(0.02, 1.16) == pytest.approx(1.2)  # dry from 1.06 on
    assert (playout.gaps, playout.gap_ms) == (1, pytest.approx(140))
    playout.add(0.02, 4.0)  # a pause between utterances
    assert playout.gaps == 1


def test_marks_come_back_when_reached_and_a_clear_hands_out_the_rest():
    playout = Playout(0)
    playout.mark("at once", 1.0)
    playout.add(1.0, 1.0)
    playout.mark("end", 1.0)
    assert playout.reached(1.5) == ["at once"]
    assert playout.clear(1.5) == ["end"]
    assert playout.ends == 1.5
    playout.add(0.02, 1.8)
    assert playout.gaps == 0


# --- the echo's pattern ----------------------------------------------------------------------


def stream(pattern, count, first=0):
    return b"".join(pattern.frames[number] for number in range(first, first + count))


@pytest.mark.parametrize("audio", FORMATS, ids=str)
@given(cuts=st.lists(st.integers(1, 900), min_size=1, max_size=40), first=st.integers(0, 40_000))
@settings(deadline=None, max_examples=25)
def test_every_frame_is_found_once_however_the_audio_is_cut(audio, cuts, first):
    pattern = Pattern(audio)
    finder, whole, at, found = NumberFinder(pattern), stream(pattern, 12, first), 0, []
    for size in [*cuts, len(whole)]:
        piece = whole[at : at + size * audio.sample_bytes]
        found += [(number, at + offset) for number, offset in finder.find(piece)]
        at += len(piece)
    assert [offset for _, offset in found] == [n * pattern.size for n in range(12)]
    assert [pattern.latest(n, first + 11) for n, _ in found] == list(range(first, first + 12))


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K], ids=str)
def test_numbers_survive_decoding_and_encoding(audio):
    pattern, rng = Pattern(audio), random.Random(2)
    for number in [0, BEEP_EVERY - 1, *(rng.randrange(32_768) for _ in range(300))]:
        again = encode(decode(pattern.frames[number], audio.encoding), audio.encoding)
        assert NumberFinder(pattern).find(again) == [(number, 0)]


def test_other_audio_has_no_numbers():
    rng = random.Random(3)
    finder = NumberFinder(Pattern(L16_8K))
    assert finder.find(bytes(32_000)) == []
    noise = array("h", [rng.randrange(-3000, 3000) for _ in range(8000)])
    assert finder.find(noise.tobytes()) == []


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_a_beep_is_found_where_it_is_even_resampled(audio, rate):
    """To a millisecond, the resamplers' own delay taken off."""
    pattern = Pattern(audio)
    there = Transcoder(audio, AudioFormat(L16_8K.encoding, rate))
    back = Transcoder(there.target, audio)
    finder, found, at = BeepFinder(audio), [], 0.0
    for number in range(3 * BEEP_EVERY + 5):
        piece = back.push(there.push(pattern.frames[number]))
        if (offset := finder.find(piece)) is not None:
            found.append(at + offset)
        at += audio.ms_in(len(piece))
    begins = [(n * BEEP_EVERY - 1) * 20 + pattern.beep_after_ms for n in (1, 2, 3)]
    # Resampled audio comes shortened by what the filters hold back, so that positions in it fit.
    assert found == pytest.approx(begins, abs=1.0)


def test_the_latest_beep():
    assert Pattern.latest_beep(BEEP_EVERY - 2) == -1
    assert Pattern.latest_beep(BEEP_EVERY - 1) == BEEP_EVERY - 1
    assert Pattern.latest_beep(3 * BEEP_EVERY - 2) == 2 * BEEP_EVERY - 1


# --- sums ------------------------------------------------------------------------------------


def second(at, *, steady=True, calls=10, late=(), errors=0, cpu=0.5):
    figures = Figures(lateness=histogram(late), started=1, gaps=2, frames_sent=3000)
    for number in range(errors):
        figures.error("dropped", f"sentence {number}")
    return Second(at=at, calls=calls, steady=steady, wall=1.0, cpu=cpu, figures=figures)


def test_only_the_steady_seconds_count_for_lateness_and_all_for_errors():
    tally = Tally(2)
    for process, late in ((0, 1.0), (1, 3.0)):
        tally.add(process, second(1, steady=False, late=[500.0], errors=1))
        tally.add(process, second(2, late=[late, late], cpu=0.25 + process / 2))
    summary = tally.summary()
    assert (summary.calls, summary.errors) == (20, 2)
    assert (summary.lateness.count, summary.lateness.max) == (4, 3.0)
    assert summary.steady.gaps == 4
    assert summary.minutes == 2.0
    assert summary.gaps_per_minute == 2.0
    assert summary.own_cores == 0.75
    assert summary.all.examples == {"dropped": "sentence 0"}
    assert [(point.at, point.calls, point.lateness_max) for point in tally.points] == [
        (1, 20, 500.0),
        (2, 20, 3.0),
    ]
    assert Spread.of(Histogram()) == Spread(0, 0, 0, 0, 0, 0)


def test_a_second_is_drawn_when_every_process_has_told_of_it():
    tally = Tally(2)
    tally.add(0, second(1))
    tally.add(0, second(2))
    assert tally.points == []
    tally.add(1, second(2))
    assert [point.at for point in tally.points] == [1]


def test_the_course_of_a_long_test_takes_no_more_room():
    tally = Tally(1)
    for at in range(1, 5001):
        tally.add(0, second(at, late=[float(at == 3333)], errors=int(at == 4444)))
    tally.summary()
    assert len(tally.points) < 600
    assert sum(point.seconds for point in tally.points) == 5000
    assert sum(point.errors for point in tally.points) == 1
    assert max(point.lateness_max for point in tally.points) == 1.0
    ends = [point.at + point.seconds for point in tally.points]
    assert ends[:-1] == [point.at for point in tally.points[1:]]


def test_what_a_process_uses_is_read_as_the_manual_has_it():
    stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 1 0 100 5 6"
    assert Usage.parse(stat, "900 25 3 4 0 6 0", 100, 4096) == Usage(4.0, 25 * 4096)
