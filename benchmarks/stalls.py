"""Sending speech through a stalling event loop: what the caller hears, and what sending costs.

Run ``python -m benchmarks.stalls``; it prints two Markdown tables.

The first plays a minute of speech through an event loop that stalls once a second, to a far end
that plays what arrives at real time, and counts what the caller hears: holes, and silence in all.
Ours stands beside the pacer that is common in bots: one message each 20 ms, none ahead, and after
a missed deadline the schedule begins again from now. Time is virtual, so it says the same anywhere.

The second is the cost of playout for a 20 ms frame, without the socket, in µs: the best of several
rounds.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator

from trunkline.carrier import FrameRule, Marks
from trunkline.events import Audio, Mark
from trunkline.media.formats import PCMU_8K
from trunkline.media.playout import Playout

__all__ = ["main"]

SECONDS = 60
FRAME = bytes(160)
ROUNDS, FRAMES = 7, 3000
Sends = Iterator[tuple[float, int]]  # when, and how many bytes


def awake(now: float, stall: float) -> float:
    """When a loop that stalls at each full second gets to what it meant to do at ``now``."""
    since = now % 1.0
    return now - since + stall if since < stall and now >= 1.0 else now


def ours(stall: float, lead_most: int) -> Sends:
    playout = Playout(PCMU_8K, FrameRule(max_lead_ms=lead_most), Marks.NONE)
    passage = playout.begin()
    playout.push(passage, FRAME * 50 * SECONDS)
    playout.end(passage)
    following: float | None = 0.0
    while following is not None:
        now = awake(following, stall)
        yield now, sum(len(event.payload) for event in playout.due(now) if type(event) is Audio)
        following = playout.next_due(now)


def without_lead(stall: float) -> Sends:
    deadline = 0.0
    for _ in range(50 * SECONDS):
        now = awake(deadline, stall)
        yield now, len(FRAME)
        deadline = max(deadline, now) + 0.02


def heard(sends: Sends) -> tuple[int, float]:
    """Holes the caller hears, and how long they are in all, in ms."""
    end, holes, silence = 0.0, 0, 0.0
    for now, size in sends:
        if now > end + 1e-6:
            holes, silence = holes + 1, silence + now - end
        end = max(end, now) + size / 8000
    return holes, silence * 1000


def cost(marks: Marks, piece: int) -> float:
    """µs a frame: pushed, sent, marks returned, changes and the next moment asked for."""

    def run() -> None:
        playout = Playout(PCMU_8K, FrameRule(), marks)
        passage = playout.begin()
        audio = FRAME * piece
        for _ in range(FRAMES // piece):
            playout.push(passage, audio)
        playout.end(passage)
        now: float | None = 0.0
        while now is not None:
            for event in playout.due(now):
                if type(event) is Mark:
                    playout.returned(event.name, now)
            playout.changes(now)
            playout.next_change(now)
            now = playout.next_due(now)

    return min(timeit.repeat(run, number=1, repeat=ROUNDS)) / FRAMES * 1e6


def main() -> None:
    print("| stall each second | no lead: holes, silence | ours, 200 ms | ours, up to 600 ms |")
    print("|--:|--:|--:|--:|")
    for ms in (10, 50, 150, 190, 300, 450):
        pacers: list[Callable[[float], Sends]] = [
            without_lead,
            lambda stall: ours(stall, 200),
            lambda stall: ours(stall, 600),
        ]
        results = [heard(pacer(ms / 1000)) for pacer in pacers]
        print(f"| {ms} ms | " + " | ".join(f"{n}, {s:,.0f} ms" for n, s in results) + " |")
    print("\n| playout, a 20 ms frame | µs |")
    print("|---|--:|")
    for title, marks, piece in (
        ("pushed by the frame, no marks", Marks.NONE, 1),
        ("pushed by the frame, with marks", Marks.RETURNED, 1),
        ("pushed by the second, no marks", Marks.NONE, 50),
        ("pushed by the second, with marks", Marks.RETURNED, 50),
    ):
        print(f"| {title} | {cost(marks, piece):.1f} |")


if __name__ == "__main__":
    main()
