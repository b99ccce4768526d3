"""What a recorded call was like, in numbers.

Who spoke when, how soon the bot answered, how much of it the caller still heard after interrupting,
and where its speech broke off.

Everything here is computed from the sound the caller heard (and made) and, for barge-ins, from the
moments noted beside it. Speech is told from silence by its level alone: enough for a line whose
noise is steady, and exact to ``FRAME_MS``. It knows no words, no carrier and no clock.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .record import BOT, CALLER, CallRecord, Kind

__all__ = [
    "FRAME_MS",
    "BargeIn",
    "Latency",
    "Measures",
    "Span",
    "Turn",
    "barge_ins",
    "holes",
    "latencies",
    "levels",
    "measure",
    "overlaps",
    "speech",
    "turns",
]

FRAME_MS = 5

# Levels in dB below full scale. Comfort noise on telephone lines lies at -45 and below, speech
# around -25. What stands this far above the line's own noise is taken for speech, within limits:
# nothing under QUIET_DB ever is, and a channel without any pause has no noise to go by.
ABOVE_NOISE_DB = 9.0
QUIET_DB = -45.0
LOUD_DB = -33.0
SILENT_DB = -100.0

HANGOVER_MS = 300  # a pause shorter than this is within a span: a stop consonant, a breath
FINE_MS = 120  # … and where a clear says that the bot was cut, only this much
GLUE_MS = 30  # gaps that short are not even pauses …
CLICK_MS = 30  # … and sounds that short are not speech
TURN_GAP_S = 1.0  # one who goes on after a longer silence has begun a new turn
REACTION_S = 1.0  # a clear this soon after the caller's onset is the answer to it

# A-law has no zero: its silence decodes to ±8.
DIGITAL_SILENCE = 8
EDGE_MS = 3

Samples = NDArray[np.int16]
Levels = NDArray[np.float64]
Runs = list[tuple[int, int]]


class Span(Struct, frozen=True):
    """From ``start`` to ``end``, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Turn(Struct, frozen=True):
    """``channel`` held the floor, with pauses, from ``start`` to ``end`` (seconds)."""

    channel: str
    start: float
    end: float


class Latency(Struct, frozen=True):
    """The caller stopped speaking at ``start`` and the bot began at ``end`` (seconds)."""

    start: float
    end: float

    @property
    def ms(self) -> float:
        """How long the caller waited, in ms."""
        return (self.end - self.start) * 1000


class BargeIn(Struct, frozen=True):
    """The caller began (``at``, seconds) while the bot spoke, which was last heard at ``quiet``.

    ``clear`` is when the bot took back the rest, where a moment tells.
    """

    at: float
    quiet: float
    clear: float | None = None

    @property
    def heard_ms(self) -> float:
        """Ms of the bot that the caller still heard after beginning to speak."""
        return max(0.0, self.quiet - self.at) * 1000

    @property
    def after_clear_ms(self) -> float | None:
        """Ms of the bot that the caller still heard after the clear; ``None`` without one."""
        return None if self.clear is None else max(0.0, self.quiet - self.clear) * 1000


class Measures(Struct, frozen=True, kw_only=True):
    """All that can be measured of one call; times in seconds."""

    caller: list[Span]
    bot: list[Span]
    turns: list[Turn]
    latencies: list[Latency]
    barge_ins: list[BargeIn]
    overlaps: list[Span]
    holes: list[Span]

    def summary(self) -> str:
        """One line for people."""
        parts = [_count(len(self.turns), "turn")]
        if self.latencies:
            waits = [latency.ms for latency in self.latencies]
            each = f" (longest {max(waits):.0f} ms)" if len(waits) > 1 else ""
            parts.append(f"bot answers after {statistics.median(waits):.0f} ms{each}")
        if self.barge_ins:
            worst = max(barge_in.heard_ms for barge_in in self.barge_ins)
            most = "at most " if len(self.barge_ins) > 1 else ""
            interrupted = _count(len(self.barge_ins), "barge-in")
            parts.append(f"{interrupted}, bot heard for {most}{worst:.0f} ms more")
        if self.holes:
            lost = sum(hole.seconds for hole in self.holes) * 1000
            parts.append(f"{_count(len(self.holes), 'hole')} in its speech, {lost:.0f} ms")
        elif self.bot:
            parts.append("no holes in its speech")
        return " · ".join(parts)


def measure(record: CallRecord) -> Measures:
    """Everything there is to measure of a call."""
    caller, bot = speech(record.caller, record.rate), speech(record.bot, record.rate)
    order = _turns(caller, bot)
    return Measures(
        caller=caller,
        bot=bot,
        turns=order,
        latencies=_latencies(order),
        barge_ins=barge_ins(record),
        overlaps=_overlaps(caller, bot),
        holes=holes(record.bot, record.rate),
    )


# --- speech ----------------------------------------------------------------------------------


def levels(pcm: bytes, rate: int) -> Levels:
    """The level of each ``FRAME_MS`` of L16 LE at ``rate`` Hz, in dB below full scale."""
    size = rate * FRAME_MS // 1000
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    frames = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    power = np.mean(frames**2, axis=1) / 32768**2
    return 10 * np.log10(np.maximum(power, 10 ** (SILENT_DB / 10)))


def speech(pcm: bytes, rate: int, *, hangover_ms: int = HANGOVER_MS) -> list[Span]:
    """Where somebody speaks in L16 LE at ``rate`` Hz; pauses under ``hangover_ms`` are within."""
    loudness = levels(pcm, rate)
    sounding = loudness > _threshold(loudness)
    runs = [run for run in _joined(_runs(sounding), GLUE_MS) if _ms(run) >= CLICK_MS]
    return [
        Span(start * FRAME_MS / 1000, end * FRAME_MS / 1000)
        for start, end in _joined(runs, hangover_ms)
    ]


def _threshold(loudness: Levels) -> float:
    # A tenth of any channel that has pauses is below its speech. Where there is nothing at all
    # (the bot's side between utterances) no noise can be learnt, so that is left out.
    something = loudness[loudness > QUIET_DB - 30]
    noise = float(np.percentile(something, 10)) if len(something) else SILENT_DB
    return min(max(noise + ABOVE_NOISE_DB, QUIET_DB), LOUD_DB)


def _runs(flags: NDArray[np.bool_]) -> Runs:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _joined(runs: Iterable[tuple[int, int]], gap_ms: int) -> Runs:
    joined: Runs = []
    for start, end in runs:
        if joined and _ms((joined[-1][1], start)) < gap_ms:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def _ms(run: tuple[int, int]) -> int:
    return (run[1] - run[0]) * FRAME_MS


# --- the two together ------------------------------------------------------------------------


def turns(record: CallRecord) -> list[Turn]:
    """Who held the floor, in order of their beginnings; spans with nobody between are one turn."""
    return _turns(speech(record.caller, record.rate), speech(record.bot, record.rate))


def _turns(caller: Sequence[Span], bot: Sequence[Span]) -> list[Turn]:
    spans = [(span, CALLER) for span in caller] + [(span, BOT) for span in bot]
    found: list[Turn] = []
    for span, channel in sorted(spans, key=lambda pair: (pair[0].start, pair[1])):
        last = found[-1] if found else None
        if last and last.channel == channel and span.start - last.end < TURN_GAP_S:
            found[-1] = Turn(channel, last.start, span.end)
        else:
            found.append(Turn(channel, span.start, span.end))
    return found


def latencies(record: CallRecord) -> list[Latency]:
    """From each end of the caller's speech to the bot's answer, where the bot waited for it.

    A turn the bot talked into, or did not answer before the caller went on, has none.
    """
    return _latencies(turns(record))


def _latencies(order: Sequence[Turn]) -> list[Latency]:
    bot = [turn for turn in order if turn.channel == BOT]
    return [
        Latency(before.end, after.start)
        for before, after in pairwise(order)
        if before.channel == CALLER
        and after.channel == BOT
        and after.start >= before.end
        and not any(turn.start < before.end < turn.end for turn in bot)
    ]


def overlaps(record: CallRecord) -> list[Span]:
    """Where both speak at once."""
    return _overlaps(speech(record.caller, record.rate), speech(record.bot, record.rate))


def _overlaps(caller: Sequence[Span], bot: Sequence[Span]) -> list[Span]:
    shared = [Span(max(a.start, b.start), min(a.end, b.end)) for a in caller for b in bot]
    return [span for span in shared if span.seconds > 0]


# --- barge-in --------------------------------------------------------------------------------


def barge_ins(record: CallRecord) -> list[BargeIn]:
    """Each time the caller began to speak while the bot did, or cut it short with a key.

    What the caller heard of the bot from then on runs to the bot's next pause; with a clear soon
    after, to its next short pause, so that a new answer is not counted as the rest of the old.
    """
    coarse = speech(record.bot, record.rate)
    fine = speech(record.bot, record.rate, hangover_ms=FINE_MS)
    clears = [moment.at for moment in record.moments if moment.kind == Kind.CLEAR]
    spoken = [span.start for span in speech(record.caller, record.rate)]
    keyed = [
        moment.at
        for moment in record.moments
        if moment.kind == Kind.KEY and moment.channel in (CALLER, "")
    ]
    found: list[BargeIn] = []
    for at, is_key in sorted([(at, False) for at in spoken] + [(at, True) for at in keyed]):
        clear = next((time for time in clears if at <= time <= at + REACTION_S), None)
        if clear is None:
            quiet = _heard_until(coarse, at, 0.0)
        elif found and found[-1].clear == clear:
            continue
        else:
            quiet = _heard_until(fine, at, HANGOVER_MS / 1000, clear)
        if quiet is not None and (clear is not None or not is_key):
            found.append(BargeIn(at, quiet, clear))
    return found


def _heard_until(
    bot: Sequence[Span], at: float, grace: float, clear: float | None = None
) -> float | None:
    """When the speech that was going on at ``at`` (or paused, ``grace`` seconds ago) was over."""
    before = [span for span in bot if span.start < at]
    if not before or before[-1].end + grace < at:
        return None
    under_way = [span for span in bot if span.start < (at if clear is None else clear)]
    return under_way[-1].end


# --- holes -----------------------------------------------------------------------------------


def holes(pcm: bytes, rate: int, *, shortest_ms: int = 20, longest_ms: int = 400) -> list[Span]:
    """Where speech stops dead and goes on as suddenly: the listener's buffer ran dry.

    Speech fades into its own pauses; a hole is digital silence with speech cut off on both sides.
    """
    samples: Samples = np.frombuffer(pcm, dtype="<i2")
    silent = np.abs(samples.astype(np.int32)) <= DIGITAL_SILENCE
    edge = rate * EDGE_MS // 1000
    floor = 32768 * 10 ** (_threshold(levels(pcm, rate)) / 20)
    shortest, longest = (rate * ms // 1000 for ms in (shortest_ms, longest_ms))
    return [
        Span(start / rate, end / rate)
        for start, end in _runs(silent)
        if shortest <= end - start <= longest
        and _loudness(samples[max(0, start - edge) : start]) > floor
        and _loudness(samples[end : end + edge]) > floor
    ]


def _loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
