"""Playout against a far end that is modelled on its own: a list of arrivals, played at real time.

The model below knows nothing of ``trunkline``'s playhead. Virtual time only.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import weakref
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.carrier import FrameRule, Marks
from trunkline.events import Audio, Mark
from trunkline.media.formats import L16_16K, PCMA_8K, PCMU_8K, AudioFormat
from trunkline.media.playout import Change, ChangeKind, Passage, Playout

STARTED, PLAYED, CLEARED = ChangeKind.STARTED, ChangeKind.PLAYED, ChangeKind.CLEARED
FRAME = 160  # 20 ms of PCMU
TICK = 1e-6  # s; far below a sample (125 us)
LOOSE = FrameRule(ms=20, whole=False, max_lead_ms=200)
WHOLE = FrameRule(ms=20, whole=True, max_lead_ms=200)
ROOMY = FrameRule(ms=20, whole=False, max_lead_ms=600)


class FarEnd:
    """A carrier's buffer: what arrived, played at real time in the order of arrival."""

    def __init__(self, rate: int = 8000) -> None:
        self.rate = rate
        self.played: list[tuple[float, bytes]] = []  # when each piece begins to be heard
        self.end = float("-inf")
        self.holes: list[float] = []

    def audio(self, at: float, payload: bytes) -> None:
        if self.played and at > self.end + TICK:
            self.holes.append(at - self.end)
        start = max(at, self.end)
        self.played.append((start, payload))
        self.end = start + len(payload) / self.rate

    def clear(self, at: float) -> None:
        kept = [(s, p[: max(0, round((at - s) * self.rate))]) for s, p in self.played]
        self.played = [(s, p) for s, p in kept if p]
        self.end = min(self.end, at)

    def position(self, at: float) -> float:
        """Bytes heard until then."""
        return sum(min(max(0.0, (at - s) * self.rate), len(p)) for s, p in self.played)

    def heard(self) -> bytes:
        return b"".join(payload for _, payload in self.played)

    def edges(self, letter: int) -> tuple[float, float]:
        """When a passage, all of this byte, begins and ceases to be heard."""
        times: list[float] = []
        for start, payload in self.played:
            if letter in payload:
                first, last = payload.index(letter), payload.rindex(letter) + 1
                times += [start + first / self.rate, start + last / self.rate]
        return min(times), max(times)


class Line:
    """Runs a playout against a far end, with delays, stalls of our loop, and a script."""

    def __init__(
        self,
        playout: Playout,
        *,
        there: Callable[[], float] = lambda: 0.0,
        back: Callable[[], float] = lambda: 0.0,
        stalls: list[tuple[float, float]] | None = None,
        marks: Marks = Marks.NONE,
        loses: Callable[[str], bool] = lambda name: False,
        rate: int = 8000,
        passes: bool = True,
    ) -> None:
        self.playout = playout
        self.passed = 0
        self.far = FarEnd(rate)
        self.now = 0.0
        self.changes: list[Change] = []
        self.ended: dict[int, float] = {}
        self.sent: list[tuple[float, Audio | Mark]] = []
        self.ahead: list[float] = []  # s at the far end after each due(), delays apart
        self.left: list[float] = []  # s at the far end before each due() that sent audio
        self.on_return: Callable[[str, float, float], None] = lambda name, reached, now: None
        self._passes = passes
        self._there, self._back, self._marks, self._loses = there, back, marks, loses
        self._stalls = stalls or []
        self._script: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._awaited: list[tuple[str, float, float]] = []  # name, reached, the way back
        self._arrived = self._told = float("-inf")
        self._ideal = FarEnd(rate)

    def at(self, time: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._script, (time, next(self._order), action))

    def say(self, time: float, passage: Passage, audio: bytes) -> None:
        self.at(time, lambda: self._say(passage, audio))

    def _say(self, passage: Passage, audio: bytes) -> None:
        """As an utterance does: live audio leaves at once where it may."""
        if passage.live and self._passes and self.playout.pass_on(passage, audio, self.now):
            self.passed += 1
            self._sends([Audio(audio)])
            return
        self.playout.push(passage, audio)

    def clear(self) -> bool:
        wired = self.playout.clear(self.now)
        if wired:
            self._arrived = arrival = max(self._arrived, self.now + self._there())
            self.far.clear(arrival)
            self._ideal.clear(self.now)
            self._awaited = [
                (name, min(reached, arrival), back)
                for name, reached, back in self._awaited
                if reached <= arrival or self._marks is Marks.RETURNED
            ]
        return wired

    def run(self, until: float) -> None:
        while (time := self._next()) is not None and time <= until:
            self.now = max(self.now, time)
            for begin, end in self._stalls:
                if begin <= self.now < end:
                    self.now = end
            while self._script and self._script[0][0] <= self.now:
                heapq.heappop(self._script)[2]()
            while self._awaited and self._return_time() <= self.now:
                name, reached, _ = self._awaited[0]
                self._told = self._return_time()
                self._awaited.pop(0)
                self.playout.returned(name, self.now)
                self.on_return(name, reached, self.now)
            self._send()
            self.changes += self.playout.changes(self.now)
            for following in (self.playout.next_due(self.now), self.playout.next_change(self.now)):
                assert following is None or following > self.now
        self.now = max(self.now, until)

    def _send(self) -> None:
        self._sends(self.playout.due(self.now))

    def _sends(self, out: list[Audio | Mark]) -> None:
        before = self._ideal.end - self.now
        for event in out:
            self.sent.append((self.now, event))
            self._arrived = arrival = max(self._arrived, self.now + self._there())
            if isinstance(event, Audio):
                self.far.audio(arrival, event.payload)
                self._ideal.audio(self.now, event.payload)
            elif not self._loses(event.name):
                self._awaited.append((event.name, max(arrival, self.far.end), self._back()))
        if any(isinstance(event, Audio) for event in out):
            self.left.append(before)
            self.ahead.append(self._ideal.end - self.now)

    def _return_time(self) -> float:
        _, reached, back = self._awaited[0]
        return max(self._told, reached + back)

    def _next(self) -> float | None:
        times = [self.playout.next_due(self.now), self.playout.next_change(self.now)]
        if self._script:
            times.append(self._script[0][0])
        if self._awaited:
            times.append(self._return_time())
        return min((time for time in times if time is not None), default=None)


def make(
    rule: FrameRule = LOOSE, marks: Marks = Marks.NONE, audio: AudioFormat = PCMU_8K, **more: object
) -> Playout:
    return Playout(audio, rule, marks, **more)  # type: ignore[arg-type]


def payloads(events: list[Audio | Mark]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Audio)]


def marks_of(events: list[Audio | Mark]) -> list[str]:
    return [event.name for event in events if isinstance(event, Mark)]


def kinds(changes: list[Change]) -> list[tuple[ChangeKind, int]]:
    return [(change.kind, change.passage.id) for change in changes]


def said(playout: Playout, audio: bytes, *, live: bool = False) -> Passage:
    passage = playout.begin(live=live)
    assert playout.push(passage, audio)
    playout.end(passage)
    return passage


def letters(seconds: float, letter: str = "a") -> bytes:
    return letter.encode() * round(seconds * 8000)


# --- cutting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "tail", "padding"),
    [
        (PCMU_8K, b"t" * 10, b"\xff" * 150),
        (PCMA_8K, b"t" * 10, b"\xd5" * 150),
        (L16_16K, b"t" * 10, b"\0" * 630),
    ],
)
def test_a_whole_message_is_never_short(audio: AudioFormat, tail: bytes, padding: bytes) -> None:
    playout = make(WHOLE, audio=audio)
    full = b"f" * len(tail + padding)
    passage = playout.begin()
    playout.push(passage, full + tail)
    assert payloads(playout.due(0.0)) == [full]
    assert playout.next_due(0.0) is None  # held: more may come
    assert playout.due(5.0) == []
    playout.end(passage)
    assert playout.next_due(5.0) == 5.0
    assert payloads(playout.due(5.0)) == [tail + padding]
    assert passage.sent == passage.pushed == len(full + tail)


def test_a_tail_goes_as_it_is() -> None:
    playout = make(LOOSE)
    said(playout, b"a" * 165)
    said(playout, b"b" * 5)
    assert b"".join(payloads(playout.due(0.0))) == b"a" * 165 + b"b" * 5


def test_a_message_never_holds_two_passages() -> None:
    playout = make(WHOLE)
    said(playout, b"a" * 100)
    said(playout, b"b" * 100)
    assert payloads(playout.due(0.0)) == [b"a" * 100 + b"\xff" * 60, b"b" * 100 + b"\xff" * 60]


@pytest.mark.parametrize("rule", [LOOSE, WHOLE])
def test_full_pieces_pass_uncopied(rule: FrameRule) -> None:
    pieces = [bytes([n]) * FRAME for n in range(50)]
    line = Line(make(rule))
    passage = line.playout.begin()
    for piece in pieces:
        line.playout.push(passage, piece)
    line.playout.end(passage)
    line.run(2.0)
    sent = payloads([event for _, event in line.sent])
    assert len(sent) == 50
    assert all(out is piece for out, piece in zip(sent, pieces, strict=True))


def test_what_is_overdue_leaves_in_large_messages() -> None:
    playout = make(LOOSE)
    said(playout, letters(10))
    assert [len(p) for p in payloads(playout.due(0.0))] == [1600, 160]  # 200 ms, then 20
    assert [len(p) for p in payloads(playout.due(0.1))] == [800]
    roomy = make(ROOMY, lead_ms=500)
    said(roomy, letters(10))
    assert [len(p) for p in payloads(roomy.due(0.0))] == [1600, 1600, 960]


def test_audio_is_not_held_back_when_the_far_end_runs_low() -> None:
    playout = make(LOOSE)
    passage = playout.begin()
    playout.push(passage, b"a" * 80)
    assert payloads(playout.due(0.0)) == [b"a" * 80]  # nothing is playing: at once
    playout.push(passage, b"b" * (FRAME * 15))
    playout.due(0.005)
    playout.push(passage, b"c" * 40)
    later = playout.next_due(0.1)
    while later is not None and later < 0.25:
        assert not any(b"c" in p for p in payloads(playout.due(later)))  # it may wait …
        later = playout.next_due(later)
    assert later == pytest.approx(0.310 - 0.040)  # … until 40 ms are left of 10 + 300
    assert payloads(playout.due(later)) == [b"c" * 40]


def test_whole_samples_only_and_nothing_after_the_end() -> None:
    playout = make(audio=L16_16K)
    passage = playout.begin()
    with pytest.raises(ValueError, match="whole samples"):
        playout.push(passage, b"abc")
    assert playout.push(passage, b"")
    playout.end(passage)
    playout.end(passage)
    with pytest.raises(ValueError, match="ended"):
        playout.push(passage, b"ab")
    assert passage.pushed == 0


@given(
    st.lists(st.lists(st.integers(1, 4000), max_size=6), min_size=1, max_size=4),
    st.sampled_from([20, 40, 100]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_nothing_is_lost_or_changed_by_cutting(
    passages: list[list[int]], ms: int, whole: bool, random: Random
) -> None:
    rule = FrameRule(ms=ms, whole=whole, max_lead_ms=400)
    line = Line(make(rule))
    time = 0.0
    expected = b""
    for number, sizes in enumerate(passages):
        passage = line.playout.begin()
        letter = bytes([65 + number])
        for size in sizes:
            time += random.uniform(0, 0.4)
            line.say(time, passage, letter * size)
        line.at(time, lambda passage=passage: line.playout.end(passage))
        total = sum(sizes)
        expected += letter * total + (b"\xff" * (-total % (ms * 8)) if whole else b"")
    line.run(time + 60)
    sent = payloads([event for _, event in line.sent])
    assert b"".join(sent) == expected
    assert all(len(p) == ms * 8 if whole else 0 < len(p) <= 1600 for p in sent)
    assert [k for k, _ in kinds(line.changes)].count(PLAYED) == len(passages)


# --- pacing ----------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 9000)), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(0, 6), st.floats(0.001, 0.5)), max_size=4),
    st.sampled_from([LOOSE, WHOLE, ROOMY]),
    st.booleans(),
)
@example([(0.0, 979), (0.12237316385991884, 1120)], [], LOOSE, False)
def test_never_more_ahead_than_the_lead_and_a_message(
    pushes: list[tuple[float, int]],
    stalls: list[tuple[float, float]],
    rule: FrameRule,
    can_clear: bool,
) -> None:
    line = Line(make(rule, can_clear=can_clear), stalls=[(a, a + b) for a, b in stalls])
    passage = line.playout.begin()
    time = 0.0
    for gap, size in pushes:
        time += gap
        line.say(time, passage, b"a" * size)
    line.at(time, lambda: line.playout.end(passage))
    line.run(30.0)
    most = (rule.max_lead_ms if can_clear else 120) / 1000
    assert max(line.ahead) <= most + 0.020 + TICK
    assert not line.playout.left_ms(line.now)


@pytest.mark.parametrize("rule", [LOOSE, WHOLE, FrameRule(ms=40, whole=True, max_lead_ms=200)])
@pytest.mark.parametrize("phase", [0.0, 0.003, 0.011, 0.019])
def test_a_stall_of_150_ms_every_second_is_not_heard(rule: FrameRule, phase: float) -> None:
    stalls = [(n + phase, n + phase + 0.150) for n in range(1, 30)]
    line = Line(make(rule), stalls=stalls)
    said(line.playout, letters(28))
    line.run(40.0)
    assert line.far.holes == []
    assert min(line.left[1:]) > 0.049
    assert line.far.heard() == letters(28)


@given(st.floats(0.5, 1.5), st.floats(0.001, 0.199), st.sampled_from([LOOSE, WHOLE]))
def test_any_stall_shorter_than_the_lead_leaves_no_hole(
    begin: float, length: float, rule: FrameRule
) -> None:
    line = Line(make(rule), stalls=[(begin, begin + length)])
    said(line.playout, letters(3))
    line.run(5.0)
    assert line.far.holes == []


@given(st.floats(0.5, 1.5), st.floats(0.25, 3.0))
def test_a_longer_stall_leaves_one_hole_and_is_caught_up(begin: float, length: float) -> None:
    line = Line(make(LOOSE), stalls=[(begin, begin + length)])
    said(line.playout, letters(5))
    line.run(15.0)
    assert len(line.far.holes) == 1
    assert length - 0.221 <= line.far.holes[0] <= length - 0.2 + TICK
    assert line.far.heard() == letters(5)  # late, and all of it
    recovered = [len(e.payload) for t, e in line.sent if t == begin + length and type(e) is Audio]
    assert sum(recovered) / 8000 >= 0.2  # the whole lead, at once


def test_no_drift_in_an_hour() -> None:
    playout = make(WHOLE)
    passage = playout.begin()
    second = letters(1)
    for _ in range(3600):
        playout.push(passage, second)
    playout.end(passage)
    begin, now, sent = 12345.678, 12345.678, 0
    while True:
        out = playout.due(now)
        sent += sum(len(payload) for payload in payloads(out))
        following = playout.next_due(now)
        if following is None:
            break
        assert following > now
        now = following
        # 200 ms ahead of a clock that began with the first byte, to a tenth of a sample
        assert abs(begin + sent / 8000 - 0.2 - now) < 0.1 / 8000
    assert sent == 3600 * 8000


def test_the_lead_grows_with_what_it_met_and_returns_slowly() -> None:
    line = Line(make(ROOMY), stalls=[(2.0, 2.35), (4.0, 4.35), (100.0, 100.35)])
    said(line.playout, letters(150))
    line.run(3.0)
    assert len(line.far.holes) == 1  # 350 ms was too much for 200
    line.run(6.0)
    assert len(line.far.holes) == 1  # and is not any more
    assert max(line.ahead) <= 0.45 + 0.02
    line.run(99.0)
    assert line.playout.ahead_ms(line.now) <= 220.001
    line.run(101.0)
    assert len(line.far.holes) == 2


def test_a_small_lead_is_not_grown_by_ordinary_jitter() -> None:
    stalls = [(n / 10, n / 10 + 0.025) for n in range(1, 100)]
    line = Line(make(ROOMY, lead_ms=60), stalls=stalls)
    said(line.playout, letters(9))
    line.run(10.0)
    assert max(line.ahead) <= 0.080 + TICK
    assert line.far.holes == []


def test_a_pause_after_a_clear_is_no_stall() -> None:
    playout = make(ROOMY)
    said(playout, letters(5))
    playout.due(0.0)
    playout.clear(0.1)
    said(playout, letters(5))
    playout.due(5.0)
    assert playout.ahead_ms(5.0) == pytest.approx(220)


def test_the_lead_stays_short_where_nothing_can_be_cleared() -> None:
    line = Line(make(ROOMY, can_clear=False), stalls=[(1.0, 1.5), (2.0, 2.5)])
    said(line.playout, letters(5))
    line.run(10.0)
    assert max(line.ahead) <= 0.120 + 0.020 + TICK
    assert min(line.left[1:]) <= 0


def test_after_running_dry_the_far_end_begins_anew() -> None:
    playout = make(LOOSE)
    passage = playout.begin()
    playout.push(passage, letters(0.1))
    playout.due(0.0)
    assert playout.next_due(0.05) is None
    assert playout.heard_ms(passage, 3.0) == 100
    playout.push(passage, letters(0.1))
    assert len(playout.due(3.0)) == 1
    assert playout.heard_ms(passage, 3.05) == pytest.approx(150)
    assert playout.ahead_ms(3.05) == pytest.approx(50)
    assert playout.left_ms(3.05) == pytest.approx(50)
    assert kinds(playout.changes(9.0)) == [(STARTED, 1)]  # starved is not played
    assert playout.next_change(9.0) is None


def test_left_counts_what_is_still_to_be_sent() -> None:
    playout = make(LOOSE)
    said(playout, letters(1))
    said(playout, letters(2))
    assert playout.left_ms(0.0) == 3000
    playout.due(0.0)
    assert playout.left_ms(0.0) == pytest.approx(3000)
    assert playout.ahead_ms(0.1) == pytest.approx(120)


# --- live ------------------------------------------------------------------------------------


def test_live_audio_is_not_kept_back() -> None:
    playout = make(WHOLE)
    passage = playout.begin(live=True)
    pieces = [bytes([n]) * FRAME for n in range(100)]
    for piece in pieces:
        playout.push(passage, piece)
    assert playout.next_due(0.0) == 0.0
    out = payloads(playout.due(0.0))
    assert all(a is b for a, b in zip(out, pieces, strict=True))
    playout.push(passage, b"x" * 100)
    assert playout.next_due(0.0) is None  # whole messages, here too
    playout.push(passage, b"x" * 60)
    assert payloads(playout.due(0.0)) == [b"x" * FRAME]


def test_a_live_stall_leaves_no_lag_on_the_wire() -> None:
    line = Line(make(LOOSE), stalls=[(1.0, 1.4)])
    passage = line.playout.begin(live=True)
    for n in range(150):
        line.say(n * 0.02, passage, bytes([n]) * FRAME)
    line.run(4.0)
    when = {event.payload[0]: time for time, event in line.sent if isinstance(event, Audio)}
    lag = {n: time - n * 0.02 for n, time in when.items()}
    assert lag[50] == pytest.approx(0.4)
    assert all(lag[n] == pytest.approx(0, abs=TICK) for n in (*range(50), *range(71, 150)))


def test_a_live_part_message_and_a_large_one() -> None:
    playout = make(LOOSE)
    passage = playout.begin(live=True)
    playout.push(passage, b"a" * 30)
    assert payloads(playout.due(0.0)) == [b"a" * 30]
    playout.push(passage, b"b" * 4000)
    assert [len(p) for p in payloads(playout.due(0.0))] == [1600, 1600, 800]
    playout.push(passage, b"c" * 30)
    assert playout.next_due(0.1) == 0.1  # whatever is still playing
    assert payloads(playout.due(0.1)) == [b"c" * 30]


# --- clear -----------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.integers(1, 6000)),
            st.tuples(st.just("open"), st.integers(1, 6000)),
            st.tuples(st.just("wait"), st.floats(0.001, 0.4)),
            st.tuples(st.just("clear"), st.none()),
        ),
        max_size=25,
    ),
    st.sampled_from(list(Marks)),
    st.sampled_from([LOOSE, WHOLE]),
    st.booleans(),
)
def test_nothing_old_leaves_after_a_clear(
    steps: list[tuple[str, float]], marks: Marks, rule: FrameRule, can_clear: bool
) -> None:
    line = Line(make(rule, marks, can_clear=can_clear), marks=marks)
    playout, time, generation = line.playout, 0.0, 0
    passages: list[Passage] = []
    for step, value in steps:
        if step == "clear":
            line.clear()
            generation += 1
            mark = len(line.sent)
            for passage in passages:
                assert passage.cleared or passage.left
                if passage.cleared:
                    assert playout.push(passage, b"\0" * 2) is False
            playout.clear(time)  # a second one finds nothing, and wakes nothing
            line.run(time)
            assert line.sent[mark:] == []
        elif step == "wait":
            time += value
            line.run(time)
        else:
            passage = playout.begin()
            playout.push(passage, bytes([generation]) * int(value))
            if step == "say":
                playout.end(passage)
            passages.append(passage)
            seen = len(line.sent)
            line.run(time)
            for payload in payloads([event for _, event in line.sent[seen:]]):
                assert set(payload) <= {generation, 0xFF}
    for passage in passages:
        playout.end(passage)
    line.run(time + 60)
    # exactly one end for each, in order, and a start before it at most
    ends = [change.passage.id for change in line.changes if change.kind is not STARTED]
    assert ends == [passage.id for passage in passages]
    starts = [change.passage.id for change in line.changes if change.kind is STARTED]
    assert starts == sorted(set(starts))
    for change in line.changes:
        assert 0 <= change.heard_ms * 8 <= change.passage.sent + 0.001
        assert change.heard_ms == 0 or change.passage.id in starts
    times = [change.at for change in line.changes]
    assert times == sorted(times)


def test_clear_says_whether_there_is_anything_to_clear() -> None:
    playout = make(LOOSE)
    assert playout.clear(0.0) is False
    said(playout, letters(0.5))
    assert playout.clear(0.0) is False  # nothing was sent yet
    said(playout, letters(0.1))
    playout.due(1.0)
    assert playout.clear(1.05) is True
    assert playout.clear(1.05) is False
    said(playout, letters(0.1))
    playout.due(2.0)
    assert playout.clear(2.3) is True  # heard by our clock, perhaps not by theirs
    said(playout, letters(0.1))
    playout.due(3.0)
    assert playout.clear(4.0) is False


def test_a_carrier_that_cannot_clear_is_not_told_to_and_plays_on() -> None:
    playout = make(LOOSE, can_clear=False)
    passage = said(playout, letters(1))
    playout.due(0.0)
    assert playout.clear(0.05) is False
    assert kinds(playout.changes(0.05)) == [(STARTED, 1), (CLEARED, 1)]
    assert playout.heard_ms(passage, 0.05) == pytest.approx(140)  # all that was sent will be heard
    assert playout.ahead_ms(0.05) == pytest.approx(90)
    said(playout, letters(1, "b"))
    playout.due(0.05)
    assert playout.changes(0.13) == []
    (started,) = playout.changes(0.141)
    assert started.at == pytest.approx(0.14)


def test_the_next_passage_is_fresh() -> None:
    playout = make(WHOLE)
    old = playout.begin()
    playout.push(old, b"a" * 250)
    assert payloads(playout.due(0.0)) == [b"a" * 160]
    playout.clear(0.01)
    said(playout, b"b" * 160)
    assert payloads(playout.due(0.01)) == [b"b" * 160]
    assert playout.next_due(0.02) is None


def test_a_clear_does_not_take_back_what_was_played() -> None:
    playout = make(LOOSE)
    said(playout, letters(0.1))
    said(playout, letters(0.2))
    playout.due(0.0)
    playout.clear(0.15)  # and nobody asked for changes before
    changes = playout.changes(0.2)
    assert kinds(changes) == [(STARTED, 1), (PLAYED, 1), (STARTED, 2), (CLEARED, 2)]
    assert [change.at for change in changes] == pytest.approx([0, 0.1, 0.1, 0.15])
    assert [change.heard_ms for change in changes] == pytest.approx([0, 100, 0, 50])


def test_the_clear_is_as_exact_as_the_send_clock() -> None:
    playout = make(LOOSE)
    passage = said(playout, letters(1))
    other = said(playout, letters(1))
    playout.due(0.0)
    playout.clear(0.0805)
    changes = playout.changes(0.2)
    assert kinds(changes) == [(STARTED, 1), (CLEARED, 1), (CLEARED, 2)]
    assert changes[1].heard_ms == playout.heard_ms(passage, 7.0) == pytest.approx(80.5)
    assert changes[2].heard_ms == playout.heard_ms(other, 7.0) == 0
    assert changes[1].at == 0.0805


def test_a_start_that_was_not_told_is_told_by_the_clear() -> None:
    # Marks show 100 ms round trip, so a start is told 60 ms after sending; a clear before that
    # finds audio that will have been heard when the clear gets there.
    playout = make(LOOSE, Marks.RETURNED)
    said(playout, letters(0.1))
    playout.due(0.0)
    playout.returned("1.1", 0.2)
    said(playout, letters(1))
    playout.due(5.0)
    playout.changes(5.0)
    playout.clear(5.03)
    changes = playout.changes(5.03)
    assert kinds(changes) == [(STARTED, 2), (CLEARED, 2)]
    assert changes[1].heard_ms == pytest.approx(30)


# --- marks -----------------------------------------------------------------------------------


def test_marks_are_frequent_unique_and_last() -> None:
    line = Line(make(LOOSE, Marks.RETURNED), marks=Marks.RETURNED)
    for _ in range(3):
        said(line.playout, letters(1.05))
    line.run(5.0)
    names = marks_of([event for _, event in line.sent])
    assert len(names) == len(set(names))
    assert all(len(name) < 8 for name in names)
    since, gaps = 0, []
    for _, event in line.sent:
        if isinstance(event, Audio):
            since += len(event.payload) / 8
        else:
            gaps.append(since)
            since = 0
    assert since == 0
    assert max(gaps) <= 220
    assert len(names) <= 3 * 7


def test_without_marks_none_is_sent() -> None:
    line = Line(make(LOOSE))
    said(line.playout, letters(2))
    line.run(5.0)
    assert marks_of([event for _, event in line.sent]) == []


def test_a_passage_ended_late_gets_its_mark_late() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = playout.begin()
    playout.push(passage, letters(0.25))
    assert marks_of(playout.due(0.0)) == ["1.1", "1.2"]  # after 20 ms, after 220
    assert marks_of(playout.due(0.2)) == []
    assert playout.next_due(0.5) is None
    playout.end(passage)
    assert playout.next_change(0.5) == 0.5  # the start, not asked for until now
    assert kinds(playout.changes(0.5)) == [(STARTED, 1)]
    assert playout.next_change(0.5) is None  # the mark has not even been sent
    assert playout.next_due(0.5) == 0.5
    assert playout.due(0.5) == [Mark("1.3")]
    assert playout.next_due(0.5) is None
    playout.returned("1.3", 0.56)
    (played,) = playout.changes(0.56)
    assert played.at == pytest.approx(0.25 + 0.03)  # its audio ended then, not when we asked


def test_a_mark_at_the_end_already_serves() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = playout.begin()
    playout.push(passage, letters(0.02))
    assert marks_of(playout.due(0.0)) == ["1.1"]
    playout.returned("1.1", 0.02)
    playout.end(passage)
    assert playout.next_due(0.3) is None
    assert kinds(playout.changes(0.3)) == [(STARTED, 1), (PLAYED, 1)]
    assert playout.due(0.3) == []


def test_live_audio_that_runs_dry_is_not_marked_each_time() -> None:
    line = Line(make(LOOSE, Marks.RETURNED), marks=Marks.RETURNED)
    passage = line.playout.begin(live=True)
    for n in range(100):
        line.say(n * 0.021, passage, letters(0.02))
    line.run(3.0)
    assert len(marks_of([event for _, event in line.sent])) == 3
    assert line.passed == 97


def live_line(
    pieces: list[tuple[float, int]], marks: Marks, rule: FrameRule, *, passes: bool
) -> tuple[Line, list[float]]:
    """Live audio in pieces of so many bytes, each so long after the last; and what was heard."""
    line = Line(
        make(rule, marks), marks=marks, there=lambda: 0.03, back=lambda: 0.03, passes=passes
    )
    passage = line.playout.begin(live=True)
    at, heard = 0.0, list[float]()
    for gap, size in pieces:
        at += gap
        line.say(at, passage, letters(size / 8000))
        line.at(at + 0.005, lambda: heard.append(line.playout.heard_ms(passage, line.now)))
    line.run(at + 0.5)
    line.playout.end(passage)
    line.run(at + 5)
    return line, heard


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.02, 0.021, 0.019, 0.3, 1.1]),
            st.sampled_from([160, 160, 80, 161, 320, 2000]),
        ),
        min_size=1,
        max_size=80,
    ),
    st.sampled_from([Marks.NONE, Marks.RETURNED]),
    st.sampled_from([LOOSE, WHOLE]),
)
def test_what_is_passed_on_is_as_if_it_had_been_pushed(
    pieces: list[tuple[float, int]], marks: Marks, rule: FrameRule
) -> None:
    passed, heard = live_line(pieces, marks, rule, passes=True)
    pushed, heard_then = live_line(pieces, marks, rule, passes=False)
    assert pushed.passed == 0
    assert passed.far.heard() == pushed.far.heard()
    assert passed.far.end == pytest.approx(pushed.far.end)
    assert heard == pytest.approx(heard_then, abs=0.001)
    assert [(c.kind, c.heard_ms) for c in passed.changes] == [
        (c.kind, c.heard_ms) for c in pushed.changes
    ]


def test_what_cannot_be_passed_on_as_it_is() -> None:
    playout = make(WHOLE, Marks.RETURNED)
    live, other = playout.begin(live=True), playout.begin(live=True)
    frame = letters(0.02)
    assert not playout.pass_on(live, frame, 0.0)  # the first: its beginning is to be told of
    playout.push(live, frame)
    playout.due(0.0)
    assert playout.pass_on(live, frame, 0.02)
    assert not playout.pass_on(live, frame + frame, 0.04)  # no whole message
    assert not playout.pass_on(other, frame, 0.04)  # not its turn
    assert not playout.pass_on(live, frame, 1.1)  # a mark is due
    playout.push(live, frame[:80])
    assert not playout.pass_on(live, frame, 0.06)  # something waits before it
    playout.end(live)
    assert not playout.pass_on(live, frame, 0.08)  # to be told that it has ended


def test_half_samples_and_what_is_too_long_are_not_passed_on() -> None:
    playout = make(LOOSE, audio=L16_16K)
    live = playout.begin(live=True)
    playout.push(live, bytes(640))
    playout.due(0.0)
    assert not playout.pass_on(live, bytes(641), 0.02)
    assert not playout.pass_on(live, bytes(32 * 201), 0.02)
    assert playout.pass_on(live, bytes(32 * 200), 0.02)


def test_unknown_double_and_cleared_marks_mean_nothing() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = said(playout, letters(1))
    playout.due(0.0)
    playout.returned("nobody's", 0.01)
    assert playout.heard_ms(passage, 0.0) == 0
    assert playout.clear(0.05) is True
    before = playout.changes(0.05)
    playout.returned("1.1", 0.06)
    playout.returned("1.1", 0.07)
    assert playout.heard_ms(passage, 1.0) == before[-1].heard_ms == pytest.approx(50)
    assert playout.changes(1.0) == []
    fresh = said(playout, letters(1))
    playout.due(1.0)
    playout.returned("1.1", 1.05)
    assert playout.heard_ms(fresh, 1.05) == pytest.approx(20)  # up to its own first mark


def test_a_mark_that_comes_back_vouches_for_lost_ones_before_it() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = said(playout, letters(0.5))
    now: float | None = 0.0
    names: list[str] = []
    while now is not None:
        names += marks_of(playout.due(now))
        now = playout.next_due(now)
    assert names == ["1.1", "1.2", "1.3", "1.4"]
    assert playout.heard_ms(passage, 0.45) == pytest.approx(20)  # not past the first that is out
    playout.returned("1.4", 0.55)
    assert playout.heard_ms(passage, 0.55) == 500
    playout.returned("1.2", 0.56)
    assert kinds(playout.changes(0.56)) == [(STARTED, 1), (PLAYED, 1)]


@pytest.mark.parametrize("marks", [Marks.RETURNED, Marks.DROPPED])
def test_marks_that_never_come_are_given_up(marks: Marks) -> None:
    line = Line(make(LOOSE, marks), marks=marks, loses=lambda name: True)
    first, second = (said(line.playout, letters(1, c)) for c in "ab")
    line.run(1.5)
    assert kinds(line.changes) == [(STARTED, 1)]
    assert line.playout.heard_ms(first, line.now) < 250
    line.run(2.5)
    assert line.playout.heard_ms(first, line.now) == pytest.approx(500, abs=250)
    line.run(9.0)
    assert kinds(line.changes) == [(STARTED, 1), (PLAYED, 1), (STARTED, 2), (PLAYED, 2)]
    assert line.now == 9.0
    assert [change.at for change in line.changes] == pytest.approx([0, 1, 1, 2])
    assert line.playout.heard_ms(second, 9.0) == 1000
    assert line.playout.ahead_ms(9.0) == 0


def test_a_mark_echoed_too_early_is_believed_and_breaks_nothing() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = said(playout, letters(0.2))
    playout.returned(marks_of(playout.due(0.0))[-1], 0.001)
    assert playout.heard_ms(passage, 0.001) == 200
    assert playout.ahead_ms(0.001) == 0
    changes = playout.changes(0.001)
    assert kinds(changes) == [(STARTED, 1), (PLAYED, 1)]
    assert [change.at for change in changes] == [0, 0.001]  # not in times to come
    assert playout.next_change(0.001) is None
    assert playout.clear(0.001) is False


# --- heard -----------------------------------------------------------------------------------

ways = st.floats(0, 0.08)


def talk(line: Line, random: Random, count: int = 4) -> list[Passage]:
    """Passages of 0.1 to 2 s, pushed in bursts, with and without pauses that run dry."""
    passages, time = [], 0.0
    for number in range(count):
        passage = line.playout.begin()
        passages.append(passage)
        for _ in range(random.randint(1, 4)):
            line.say(time, passage, bytes([number + 1]) * random.randint(800, 4000))
            time += random.choice([0.0, 0.05, 0.3, 0.9])
        line.ended[passage.id] = time
        line.at(time, lambda passage=passage: line.playout.end(passage))
        time += random.choice([0.0, 0.0, 1.5])
    return passages


def begins(passages: list[Passage]) -> dict[int, int]:
    sizes = itertools.accumulate([0, *(passage.pushed for passage in passages)])
    return {passage.id: size for passage, size in zip(passages, sizes, strict=False)}


@given(ways, ways, st.randoms(use_true_random=False), st.sampled_from([Marks.RETURNED]))
def test_a_returned_mark_is_exact(there: float, back: float, random: Random, marks: Marks) -> None:
    line = Line(
        make(LOOSE, marks),
        there=lambda: random.uniform(0, there),  # each message its own
        back=lambda: random.uniform(0, back),
        marks=marks,
    )
    passages = talk(line, random)
    seen: list[tuple[float, float]] = []

    def returned(name: str, reached: float, now: float) -> None:
        heard = sum(line.playout.heard_ms(passage, now) for passage in passages)
        seen.append((heard, line.far.position(reached + TICK / 10) / 8))

    line.on_return = returned
    line.run(60.0)
    assert len(seen) >= len(passages)
    for heard, true in seen:
        assert heard == pytest.approx(true, abs=20)
    assert seen[-1][0] == pytest.approx(len(line.far.heard()) / 8)


@given(ways, ways, st.randoms(use_true_random=False), st.sampled_from(list(Marks)))
def test_heard_is_bounded_on_both_sides(
    there: float, back: float, random: Random, marks: Marks
) -> None:
    line = Line(make(LOOSE, marks), there=lambda: there, back=lambda: back, marks=marks)
    passages = talk(line, random)
    previous = 0.0
    for step in range(1, 400):
        line.run(step * 0.0237)
        heard = sum(line.playout.heard_ms(passage, line.now) for passage in passages)
        sent = sum(passage.sent for passage in passages)
        assert previous - 0.001 <= heard <= sent / 8 + 0.001  # never back, never beyond
        previous = heard
        true = line.far.position(line.now) / 8
        if marks is Marks.NONE:  # the send clock: ahead by the way there
            assert true - 0.001 <= heard <= line.far.position(line.now + there) / 8 + 0.001
        else:  # what the far end told: behind by the way back; ahead only within a first frame
            assert line.far.position(line.now - there - back) / 8 - 20.001 <= heard
            assert heard <= true + 20.001


@given(ways, ways, st.randoms(use_true_random=False), st.sampled_from(list(Marks)))
def test_heard_after_a_barge_in_is_right_to_a_frame(
    there: float, back: float, random: Random, marks: Marks
) -> None:
    line = Line(make(LOOSE, marks), there=lambda: there, back=lambda: back, marks=marks)
    passages = talk(line, random)
    line.run(random.uniform(0, 4))
    line.clear()
    line.run(20.0)
    heard = sum(line.playout.heard_ms(passage, line.now) for passage in passages)
    assert heard == pytest.approx(len(line.far.heard()) / 8, abs=20)


@given(st.randoms(use_true_random=False), st.sampled_from(list(Marks)))
def test_heard_after_a_barge_in_with_jitter(random: Random, marks: Marks) -> None:
    line = Line(
        make(LOOSE, marks),
        there=lambda: random.uniform(0, 0.08),
        back=lambda: random.uniform(0, 0.08),
        marks=marks,
    )
    passages = talk(line, random)
    line.run(random.uniform(0, 4))
    line.clear()
    line.run(20.0)
    heard = sum(line.playout.heard_ms(passage, line.now) for passage in passages)
    assert heard == pytest.approx(len(line.far.heard()) / 8, abs=80 + 20)
    assert heard <= sum(passage.sent for passage in passages) / 8


def test_a_far_end_that_is_late_is_not_credited() -> None:
    # The far end plays nothing for 3 s (its marks stay out); the caller barges in.
    playout = make(LOOSE, Marks.RETURNED)
    passage = said(playout, letters(3))
    now = 0.0
    while now < 1.0:
        playout.due(now)
        now = playout.next_due(now) or 1.0
    playout.clear(1.0)
    assert playout.heard_ms(passage, 1.0) == 20  # up to the first mark at most, not 1000


# --- changes ---------------------------------------------------------------------------------


@given(ways, ways, st.randoms(use_true_random=False), st.sampled_from(list(Marks)))
def test_edges_are_within_40_ms_of_what_the_caller_hears(
    there: float, back: float, random: Random, marks: Marks
) -> None:
    line = Line(make(LOOSE, marks), there=lambda: there, back=lambda: back, marks=marks)
    passages = talk(line, random)
    line.run(60.0)
    assert [kind for kind, _ in kinds(line.changes)] == [STARTED, PLAYED] * len(passages)
    for number, change in enumerate(line.changes):
        true = line.far.edges(change.passage.id)[number % 2]
        if marks is Marks.NONE or number == 0:  # nothing tells the way there, up to 80 ms
            assert true - there - TICK <= change.at <= true + TICK
        else:
            assert change.at == pytest.approx(true, abs=0.040 + TICK)


@given(st.randoms(use_true_random=False), st.sampled_from(list(Marks)))
def test_edges_are_told_in_time(random: Random, marks: Marks) -> None:
    line = Line(make(LOOSE, marks), marks=marks)
    passages = talk(line, random)
    told: list[tuple[float, Change]] = []
    for step in range(1, 1500):
        before = len(line.changes)
        line.run(step * 0.01)
        told += [(line.now, change) for change in line.changes[before:]]
    assert len(told) == 2 * len(passages)
    for number, (now, change) in enumerate(told):
        # What is told next waits for the end before it to be known.
        known = [line.ended[passage.id] for passage in passages[: (number + 1) // 2]]
        assert now - 0.01 - TICK <= max([change.at, *known]) <= now + TICK


def test_an_empty_passage_is_played_at_once() -> None:
    playout = make(LOOSE, Marks.RETURNED)
    passage = playout.begin()
    assert playout.next_change(1.0) is None
    playout.end(passage)
    assert playout.next_due(1.0) is None
    assert playout.next_change(1.0) == 1.0
    (change,) = playout.changes(1.0)
    assert (change.kind, change.at, change.heard_ms) == (PLAYED, 1.0, 0)
    assert playout.changes(2.0) == []
    assert playout.next_change(2.0) is None
    said(playout, letters(0.1))
    assert playout.next_due(2.0) == 2.0  # it does not stand in the way
    assert b"".join(payloads(playout.due(2.0))) == letters(0.1)


def test_changes_wait_for_their_order_and_are_told_once() -> None:
    playout = make(LOOSE)
    first = said(playout, letters(0.1))
    playout.end(playout.begin())
    last = said(playout, letters(0.1))
    playout.due(0.0)
    assert kinds(playout.changes(0.05)) == [(STARTED, 1)]
    assert playout.changes(0.05) == []
    assert playout.next_change(0.05) == pytest.approx(0.1)
    changes = playout.changes(0.15)
    assert kinds(changes) == [(PLAYED, 1), (PLAYED, 2), (STARTED, 3)]
    assert changes[0].heard_ms == 100
    assert playout.next_change(0.15) == pytest.approx(0.2)
    assert kinds(playout.changes(5.0)) == [(PLAYED, 3)]
    assert playout.heard_ms(first, 5.0) == playout.heard_ms(last, 5.0) == 100
    playout.begin()
    playout.clear(6.0)
    assert playout.next_change(6.0) == 6.0


def test_padding_is_not_waited_for() -> None:
    playout = make(FrameRule(ms=100, whole=True))
    said(playout, letters(0.11))
    playout.due(0.0)
    assert playout.next_change(0.05) == 0.05
    playout.changes(0.05)
    assert playout.next_change(0.05) == pytest.approx(0.11)
    assert playout.changes(0.2)[0].at == pytest.approx(0.11)


def test_times_do_not_go_back_from_one_change_to_the_next() -> None:
    # A quick mark, then a slow one: the first passage's end is put later than the second's start.
    playout = make(LOOSE, Marks.RETURNED)
    said(playout, letters(0.1))
    said(playout, letters(0.5))
    playout.due(0.0)
    playout.returned("1.1", 0.02)
    playout.returned("1.2", 0.3)
    changes = playout.changes(0.3)
    assert kinds(changes) == [(STARTED, 1), (PLAYED, 1), (STARTED, 2)]
    assert [change.at for change in changes] == pytest.approx([0, 0.26, 0.26])


def test_no_cyclic_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        playout = make(LOOSE, Marks.RETURNED)
        said(playout, letters(1))
        playout.due(0.0)
        playout.clear(0.1)
        said(playout, letters(1))
        playout.due(0.2)
        assert len(playout.changes(0.3)) == 3
        ghost = weakref.ref(playout)
        del playout
        assert ghost() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_messages_may_leave_together_as_one_without_being_held_back() -> None:
    playout = Playout(PCMU_8K, LOOSE, Marks.NONE, together=3)
    line = Line(playout)
    said(playout, letters(5))
    line.run(10.0)
    sizes = [len(payload) for payload in payloads([e for _, e in line.sent])]
    assert set(sizes[2:-1]) == {480}
    assert sum(sizes) == 5 * 8000
    assert max(line.ahead) <= 0.200 + 0.060 + TICK
    assert min(line.left[1:-5]) > 0.199 - TICK
    assert line.far.holes == []


@pytest.mark.parametrize(("rule", "can_clear"), [(WHOLE, True), (LOOSE, False)])
def test_messages_leave_one_by_one_where_their_length_or_a_barge_in_asks_for_it(
    rule: FrameRule, can_clear: bool
) -> None:
    playout = Playout(PCMU_8K, rule, Marks.NONE, can_clear=can_clear, together=3)
    line = Line(playout)
    said(playout, letters(2))
    line.run(5.0)
    assert {len(payload) for payload in payloads([event for _, event in line.sent])[10:]} == {160}
