"""What the caller heard, when; against sums and a straight line."""

import struct

import pytest

from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K
from trunkline.media.transcode import convert
from trunkline.sim.buffer import Played
from trunkline.sim.ear import Ear, Earpiece
from trunkline.sim.record import Recorder

LOUD = struct.pack("<2h", 3000, -3000) * 80  # 20 ms
SOFT = struct.pack("<2h", 100, -100) * 80


def test_a_voice_is_told_from_the_lines_noise():
    ear = Ear(Recorder())
    assert not ear.speaking(0.0)
    assert ear.quiet_s(0.5) == 0.5
    ear.hear(0.5, SOFT)
    assert not ear.speaking(0.52)
    ear.hear(0.52, LOUD)
    assert ear.speaking(0.54)
    assert (ear.onset_at, ear.voice_at) == (0.52, pytest.approx(0.54))
    assert ear.speaking(0.73)  # a breath
    assert not ear.speaking(0.75)
    assert ear.quiet_s(1.54) == pytest.approx(1.0)


def test_a_breath_is_no_new_onset_and_a_pause_is():
    ear = Ear(Recorder())
    for at in (1.0, 1.02, 1.2):
        ear.hear(at, LOUD)
    assert ear.onset_at == 1.0
    ear.hear(1.45, LOUD)
    assert ear.onset_at == 1.45


def test_nothing_is_nothing():
    recorder = Recorder()
    Ear(recorder).hear(3.0, b"")
    assert recorder.record().bot == b""


def test_recall():
    ear = Ear(Recorder(), remember_s=1.0)
    ear.hear(1.0, LOUD)
    ear.hear(1.04, SOFT)
    assert ear.recall(1.0, 480) == LOUD + bytes(320) + SOFT
    assert ear.recall(0.99, 160) == bytes(160) + LOUD[:160]
    assert ear.recall(1.01, 80) == LOUD[160:]
    ear.hear(2.5, SOFT)
    assert ear.recall(1.0, 160) == bytes(320)
    assert Ear(Recorder()).recall(0.0, 2) == bytes(4)


@pytest.mark.parametrize("form", [PCMU_8K, L16_8K, L16_16K, L16_24K])
@pytest.mark.parametrize("cut", [7, 20])
def test_an_earpiece_puts_every_sample_where_it_was_heard(form, cut):
    """A slow ramp, played in two runs: after conversion it is at the same times, all of it."""
    count = 4000  # half a second
    ramp = struct.pack(f"<{count}h", *(4 * (n - 2000) for n in range(count)))
    wire = convert(ramp, L16_8K, form)
    recorder = Recorder()
    piece = Earpiece(Ear(recorder), form, began=100.0)
    for begin in (101.0, 103.0):
        at, step = begin, form.bytes_in(cut)
        for start in range(0, len(wire), step):
            chunk = wire[start : start + step]
            piece.play(Played(at, chunk))
            at += form.ms_in(len(chunk)) / 1000
    piece.silence()
    piece.silence()
    bot = recorder.record().bot
    assert len(bot) == pytest.approx(3.5 * 16000, abs=8)
    for second in (1.0, 3.0):
        middle = struct.unpack_from("<2000h", bot, round(second * 8000) * 2 + 2000)
        assert max(abs(m - 4 * (n + 1000 - 2000)) for n, m in enumerate(middle)) < 200
