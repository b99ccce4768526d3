"""Adds up what the processes of a load test measured, and says what it comes to.

Lateness, under-runs and barge-ins count while all calls are up; set-up and errors always. The
course of a test is kept as at most some hundred points, whatever its length. Pure.
"""

from __future__ import annotations

from msgspec import Struct, field

from .figures import Figures, Second
from .histogram import Histogram

__all__ = ["Point", "Spread", "Summary", "Tally", "Usages"]

_POINTS = 600
_SHARES = (0.5, 0.95, 0.99, 0.999)


class Point(Struct):
    """The test from ``at`` seconds on, for ``seconds``; times in ms."""

    at: int
    seconds: int
    calls: int
    steady: bool
    lateness_p50: float
    lateness_p99: float
    lateness_max: float
    own_p99: float
    started: int
    gaps: int
    errors: int

    def join(self, other: Point) -> Point:
        """Two points as one: counts added, of times the worse."""
        return Point(
            at=self.at,
            seconds=self.seconds + other.seconds,
            calls=max(self.calls, other.calls),
            steady=self.steady or other.steady,
            lateness_p50=max(self.lateness_p50, other.lateness_p50),
            lateness_p99=max(self.lateness_p99, other.lateness_p99),
            lateness_max=max(self.lateness_max, other.lateness_max),
            own_p99=max(self.own_p99, other.own_p99),
            started=self.started + other.started,
            gaps=self.gaps + other.gaps,
            errors=self.errors + other.errors,
        )


class Spread(Struct, frozen=True):
    """How some times, in ms, are spread."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> Spread:
        """Of what a histogram has counted."""
        p50, p95, p99, p999 = histogram.quantiles(_SHARES)
        return cls(histogram.count, p50, p95, p99, p999, histogram.most)


class Usages(Struct, frozen=True):
    """What the server used while all calls were up: of ``cores``, and for each call."""

    cores: float
    cpu_ms_per_call: float
    rss_kb: float
    rss_kb_per_call: float


class Summary(Struct, frozen=True):
    """What a test comes to; times in ms.

    ``own_cores`` is what this program's busiest process used of its core.
    """

    calls: int
    minutes: float
    setup: Spread
    first: Spread
    lateness: Spread
    lag: Spread
    stop: Spread
    own: Spread
    own_cores: float
    steady: Figures
    all: Figures
    server: Usages | None = None

    @property
    def errors(self) -> int:
        """How many there were, of all kinds."""
        return sum(self.all.errors.values())

    @property
    def gaps_per_minute(self) -> float:
        """Under-runs in a minute of one call."""
        return self.steady.gaps / self.minutes if self.minutes else 0.0


class _Open(Struct):
    """A second that not every process has told of yet."""

    figures: Figures = field(default_factory=Figures)
    calls: dict[int, int] = field(default_factory=dict[int, int])
    steady: bool = False


class Tally:
    """Takes the seconds of ``processes`` processes as they come."""

    def __init__(self, processes: int) -> None:
        self.all = Figures()
        self.steady = Figures()
        self.points: list[Point] = []
        self.calls = 0
        self._last = [0] * processes
        self._calls = [0] * processes
        self._most_calls = 0
        self._open: dict[int, _Open] = {}
        self._cpu = [0.0] * processes
        self._wall = [0.0] * processes
        self._width = 1

    def add(self, process: int, second: Second) -> None:
        """What one process measured in one second; its seconds come in order."""
        figures = second.figures
        self.all.merge(figures)
        if second.steady:
            self.steady.merge(figures)
            self._cpu[process] += second.cpu
            self._wall[process] += second.wall
        self._calls[process] = second.calls
        self.calls = sum(self._calls)
        if second.steady:
            self._most_calls = max(self._most_calls, self.calls)
        opened = self._open.setdefault(second.at, _Open())
        opened.figures.merge(figures)
        opened.calls[process] = second.calls
        opened.steady = opened.steady or second.steady
        self._last[process] = second.at
        self._close_before(min(self._last))

    def _close_before(self, at: int) -> None:
        for second in sorted(second for second in self._open if second < at):
            self._point(second, self._open.pop(second))

    def _point(self, at: int, opened: _Open) -> None:
        figures = opened.figures
        p50, p99 = figures.lateness.quantiles((0.5, 0.99))
        point = Point(
            at=at,
            seconds=1,
            calls=sum(opened.calls.values()),
            steady=opened.steady,
            lateness_p50=p50,
            lateness_p99=p99,
            lateness_max=figures.lateness.most,
            own_p99=figures.own.quantile(0.99),
            started=figures.started,
            gaps=figures.gaps,
            errors=sum(figures.errors.values()),
        )
        if self.points and self.points[-1].seconds < self._width:
            self.points[-1] = self.points[-1].join(point)
        else:
            self.points.append(point)
        if len(self.points) >= _POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [one.join(other) for one, other in pairs]
            self._width *= 2

    def summary(self, server: Usages | None = None) -> Summary:
        """What it comes to, once every process has ended."""
        self._close_before(max(self._last) + 1)
        steady = self.steady
        busiest = [cpu / wall for cpu, wall in zip(self._cpu, self._wall, strict=True) if wall]
        return Summary(
            calls=self._most_calls,
            minutes=steady.minutes,
            setup=Spread.of(self.all.setup),
            first=Spread.of(self.all.first),
            lateness=Spread.of(steady.lateness),
            lag=Spread.of(steady.lag),
            stop=Spread.of(steady.stop),
            own=Spread.of(steady.own),
            own_cores=max(busiest, default=0.0),
            steady=steady,
            all=self.all,
            server=server,
        )
