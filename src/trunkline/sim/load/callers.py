"""What a caller does with a media stream: one class a scenario.

A caller is asked for the next frame every 20 ms, and told what it hears. It knows the encodings
and the time; sockets and carriers it does not know.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable, Sequence
from functools import cache

from ...media.formats import AudioFormat
from ...media.level import rms
from ...media.transcode import convert
from ..ear import VOICE_RMS
from ..people import clips
from ..stream import FRAME_MS
from .figures import Live
from .pattern import BEEP_EVERY, BeepFinder, NumberFinder, Pattern
from .plan import Scenario
from .playout import Playout

__all__ = ["Caller", "EchoCaller", "InterruptingCaller", "TalkingCaller", "caller", "voice"]

_S = 1000.0  # ms
# Frames whose time of sending is remembered: ten seconds' worth, a power of two.
_REMEMBERED = 512
# Without any numbered frame in so much audio, none will come: something resamples.
_NO_NUMBERS_MS = 1000.0
# A bot that has been silent so long, between what it says, waits for an answer.
_TURN_S = 1.0
# A bot that does not begin to speak within this time is spoken to again.
_PATIENCE_S = 5.0
# A pause shorter than this is within speech.
_BREATH_S = 0.2
# Calls are so many frames out of step with each other, or a multiple of that.
_STEP = 10
# How long a caller listens before talking over the bot.
_LISTEN_S = 1.0
# Without a clear, the bot has stopped when it has been silent so long.
_SILENT_S = 0.3
# What has not stopped by then does not stop.
_GIVE_UP_S = 5.0


class Caller:
    """Says nothing, and listens. The scenario of short calls, and what the others rest on."""

    __slots__ = ("playout", "silence")

    def __init__(self, playout: Playout, silence: bytes) -> None:
        self.playout = playout
        self.silence = silence

    def frame(self, now: float) -> bytes:
        """The next 20 ms of the caller's audio, which leave ``now``."""
        return self.silence

    def hear(self, audio: bytes, now: float, begins: float) -> None:
        """``audio`` arrived ``now``, and will be heard from ``begins`` on (both in seconds)."""

    def cleared(self, now: float) -> None:
        """The bot took back what was not played; it is silent."""


class EchoCaller(Caller):
    """Sends frames that say which they are, and measures when they come back.

    Args:
        pattern: makes the frames.
        heard: the encoding that comes back; frames have numbers only where it is the same.
        first: the number of its first frame.
    """

    __slots__ = (
        "_back",
        "_beeps",
        "_bytes_per_second",
        "_first",
        "_frames",
        "_lag",
        "_lateness",
        "_live",
        "_next",
        "_numbered",
        "_numbers",
        "_pattern",
        "_sent_at",
        "_unnumbered_ms",
        "sent",
    )

    def __init__(
        self, playout: Playout, live: Live, pattern: Pattern, heard: AudioFormat, first: int = 0
    ) -> None:
        super().__init__(playout, b"")
        self.sent = self._first = first
        self._live = live
        self._lateness = live.lateness.add
        self._lag = live.lag.add
        self._pattern = pattern
        self._frames = pattern.frames
        self._bytes_per_second = heard.bytes_per_second
        self._numbers = NumberFinder(pattern) if heard == pattern.audio else None
        self._beeps = BeepFinder(heard)
        self._numbered = False
        self._unnumbered_ms = 0.0
        self._sent_at = array("d", bytes(8 * _REMEMBERED))
        self._back = first - 1
        self._next: bytes | None = None

    def frame(self, now: float) -> bytes:
        number = self.sent
        self._sent_at[number % _REMEMBERED] = now
        self.sent = number + 1
        return self._frames[number]

    def hear(self, audio: bytes, now: float, begins: float) -> None:
        number = self._back + 1
        # Nearly always it is the very frame that is to come next: no need to look for its number.
        if audio == self._next and 0 < self.sent - number <= _REMEMBERED:
            self._back = number
            self._next = self._frames[number + 1]
            self._live.figures.frames_back += 1
            sent_at = self._sent_at[number % _REMEMBERED]
            self._lateness((now - sent_at) * _S)
            self._lag((begins - sent_at) * _S)
        elif self._numbers is None or not self._found_numbers(self._numbers, audio, now, begins):
            at = self._beeps.find(audio)
            if at is not None:
                self._beep_came_back(at / _S, now, begins)

    def _found_numbers(self, finder: NumberFinder, audio: bytes, now: float, begins: float) -> bool:
        """Whether frames have numbers, as far as is known."""
        for spelt, at in finder.find(audio):
            self._came_back(spelt, at / self._bytes_per_second, now, begins)
            self._numbered = True
        if self._numbered:
            self._next = None if finder.holds else self._frames[self._back + 1]
            return True
        self._unnumbered_ms += len(audio) / self._bytes_per_second * _S
        if self._unnumbered_ms >= _NO_NUMBERS_MS:
            self._numbers = None
        return self._numbers is not None

    def _came_back(self, spelt: int, offset: float, now: float, begins: float) -> None:
        figures = self._live.figures
        number = self._pattern.latest(spelt, self.sent - 1)
        missed = number - self._back - 1
        if missed < 0:
            figures.frames_repeated += 1
            return
        # What was said before the first frame came back was said to a bot not yet there.
        figures.frames_lost += missed if self._numbered else 0
        self._back = number
        if self.sent - number > _REMEMBERED:
            figures.error("echo", "a frame came back after more than ten seconds")
            return
        figures.frames_back += 1
        sent_at = self._sent_at[number % _REMEMBERED]
        self._lateness((now + offset - sent_at) * _S)
        self._lag((begins + offset - sent_at) * _S)

    def _beep_came_back(self, offset: float, now: float, begins: float) -> None:
        number = self._pattern.latest_beep(self.sent - 1)
        if number < self._first:
            return
        self._live.figures.beeps_back += 1
        sent_at = self._sent_at[number % _REMEMBERED] + self._pattern.beep_after_ms / _S
        self._lateness((now + offset - sent_at) * _S)
        self._lag((begins + offset - sent_at) * _S)


class TalkingCaller(Caller):
    """Listens, and says a sentence whenever the bot has nothing to say.

    Args:
        words: the frames of the sentence.
        now: when the call begins.
    """

    def __init__(
        self, playout: Playout, silence: bytes, words: Sequence[bytes], now: float
    ) -> None:
        super().__init__(playout, silence)
        self._words = words
        self._next = len(words)
        self._ready_at = now + _PATIENCE_S

    def frame(self, now: float) -> bytes:
        if self._next < len(self._words):
            return self._say(now)
        if now >= self._ready_at and now >= self.playout.ends + _TURN_S:
            self._next = 0
        return self.silence

    def _say(self, now: float) -> bytes:
        self._next += 1
        self._ready_at = now + _PATIENCE_S
        return self._words[self._next - 1]

    def hear(self, audio: bytes, now: float, begins: float) -> None:
        self._ready_at = 0.0  # it answers: after that it is the caller's turn


class InterruptingCaller(Caller):
    """Lets the bot speak for a second, talks over it (or presses a key), and again.

    Args:
        words: the frames that are said.
        press: presses the key, in place of the words.
    """

    def __init__(
        self,
        playout: Playout,
        silence: bytes,
        live: Live,
        words: Sequence[bytes],
        press: Callable[[], None] | None,
    ) -> None:
        super().__init__(playout, silence)
        self._live = live
        self._words = words if press is None else ()
        self._press = press
        self._next = len(self._words)
        self._speaks_since = math.inf
        self._began: float | None = None

    def frame(self, now: float) -> bytes:
        if self._began is not None:
            self._look(now)
        elif now >= self.playout.ends + _BREATH_S or self._next < len(self._words):
            self._speaks_since = math.inf
        elif self._speaks_since == math.inf:
            self._speaks_since = now
        elif now - self._speaks_since >= _LISTEN_S:
            self._interrupt(now)
        if self._next < len(self._words):
            self._next += 1
            return self._words[self._next - 1]
        return self.silence

    def _interrupt(self, now: float) -> None:
        self._began = now
        self._next = 0
        if self._press is not None:
            self._press()

    def _look(self, now: float) -> None:
        began = self._began or 0.0
        if now - self.playout.ends >= _SILENT_S:
            self._stopped(max(began, self.playout.ends))
        elif now - began > _GIVE_UP_S:
            self._live.figures.error("barge-in", "the bot spoke on for 5 s while the caller spoke")
            self._over()

    def cleared(self, now: float) -> None:
        if self._began is not None:
            self._stopped(now)

    def _stopped(self, at: float) -> None:
        self._live.figures.stop.add((at - (self._began or 0.0)) * _S)
        self._over()

    def _over(self) -> None:
        self._began = None
        self._speaks_since = math.inf


def _first_number(now: float) -> int:
    """With which number a call that begins ``now`` begins.

    Frames are counted from the machine's start, so that calls which have their turns together say
    the same, and what one message is made of is still there for the next; but not all of
    them in step, or they would all beep at once.
    """
    return int(now * _S / FRAME_MS) + random.randrange(0, BEEP_EVERY, _STEP)


@cache
def voice(audio: AudioFormat) -> tuple[bytes, ...]:
    """A recorded sentence in frames of that encoding, from its first sound on."""
    clip = min(clips(), key=lambda clip: clip.seconds)
    whole = convert(clip.audio, clip.format, audio)
    size = audio.bytes_in(FRAME_MS)
    frames = [whole[at : at + size] for at in range(0, len(whole) - size + 1, size)]
    loud = next(n for n, frame in enumerate(frames) if rms(frame, audio) >= VOICE_RMS)
    return tuple(frames[loud:])


def caller(
    scenario: Scenario,
    playout: Playout,
    live: Live,
    *,
    inbound: AudioFormat,
    outbound: AudioFormat,
    pattern: Pattern,
    press: Callable[[], None] | None,
    now: float,
) -> Caller:
    """Who makes a call of that scenario; arguments as for the classes."""
    silence = inbound.silence * (inbound.bytes_in(FRAME_MS) // inbound.sample_bytes)
    if scenario is Scenario.ECHO:
        return EchoCaller(playout, live, pattern, outbound, _first_number(now))
    if scenario is Scenario.TALK:
        return TalkingCaller(playout, silence, voice(inbound), now)
    if scenario is Scenario.BARGEIN:
        return InterruptingCaller(playout, silence, live, voice(inbound), press)
    return Caller(playout, silence)
