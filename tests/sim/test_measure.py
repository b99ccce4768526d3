"""Measurements against sound made to measure: tones and noise of known level at known times."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sim.measure import (
    BargeIn,
    Measures,
    Span,
    Turn,
    barge_ins,
    holes,
    latencies,
    levels,
    measure,
    overlaps,
    speech,
    turns,
)
from trunkline.sim.record import CallRecord, Kind, Moment

RATE = 8000


def voice(
    *spans: tuple[float, float], of: float, db: float = -22.0, rate: int = RATE
) -> np.ndarray:
    """A 200 Hz tone of ``db`` (RMS, below full scale) in the spans, ``of`` seconds in all."""
    t = np.arange(round(of * rate)) / rate
    tone = np.sin(2 * math.pi * 200 * t) * math.sqrt(2) * 32768 * 10 ** (db / 20)
    inside = np.zeros(len(t), dtype=bool)
    for start, end in spans:
        inside[round(start * rate) : round(end * rate)] = True
    return tone * inside


def noise(db: float, of: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 32768 * 10 ** (db / 20), round(of * RATE))


def pcm(sound: np.ndarray) -> bytes:
    return np.clip(np.round(sound), -32768, 32767).astype("<i2").tobytes()


def call(
    caller: list[tuple[float, float]],
    bot: list[tuple[float, float]],
    *moments: Moment,
    of: float = 10.0,
) -> CallRecord:
    return CallRecord(
        caller=pcm(voice(*caller, of=of)), bot=pcm(voice(*bot, of=of)), moments=list(moments)
    )


def near(*spans: tuple[float, float]) -> list[object]:
    return [(pytest.approx(start, abs=0.01), pytest.approx(end, abs=0.01)) for start, end in spans]


def ends(spans: list[Span] | list[Turn]) -> list[tuple[float, float]]:
    return [(span.start, span.end) for span in spans]


# --- speech ----------------------------------------------------------------------------------


def test_level_is_rms_below_full_scale() -> None:
    assert levels(pcm(voice((0, 1), of=1, db=-20)), RATE) == pytest.approx(-20, abs=0.05)
    square = np.full(400, 32767)
    assert levels(pcm(square), RATE) == pytest.approx(0, abs=0.01)
    assert list(levels(bytes(160), RATE)) == [-100, -100]


def test_the_last_piece_of_a_frame_counts() -> None:
    assert len(levels(pcm(np.full(41, 1000)), RATE)) == 2


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_a_tone_in_silence_is_where_it_was_put(rate: int) -> None:
    found = speech(pcm(voice((1.0, 1.73), (3.0, 3.5), of=5, rate=rate)), rate)
    assert ends(found) == near((1.0, 1.73), (3.0, 3.5))
    assert found[0].seconds == pytest.approx(0.73, abs=0.01)


@pytest.mark.parametrize("db", [-70, -60, -50, -45])
def test_comfort_noise_is_not_speech_and_does_not_hide_it(db: float) -> None:
    assert speech(pcm(noise(db, 10)), RATE) == []
    mixed = voice((1.0, 2.5), (4.0, 6.0), of=10) + noise(db, 10)
    assert ends(speech(pcm(mixed), RATE)) == near((1.0, 2.5), (4.0, 6.0))


def test_a_voice_without_any_pause_is_not_taken_for_noise() -> None:
    assert ends(speech(pcm(voice((0, 5), of=5)), RATE)) == near((0, 5))


def test_a_short_pause_is_within_and_a_long_one_is_not() -> None:
    sound = pcm(voice((1.0, 1.5), (1.7, 2.0), (2.5, 3.0), of=4))
    assert ends(speech(sound, RATE)) == near((1.0, 2.0), (2.5, 3.0))
    assert len(speech(sound, RATE, hangover_ms=100)) == 3
    assert len(speech(sound, RATE, hangover_ms=600)) == 1


def test_a_click_is_not_speech_even_when_it_repeats() -> None:
    clicks = [(at / 10, at / 10 + 0.01) for at in range(5, 30)]
    assert speech(pcm(voice(*clicks, of=4)), RATE) == []


def test_nothing_is_no_speech() -> None:
    assert speech(b"", RATE) == []
    assert speech(bytes(16000), RATE) == []


@given(st.binary(max_size=4000).map(lambda data: data[: len(data) // 2 * 2]))
def test_spans_are_in_order_and_within_the_sound(data: bytes) -> None:
    edges = [edge for span in speech(data, RATE) for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(data) / 2 / RATE + 0.005 for edge in edges)


# --- turns and latency -----------------------------------------------------------------------


def test_spans_with_nobody_between_are_one_turn() -> None:
    record = call([(3.0, 3.4), (4.0, 4.5)], [(0.5, 1.0), (1.6, 2.4), (5.0, 6.0), (7.5, 8.0)])
    assert [turn.channel for turn in turns(record)] == ["bot", "caller", "bot", "bot"]
    assert ends(turns(record)) == near((0.5, 2.4), (3.0, 4.5), (5.0, 6.0), (7.5, 8.0))


def test_latency_is_from_the_callers_end_to_the_bots_beginning() -> None:
    record = call([(1.0, 2.0), (4.0, 5.0)], [(2.42, 3.5), (6.0, 7.0)])
    assert [latency.ms for latency in latencies(record)] == [
        pytest.approx(420, abs=10),
        pytest.approx(1000, abs=10),
    ]


def test_a_pause_for_thought_is_no_wait() -> None:
    record = call([(1.0, 2.0), (2.5, 3.0)], [(3.3, 4.0)])
    assert [latency.ms for latency in latencies(record)] == [pytest.approx(300, abs=10)]


def test_a_bot_that_talks_into_or_over_the_caller_has_no_latency() -> None:
    assert latencies(call([(1.0, 3.0)], [(2.5, 4.0)])) == []
    assert latencies(call([(2.0, 2.4)], [(0.5, 5.0), (7.0, 8.0)])) == []


def test_overlap_is_what_both_spoke() -> None:
    record = call([(1.0, 2.0), (5.0, 6.0)], [(1.5, 3.0), (5.2, 5.6)])
    assert ends(overlaps(record)) == near((1.5, 2.0), (5.2, 5.6))


# --- barge-in --------------------------------------------------------------------------------


def test_a_barge_in_is_measured_from_the_callers_onset_and_from_the_clear() -> None:
    record = call([(2.0, 3.0)], [(0.5, 2.11), (3.6, 4.0)], Moment(2.06, Kind.CLEAR, "", "bot"))
    (found,) = barge_ins(record)
    assert found.at == pytest.approx(2.0, abs=0.01)
    assert found.heard_ms == pytest.approx(110, abs=10)
    assert found.after_clear_ms == pytest.approx(50, abs=10)


def test_a_bot_that_goes_on_is_heard_to_its_end() -> None:
    (found,) = barge_ins(call([(2.0, 2.5)], [(0.5, 4.2)]))
    assert found.heard_ms == pytest.approx(2200, abs=10)
    assert found.after_clear_ms is None


def test_an_answer_right_after_the_clear_is_not_the_rest_of_the_old_speech() -> None:
    record = call([(2.0, 2.1)], [(0.5, 2.1), (2.25, 4.0)], Moment(2.1, Kind.CLEAR))
    (found,) = barge_ins(record)
    assert found.heard_ms == pytest.approx(100, abs=10)


def test_stale_speech_after_the_clear_counts() -> None:
    record = call([(2.0, 2.5)], [(0.5, 2.2), (2.3, 3.0)], Moment(2.1, Kind.CLEAR))
    (found,) = barge_ins(record)
    assert found.after_clear_ms == pytest.approx(900, abs=10)


def test_interrupting_in_a_pause_between_words_is_a_barge_in_with_nothing_heard() -> None:
    record = call([(2.0, 2.5)], [(0.5, 1.9)], Moment(2.1, Kind.CLEAR))
    (found,) = barge_ins(record)
    assert (found.heard_ms, found.after_clear_ms) == (0, 0)
    assert barge_ins(call([(2.0, 2.5)], [(0.5, 1.9)])) == []


def test_speaking_after_the_bot_is_no_barge_in() -> None:
    assert barge_ins(call([(3.0, 3.5)], [(0.5, 2.0)])) == []
    assert barge_ins(call([(3.0, 3.5)], [(0.5, 2.0)], Moment(3.1, Kind.CLEAR))) == []
    assert barge_ins(call([(1.0, 3.5)], [(2.0, 4.0)])) == []


def test_a_key_that_stops_the_bot_is_a_barge_in_and_another_key_is_none() -> None:
    key = Moment(2.0, Kind.KEY, "1", "caller")
    (found,) = barge_ins(call([], [(0.5, 2.08)], key, Moment(2.03, Kind.CLEAR)))
    assert found.at == 2.0
    assert found.heard_ms == pytest.approx(80, abs=10)
    assert barge_ins(call([], [(0.5, 4.0)], key)) == []
    ours = Moment(2.0, Kind.KEY, "1", "bot")
    assert barge_ins(call([], [(0.5, 2.08)], ours, Moment(2.03, Kind.CLEAR))) == []


def test_a_clear_answers_one_barge_in_only() -> None:
    keys = [Moment(2.0 + at / 10, Kind.KEY, "1", "caller") for at in range(3)]
    assert len(barge_ins(call([], [(0.5, 2.5)], *keys, Moment(2.45, Kind.CLEAR)))) == 1


# --- holes -----------------------------------------------------------------------------------


def broken(*gaps: tuple[float, float], of: float = 3.0, zero: int = 0) -> bytes:
    sound = voice((0.5, of - 0.5), of=of) + 0.0
    for start, end in gaps:
        sound[round(start * RATE) : round(end * RATE)] = zero
    return pcm(sound)


def test_a_buffer_run_dry_is_a_hole_where_it_ran_dry() -> None:
    found = holes(broken((1.0013, 1.0613), (2.0013, 2.3)), RATE)
    assert ends(found) == near((1.0, 1.06), (2.0, 2.3))


def test_the_silence_of_a_law_is_silence() -> None:
    assert len(holes(broken((1.0013, 1.0613), zero=8), RATE)) == 1


@pytest.mark.parametrize("gap", [(1.0013, 1.0113), (1.0013, 1.4513)])
def test_shorter_is_a_click_and_longer_a_pause(gap: tuple[float, float]) -> None:
    assert holes(broken(gap), RATE) == []


def test_speech_that_fades_into_its_own_pause_has_no_hole() -> None:
    sound = voice((0.5, 2.5), of=3.0)
    fade = np.ones(len(sound))
    fade[8000:8400] = np.linspace(1, 0, 400) ** 2
    fade[8400:8800] = 0
    fade[8800:9200] = np.linspace(0, 1, 400) ** 2
    assert holes(pcm(sound * fade), RATE) == []


def test_silence_at_either_end_is_no_hole() -> None:
    assert holes(bytes(800) + pcm(voice((0, 1), of=1)) + bytes(800), RATE) == []
    assert holes(b"", RATE) == []


# --- all of it -------------------------------------------------------------------------------


def test_the_summary_names_what_matters() -> None:
    assert (
        Measures(
            caller=[], bot=[], turns=[], latencies=[], barge_ins=[], overlaps=[], holes=[]
        ).summary()
        == "0 turns"
    )
    record = call(
        [(2.0, 3.0), (6.0, 6.5)],
        [(0.5, 2.1), (3.5, 5.0), (7.2, 8.0)],
        Moment(2.05, Kind.CLEAR),
    )
    found = measure(record)
    assert found.summary() == (
        "5 turns · bot answers after 600 ms (longest 700 ms) · "
        "1 barge-in, bot heard for 100 ms more · no holes in its speech"
    )
    assert found.barge_ins == barge_ins(record)
    assert found.turns == turns(record)
    assert found.latencies == latencies(record)
    assert found.overlaps == overlaps(record)


def test_the_summary_counts_holes_and_one_wait() -> None:
    record = CallRecord(
        caller=pcm(voice((0.1, 0.2), of=3)), bot=broken((1.0013, 1.0613), (2.0013, 2.0413))
    )
    assert measure(record).summary() == (
        "2 turns · bot answers after 300 ms · 2 holes in its speech, 100 ms"
    )


def test_the_summary_names_the_worst_of_several_barge_ins() -> None:
    record = call([(2.0, 2.5), (6.0, 6.5)], [(0.5, 2.1), (4.0, 6.3)])
    assert "2 barge-ins, bot heard for at most 300 ms more" in measure(record).summary()


def test_a_barge_in_before_which_the_bot_stopped_heard_nothing() -> None:
    assert BargeIn(2.0, 1.9).heard_ms == 0
