"""Every code and every sample, against ITU-T G.711 (11/1988), tables 1a to 2b, as formulas."""

import subprocess
import sys
from bisect import bisect_right

import pytest

from trunkline.media import g711
from trunkline.media.formats import Encoding

PCMU, PCMA, L16 = Encoding.PCMU, Encoding.PCMA, Encoding.L16

# The recommendation's tables count µ-law in 14 bits with sign and A-law in 13; L16 has 16.
UNIT = {PCMU: 4, PCMA: 8}


def l16(*samples: int) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def samples_of(pcm: bytes) -> list[int]:
    return [int.from_bytes(pcm[i : i + 2], "little", signed=True) for i in range(0, len(pcm), 2)]


def output_value(encoding: Encoding, number: int) -> int:
    """Column 7 of the tables (quantised value), for magnitude number 0 to 127."""
    segment, step = divmod(number, 16)
    if encoding is PCMU:
        return (2 * step + 33) * 2**segment - 33
    return 2 * step + 1 if segment == 0 else (2 * step + 33) * 2 ** (segment - 1)


def decision_value(encoding: Encoding, number: int) -> int:
    """Column 4 of the tables (decision value), the lower bound of magnitude number 0 to 127."""
    segment, step = divmod(number, 16)
    if encoding is PCMU:
        return max(0, (2 * step + 32) * 2**segment - 33)
    return 2 * step if segment == 0 else (2 * step + 32) * 2 ** (segment - 1)


def code(encoding: Encoding, number: int, negative: bool) -> int:
    """Column 6 of the tables (character signal): sign bit 1 is positive."""
    if encoding is PCMU:
        return (0 if negative else 0x80) | (127 - number)
    return ((0 if negative else 0x80) | number) ^ 0x55


def test_the_formulas_agree_with_rows_of_the_tables():
    # Table 2a: numbers 127, 112, 16, 1 and 0; table 1a: 127 (decision value 128 ends it), 32, 1.
    assert [output_value(PCMU, n) for n in (127, 112, 16, 1, 0)] == [8031, 4191, 33, 2, 0]
    assert [decision_value(PCMU, n) for n in (127, 112, 16, 1, 0)] == [7903, 4063, 31, 1, 0]
    assert [code(PCMU, n, False) for n in (127, 0)] == [0b10000000, 0b11111111]
    assert [output_value(PCMA, n) for n in (127, 32, 0)] == [4032, 66, 1]
    assert [decision_value(PCMA, n) for n in (127, 32, 1, 0)] == [3968, 64, 2, 0]


@pytest.mark.parametrize("encoding", [PCMU, PCMA])
def test_decode_every_code(encoding):
    for number in range(128):
        value = output_value(encoding, number) * UNIT[encoding]
        pair = bytes([code(encoding, number, False), code(encoding, number, True)])
        assert samples_of(g711.decode(pair, encoding)) == [value, -value]


@pytest.mark.parametrize("encoding", [PCMU, PCMA])
def test_encode_every_sample(encoding):
    bounds = [decision_value(encoding, number) for number in range(128)]
    unit = UNIT[encoding]
    every = range(-32768, 32768)
    encoded = g711.encode(l16(*every), encoding)
    for sample, got in zip(every, encoded, strict=True):
        # Bits below the table's last are cut off, towards minus infinity; A-law has no zero, and
        # its smallest negative number begins right below 0.
        cut = sample // unit
        magnitude = cut if cut >= 0 else -cut - (encoding is PCMA)
        number = bisect_right(bounds, magnitude) - 1
        assert got == code(encoding, number, sample < 0), sample


@pytest.mark.parametrize("encoding", [PCMU, PCMA])
def test_encode_undoes_decode(encoding):
    # Passing through linear PCM any number of times costs nothing, µ-law's second zero apart.
    every = bytes(range(256))
    again = g711.encode(g711.decode(every, encoding), encoding)
    assert again == (every.replace(b"\x7f", b"\xff") if encoding is PCMU else every)


@pytest.mark.parametrize(("source", "target"), [(PCMU, PCMA), (PCMA, PCMU)])
def test_translate_finds_the_interval_a_value_lies_in(source, target):
    numbers = {
        code(target, number, negative): (number, negative)
        for number in range(128)
        for negative in (False, True)
    }
    unit = UNIT[target]
    for number in range(128):
        value = output_value(source, number) * UNIT[source]
        for negative in (False, True):
            payload = bytes([code(source, number, negative)])
            found, sign = numbers[g711.translate(payload, source, target)[0]]
            assert decision_value(target, found) * unit <= value
            assert value <= decision_value(target, found + 1) * unit
            assert sign == negative or value == 0


def test_translate_between_equals_copies_nothing():
    payload = bytes(range(256))
    assert g711.translate(payload, PCMU, PCMU) is payload


def test_l16_passes_untouched():
    pcm = l16(1, -2)
    assert g711.decode(pcm, L16) is pcm
    assert g711.encode(pcm, L16) is pcm


@pytest.mark.parametrize("encoding", list(Encoding))
def test_half_a_sample_is_refused(encoding):
    with pytest.raises(ValueError, match="3 bytes are not whole 16-bit samples"):
        g711.encode(b"abc", encoding)


@pytest.mark.parametrize(("source", "target"), [(PCMU, L16), (L16, PCMA)])
def test_translate_is_for_g711_only(source, target):
    with pytest.raises(ValueError, match=r"not both G\.711"):
        g711.translate(b"", source, target)


def test_import_warns_of_nothing():
    # On Python 3.12, importing audioop announces its removal.
    subprocess.run([sys.executable, "-W", "error", "-c", "import trunkline.media.g711"], check=True)
