"""What the resampler does to sines is measured at its output, as 16-bit samples."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.resample import MOST_SIZES, ONE, Resampler, _design

# Rates, flat up to, gone from (Hz). 3.4 kHz is where the telephone band ends (ITU-T G.712).
BANDS = [
    (8000, 16000, 3400, 4600),
    (16000, 8000, 3400, 4600),
    (8000, 24000, 3400, 4600),
    (24000, 8000, 3400, 4600),
    (8000, 48000, 3400, 4600),
    (48000, 8000, 3400, 4600),
    (16000, 24000, 7000, 9000),
    (24000, 16000, 7000, 9000),
    (16000, 48000, 7000, 9000),
    (48000, 16000, 7000, 9000),
    (24000, 48000, 10500, 13500),
    (48000, 24000, 10500, 13500),
    (44100, 8000, 3400, 4600),
    (22050, 8000, 3400, 4600),
    (22050, 16000, 7000, 9000),
    (8000, 44100, 3400, 4600),
]
PAIRS = [(source, target) for source, target, _, _ in BANDS]
pairs = st.sampled_from([*PAIRS, (11025, 8000), (22050, 24000), (16000, 16000)])
PEAK = 28000


def sine(hz: float, rate: int, seconds: float = 0.3) -> np.ndarray:
    return PEAK * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def l16(samples: np.ndarray) -> bytes:
    return np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()


def resampled(pcm: bytes, source: int, target: int) -> np.ndarray:
    resampler = Resampler(source, target)
    return np.frombuffer(resampler.push(pcm) + resampler.flush(), "<i2").astype(float)


def settled(samples: np.ndarray) -> np.ndarray:
    """Without the first and last sixth, where the sine begins and ends."""
    edge = len(samples) // 6
    return samples[edge:-edge]


def gain_and_rest(out: np.ndarray, hz: float, rate: int) -> tuple[float, float]:
    """Amplitude of the sine of ``hz`` in ``out``, and RMS of everything else, as parts of PEAK."""
    at = 2 * np.pi * hz * np.arange(len(out)) / rate
    basis = np.stack((np.cos(at), np.sin(at)), axis=1)
    (a, b), *_ = np.linalg.lstsq(basis, out, rcond=None)
    rest = out - basis @ (a, b)
    return float(np.hypot(a, b)) / PEAK, float(np.sqrt(2 * np.mean(rest**2))) / PEAK


@pytest.mark.parametrize(("source", "target", "flat_to", "gone_from"), BANDS)
def test_the_pass_band_is_flat_and_free_of_images(source, target, flat_to, gone_from):
    for hz in np.linspace(100, flat_to, 23):
        out = settled(resampled(l16(sine(hz, source)), source, target))
        gain, rest = gain_and_rest(out, hz, target)
        assert abs(20 * np.log10(gain)) < 0.1, hz
        assert rest < 10 ** (-70 / 20), hz


@pytest.mark.parametrize(
    ("source", "target", "gone_from"), [(s, t, gone) for s, t, _, gone in BANDS if s > t]
)
def test_nothing_folds_back_into_the_band(source, target, gone_from):
    for hz in np.linspace(gone_from, source / 2 - 50, 40):
        out = settled(resampled(l16(sine(hz, source)), source, target))
        assert np.sqrt(2 * np.mean(out**2)) < PEAK * 10 ** (-70 / 20), hz


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_output_is_aligned_with_input(source, target):
    out = resampled(l16(sine(1000, source)), source, target)
    # Flat within 0.01 dB at 1 kHz, and rounded twice.
    error = settled(out - sine(1000, target)[: len(out)])
    assert np.abs(error).max() < PEAK * 0.0012 + 1


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_click_stays_where_it_was_and_symmetric(source, target):
    click = np.zeros(source // 5)
    click[source // 10] = 30000  # at 100 ms, where both rates have a sample
    out = resampled(l16(click), source, target)
    middle = target // 10
    assert int(np.argmax(np.abs(out))) == middle
    reach = target * 2 // 1000
    np.testing.assert_array_equal(
        out[middle - reach : middle], out[middle + 1 : middle + reach + 1][::-1]
    )
    # The filter ends within 2 ms of where it began: no echo before or after.
    assert not out[: middle - reach].any()
    assert not out[middle + reach + 1 :].any()


def cut(pcm: bytes, sizes: list[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(pcm[: 2 * size])
        pcm = pcm[2 * size :]
    return [*parts, pcm]


@given(
    pair=pairs,
    sizes=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 1500)), max_size=30),
    seed=st.integers(0, 1000),
    last=st.integers(0, 700),
)
def test_no_sample_is_lost_and_cutting_changes_no_bit(pair, sizes, seed, last):
    source, target = pair
    count = sum(sizes) + last
    noise = np.random.default_rng(seed).integers(-32768, 32768, count)
    pcm = noise.astype("<i2").tobytes()
    resampler = Resampler(source, target)
    out = b""
    taken = 0
    for part in cut(pcm, sizes):
        out += resampler.push(part)
        taken += len(part) // 2
        lag_ms = 1000 * (taken / source - len(out) / 2 / target)
        assert lag_ms <= resampler.delay_ms + 1e-6
        assert lag_ms >= 0 or source == target
    out += resampler.flush()
    assert len(out) // 2 == int(count * target / source + 0.5)
    whole = Resampler(source, target)
    assert out == whole.push(pcm) + whole.flush()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_frame_by_frame_is_the_same_as_ten_seconds_at_once(source, target):
    pcm = np.random.default_rng(1).integers(-9000, 9000, 10 * source).astype("<i2").tobytes()
    size = source // 50 * 2
    resampler = Resampler(source, target)
    frames = [resampler.push(pcm[i : i + size]) for i in range(0, len(pcm), size)]
    at_once = Resampler(source, target)
    assert b"".join(frames) + resampler.flush() == at_once.push(pcm) + at_once.flush()
    # After the first, which lacks what the filter waits for, frames are of even size, too.
    assert max(map(len, frames[1:])) - min(map(len, frames[1:])) <= 2


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_sums_are_exact_so_that_their_order_does_not_matter(source, target):
    # What chance shows once in a billion samples: two orders of adding that round apart.
    steps = _design(source, target).matrix * 2**24 / ONE
    assert (steps == np.rint(steps)).all()
    assert np.abs(steps).sum(axis=0).max() * 32768 < 2**53


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_loudest_audio_fits_into_the_sums(source, target):
    assert np.abs(_design(source, target).matrix).sum(axis=0).max() * 32768 < 2**31


def rounded_down_to_l16(wide: bytes) -> bytes:
    return (np.frombuffer(wide, "<i4") >> 16).astype("<i2").tobytes()


@given(pair=pairs, sizes=st.lists(st.integers(0, 900), max_size=9), seed=st.integers(0, 1000))
def test_wide_samples_are_the_same_audio(pair, sizes, seed):
    noise = np.random.default_rng(seed).integers(-32768, 32768, sum(sizes)).astype("<i2").tobytes()
    narrow, wide = Resampler(*pair), Resampler(*pair)
    for part in cut(noise, sizes):
        assert rounded_down_to_l16(wide.push_wide(part)) == narrow.push(part)
    assert rounded_down_to_l16(wide.flush_wide()) == narrow.flush()


def rounded_sum(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """The filter as its definition has it: in one dot product an output, of exact integers."""
    fir = _design(source, target)
    steps = [int(one * 2**24 / ONE) for one in fir.matrix[:-1, 0]]
    before = [0] * fir.before
    padded = [*before, *map(int, samples), *[0] * fir.width]
    at = range(0, len(samples) - fir.ins, fir.ins)
    sums = [sum(a * b for a, b in zip(steps, padded[i:], strict=False)) for i in at]
    return np.array([(one + 2**23) >> 24 for one in sums]).clip(-32768, 32767)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_outputs_are_the_sums_rounded_and_saturated(source, target):
    # The first output of every row, by whole numbers of any size.
    samples = np.random.default_rng(3).integers(-32768, 32768, source // 5)
    fir = _design(source, target)
    want = rounded_sum(samples, source, target)
    got = resampled(l16(samples), source, target)[:: fir.outs][: len(want)]
    np.testing.assert_array_equal(got, want)


def test_threads_do_not_disturb_each_other():
    parts = cut(l16(sine(1000, 8000, 20)), [160] * 1000)

    def whole(_: int) -> bytes:
        resampler = Resampler(8000, 16000)
        return b"".join(map(resampler.push, parts)) + resampler.flush()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(whole, range(8)))) == 1


def test_sizes_without_end_take_memory_once():
    resampler = Resampler(8000, 16000)
    pcm = l16(sine(1000, 8000))
    for size in range(3 * MOST_SIZES):
        resampler.push(pcm[: 2 * size])
        assert len(_design(8000, 16000).products) <= MOST_SIZES


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_delay_is_under_two_milliseconds(source, target):
    assert 0.5 < Resampler(source, target).delay_ms < 2


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_loud_audio_saturates_and_never_wraps(source, target):
    # A full-scale square wave overshoots by some 9 % wherever it is band-limited (Gibbs).
    square = 32767 * np.sign(sine(100.3, source) + 0.5)
    out = resampled(l16(square), source, target)
    assert out.max() == 32767
    assert out.min() == -32768
    # Wherever the input holds its sign for 2 ms to either side, so does the output.
    at = np.arange(len(out)) * source // target
    sure = source // 500
    for index in range(sure * target // source + 1, len(out) - sure * target // source - 1):
        around = square[at[index] - sure : at[index] + sure + 1]
        if len(set(around)) == 1:
            assert np.sign(out[index]) == around[0] / 32767


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("value", [0, 1000, -32768])
def test_a_constant_stays_constant(source, target, value):
    out = settled(resampled(l16(np.full(source // 5, value)), source, target))
    assert np.abs(out - value).max() <= abs(value) * 10 ** (-70 / 20)


def test_equal_rates_copy_nothing():
    pcm = b"\1\2\3\4"
    resampler = Resampler(22050, 22050)
    assert resampler.push(pcm) is pcm
    assert resampler.flush() == b""
    assert resampler.delay_ms == 0
    resampler.reset()


def test_reset_forgets_what_was_held_back():
    resampler = Resampler(8000, 24000)
    resampler.push(l16(sine(700, 8000))[: 777 * 2])
    resampler.reset()
    assert resampler.flush() == b""
    pcm = l16(sine(1000, 8000))
    fresh = Resampler(8000, 24000)
    assert resampler.push(pcm) + resampler.flush() == fresh.push(pcm) + fresh.flush()


def test_flush_leaves_it_as_new():
    resampler = Resampler(24000, 16000)
    pcm = l16(sine(1000, 24000))[: 2 * 1001]
    first = resampler.push(pcm) + resampler.flush()
    assert resampler.push(pcm) + resampler.flush() == first


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError, match="3 bytes are not whole 16-bit samples"):
        Resampler(8000, 16000).push(b"abc")


@pytest.mark.parametrize(
    ("source", "target"), [(44101, 8000), (8000, 44101), (4000, 8000), (8000, 4000), (0, 8000)]
)
def test_rates_without_a_conversion_are_refused(source, target):
    with pytest.raises(ValueError, match=f"cannot convert {source} Hz to {target} Hz"):
        Resampler(source, target)


def test_numpy_waits_for_the_first_resampler():
    program = "import sys, trunkline.media.resample; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
