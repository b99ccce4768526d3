"""What a load test counts, second by second, and how seconds and processes are added up.

Everything is a count or a histogram, so that nothing grows with the length of a test. Pure.
"""

from __future__ import annotations

from msgspec import Struct, field

from ..stream import FRAME_MS
from .histogram import Histogram, Times

__all__ = ["Figures", "Live", "Ready", "Second"]


class Figures(Struct):
    """Counts, and times in ms.

    ``setup``: from the webhook (or the connection attempt) to the stream's start. ``first``: from
    there to the first audio. ``lateness``: how much later than sent a frame came back. ``lag``:
    the same as heard, behind the playout buffer. ``stop``: from the first sound of a barge-in, or
    the key, until the bot is silent. ``own``: how late this program itself was.
    ``frames_unsent`` were not sent because the server did not read, ``frames_skipped`` because this
    program was too slow.
    ``gaps`` are the under-runs that callers heard.
    ``errors`` are calls that failed, and breaches of the protocol, by kind; ``examples`` has the
    first sentence of each kind.
    """

    setup: Histogram = field(default_factory=Histogram)
    first: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    stop: Histogram = field(default_factory=Histogram)
    own: Histogram = field(default_factory=Histogram)
    dialled: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    ended_by_server: int = 0
    frames_sent: int = 0
    frames_unsent: int = 0
    frames_skipped: int = 0
    frames_back: int = 0
    frames_lost: int = 0
    frames_repeated: int = 0
    beeps_back: int = 0
    gaps: int = 0
    gap_ms: float = 0.0
    errors: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, str] = field(default_factory=dict[str, str])

    def error(self, kind: str, example: str = "") -> None:
        """Something went wrong."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self.examples.setdefault(kind, example)

    @property
    def minutes(self) -> float:
        """How long all streams together were open."""
        return (self.frames_sent + self.frames_unsent) * FRAME_MS / 60_000

    def merge(self, other: Figures) -> None:
        """Count what ``other`` has counted, too."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Histogram):
                mine.merge(theirs)
            elif name == "examples":
                self.examples = {**theirs, **mine}
            elif name == "errors":
                for kind, count in other.errors.items():
                    self.errors[kind] = self.errors.get(kind, 0) + count
            else:
                setattr(self, name, mine + theirs)


class Live:
    """What is being counted in now. It stays the same; the figures are taken from it.

    ``figures`` are those of now, all but what comes with every frame: that is in ``lateness``,
    ``lag`` and ``own`` until it is settled.
    """

    __slots__ = ("figures", "lag", "lateness", "own")

    def __init__(self) -> None:
        self.figures = Figures()
        self.lateness = Times()
        self.lag = Times()
        self.own = Times()

    def settle(self) -> Figures:
        """The figures of now, with all that came."""
        figures = self.figures
        self.lateness.count_into(figures.lateness)
        self.lag.count_into(figures.lag)
        self.own.count_into(figures.own)
        return figures

    def take(self) -> Figures:
        """The figures of now, with all that came; from here on others are counted in."""
        figures = self.settle()
        self.figures = Figures()
        return figures


class Ready(Struct, tag=True):
    """A process is about to begin; the REST API of its calls is at ``rest_url``, if it has one."""

    rest_url: str


class Second(Struct, tag=True):
    """What one process measured in one second, ``at`` seconds after the test began.

    ``calls`` are up; ``steady``: all of them were, throughout. ``wall`` is how many seconds it
    really was, ``cpu`` how many of them this process was at work.
    """

    at: int
    calls: int
    steady: bool
    wall: float
    cpu: float
    figures: Figures
