"""What a playout notes of itself: exact, in virtual time; and it sends what any playout sends."""

from random import Random

import pytest

from trunkline.carrier import FrameRule, Marks
from trunkline.media.formats import PCMU_8K
from trunkline.media.playout import ChangeKind, Playout
from trunkline.telemetry.buckets import Buckets
from trunkline.telemetry.playout import Dry, ObservedPlayout, Sending

LOOSE = FrameRule(ms=20, whole=False, max_lead_ms=600)
BOUNDS = (0.001, 0.01, 0.1, 1.0)
SECOND = bytes(8000)


def observed(rule=LOOSE, marks=Marks.NONE):
    playout = ObservedPlayout(PCMU_8K, rule, marks)
    sending = Sending(Buckets(BOUNDS), {cause: Buckets(BOUNDS) for cause in Dry})
    changes = []
    playout.watched_by(sending, changes.append)
    return playout, sending, changes


def counted(buckets):
    return sum(buckets.counts)


def test_a_message_that_leaves_in_time_is_not_late():
    playout, sending, _ = observed()
    playout.push(playout.begin(), SECOND)
    now = 5.0
    sent = 0
    while (at := playout.next_due(now)) is not None:
        now = at
        sent += bool(playout.due(now))
    assert sent > 30
    # What leaves at once, to fill the caller's buffer, had no time to be late for.
    assert counted(sending.lateness) == sent - 1
    assert sending.lateness.total == pytest.approx(0, abs=1e-9)
    assert counted(sending.dry[Dry.LATE]) == counted(sending.dry[Dry.STARVED]) == 0


def test_a_late_loop_is_noted_by_how_late_it_was():
    playout, sending, _ = observed()
    playout.push(playout.begin(), SECOND)
    playout.due(5.0)
    wanted = playout.next_due(5.0)
    playout.due(wanted + 0.03)
    assert counted(sending.lateness) == 1
    assert sending.lateness.total == pytest.approx(0.03)


def test_a_loop_that_asks_too_early_is_not_noted():
    playout, sending, _ = observed()
    playout.push(playout.begin(), SECOND)
    playout.due(5.0)
    for ms in range(1, 15):
        playout.due(5.0 + ms / 1000)
    assert counted(sending.lateness) == 0


def test_a_stall_longer_than_the_lead_is_a_hole_of_our_making():
    playout, sending, _ = observed()
    playout.push(playout.begin(), SECOND)
    sent = sum(len(one.payload) for one in playout.due(5.0))
    ends = 5.0 + sent / 8000
    playout.due(ends + 0.25)
    assert counted(sending.dry[Dry.LATE]) == 1
    assert sending.dry[Dry.LATE].total == pytest.approx(0.25)
    assert counted(sending.dry[Dry.STARVED]) == 0


def test_a_bot_that_pauses_in_what_it_says_is_a_hole_of_the_bots():
    playout, sending, _ = observed()
    passage = playout.begin()
    playout.push(passage, bytes(800))
    playout.due(5.0)
    playout.due(5.05)
    playout.push(passage, bytes(800))
    playout.due(5.4)
    assert sending.dry[Dry.STARVED].total == pytest.approx(0.3)
    assert counted(sending.dry[Dry.LATE]) == 0


def test_a_live_source_may_pause_and_so_may_two_sentences():
    playout, sending, _ = observed()
    live = playout.begin(live=True)
    for at in (5.0, 5.5, 6.0):
        playout.push(live, bytes(160))
        playout.due(at)
    playout.end(live)
    for at in (7.0, 8.0):
        said = playout.begin()
        playout.push(said, bytes(160))
        playout.end(said)
        playout.due(at)
    assert counted(sending.dry[Dry.STARVED]) == counted(sending.dry[Dry.LATE]) == 0


def test_an_end_that_is_told_late_is_no_hole():
    playout, sending, _ = observed(marks=list(Marks)[-1])
    passage = playout.begin()
    playout.push(passage, bytes(800))
    playout.due(5.0)
    playout.end(passage)
    playout.due(6.0)
    assert counted(sending.dry[Dry.STARVED]) == counted(sending.dry[Dry.LATE]) == 0


def test_a_part_of_a_whole_message_is_no_hole_until_it_leaves():
    playout, sending, _ = observed(FrameRule(ms=20, whole=True, max_lead_ms=600))
    passage = playout.begin()
    playout.push(passage, bytes(200))
    playout.due(5.0)
    for at in (5.3, 5.6):
        assert playout.due(at) == []
    playout.push(passage, bytes(120))
    playout.due(5.8)
    assert counted(sending.dry[Dry.STARVED]) == 1
    assert sending.dry[Dry.STARVED].total == pytest.approx(5.8 - 5.02)


def test_changes_are_told_as_they_become_known():
    playout, _, changes = observed()
    playout.push(playout.begin(), SECOND)
    playout.due(5.0)
    playout.changes(5.1)
    assert [change.kind for change in changes] == [ChangeKind.STARTED]
    playout.clear(5.15)
    assert [change.kind for change in changes] == [ChangeKind.STARTED, ChangeKind.CLEARED]
    assert changes[1].heard_ms == pytest.approx(150, abs=1)
    assert playout.changes(5.2) == changes[1:]


def test_what_waits_is_told_in_milliseconds():
    playout, _, _ = observed()
    playout.push(playout.begin(), SECOND)
    playout.due(5.0)
    assert playout.waiting_ms() + playout.ahead_ms(5.0) == pytest.approx(1000)
    assert playout.waiting_ms() > 700


@pytest.mark.parametrize("seed", range(20))
def test_it_sends_what_any_playout_sends(seed):
    random = Random(seed)
    plain = Playout(PCMU_8K, LOOSE, Marks.NONE)
    watched, _, _ = observed()
    both = (plain, watched)
    passages = [playout.begin() for playout in both]
    now = 1.0
    for _ in range(300):
        now += random.choice((0, 0.001, 0.02, 0.3))
        act = random.random()
        if act < 0.4:
            audio = bytes(random.randrange(0, 2000))
            for playout, passage in zip(both, passages, strict=True):
                playout.push(passage, audio)
        elif act < 0.5:
            for playout, passage in zip(both, passages, strict=True):
                playout.end(passage)
            live = random.random() < 0.3
            passages = [playout.begin(live=live) for playout in both]
        elif act < 0.55:
            assert plain.clear(now) == watched.clear(now)
            passages = [playout.begin() for playout in both]
        assert plain.due(now) == watched.due(now)
        assert plain.next_due(now) == watched.next_due(now)
        told = [
            [(c.kind, c.passage.id, c.at, c.heard_ms) for c in playout.changes(now)]
            for playout in both
        ]
        assert told[0] == told[1]
