"""Limits, by a clock that is moved by hand."""

import array
from math import inf

import pytest

from trunkline.events import Audio
from trunkline.limits import Limits, Watch
from trunkline.media.formats import L16_8K

LIMITS = Limits(max_duration=100, no_media=10, silence=30)
LOUD = Audio(array.array("h", [3000, -3000] * 80).tobytes())
QUIET = Audio(bytes(320))


def hear(watch, event, now):
    """As a session does."""
    if now >= watch.listen_at:
        watch.heard(event, L16_8K, now)


@pytest.mark.parametrize(
    ("now", "connected", "reached"),
    [
        (1009.9, True, ""),
        (1010.0, True, "no_media"),
        (1029.9, False, ""),
        (1030.0, False, "silence"),
        (1100.0, False, "max_duration"),
    ],
)
def test_which_limit_is_reached_when(now, connected, reached):
    assert Watch(LIMITS, 1000.0).reached(now, connected=connected) == reached


def test_the_next_is_the_nearest():
    watch = Watch(LIMITS, 1000.0)
    assert watch.next(connected=True) == 1010
    assert watch.next(connected=False) == 1030
    watch.away = True
    assert watch.next(connected=False) == 1100
    off = Watch(Limits(max_duration=0, no_media=0, silence=0), 1000.0)
    assert off.next(connected=True) == inf
    assert off.reached(1e9, connected=True) == ""


def test_a_message_and_a_voice_put_their_limits_off():
    watch = Watch(LIMITS, 1000.0)
    watch.message_at = 1005.0
    assert watch.next(connected=True) == 1015
    hear(watch, LOUD, 1008.0)
    assert watch.next(connected=False) == 1038
    watch.speaking(1020.0)
    assert watch.next(connected=False) == 1050
    watch.joined(1025.0)
    assert (watch.next(connected=True), watch.next(connected=False)) == (1035, 1055)


def test_silence_is_no_voice_and_five_looks_a_second_are_enough():
    watch = Watch(LIMITS, 1000.0)
    hear(watch, QUIET, 1008.0)
    assert watch.next(connected=False) == 1030
    assert watch.listen_at == 1008.2
    hear(watch, LOUD, 1008.1)
    assert watch.next(connected=False) == 1030
    hear(watch, LOUD, 1008.2)
    assert watch.next(connected=False) == 1038.2


def test_without_that_limit_nobody_listens():
    watch = Watch(Limits(silence=0, max_duration=0), 1000.0)
    hear(watch, LOUD, 1009.0)
    assert watch.next(connected=False) == inf
