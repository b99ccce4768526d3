"""Figures for Prometheus: what the meter has counted and how things stand now, when asked.

The page is shown only to who brings a key. Prometheus's library is loaded where figures are
wanted, and does nothing between two questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import fastapi
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from .. import __version__
from ..telemetry.meter import METRICS, PREFIX, Kind
from ..telemetry.observation import Observation
from ..telemetry.session import CallState, ObservedSession
from .dialled import DialState
from .dialling import Dialler
from .observed import ObservedSwitchboard
from .problems import guarded_route
from .switchboard import Switchboard

__all__ = ["GAUGES", "Figures", "metrics_page"]

CALLS = f"{PREFIX}calls"
MAX_CALLS = f"{PREFIX}calls_max"
DRAINING = f"{PREFIX}draining"
AHEAD = f"{PREFIX}audio_ahead_seconds"
WAITING = f"{PREFIX}audio_waiting_seconds"
DIALS = f"{PREFIX}dials_open"
INFO = f"{PREFIX}info"

GAUGES = {
    CALLS: ("Calls by where they stand.", ("carrier", "state")),
    MAX_CALLS: ("Calls that are taken at once.", ()),
    DRAINING: ("Whether the server stops and takes no more calls.", ()),
    AHEAD: ("Audio that was sent and not yet heard, over all calls.", ()),
    WAITING: ("Audio that bots said and that has not been sent, over all calls.", ()),
    DIALS: ("Wishes to call somebody that are not settled.", ("carrier", "state")),
    INFO: ("The server's version.", ("version",)),
}
"""What is looked up when asked for: by name, help and labels."""

OFFERED = "offered"
_OPEN = [state for state in DialState if state not in (DialState.ENDED, DialState.FAILED)]


class Figures(Collector):
    """A server's figures, in its registry until they are withdrawn. May be asked from any thread.

    Args:
        observation: what is counted, and the registry.
        board: the calls; an ``ObservedSwitchboard``.
        dialler: the wishes.
        max_calls: how many calls are taken.

    Raises:
        ValueError: the registry has another server's.
    """

    def __init__(
        self, observation: Observation, board: Switchboard, dialler: Dialler, max_calls: int
    ) -> None:
        assert isinstance(board, ObservedSwitchboard) and observation.registry is not None
        self._meter = observation.meter
        self._registry = observation.registry
        self._board = board
        self._dialler = dialler
        self._max_calls = max_calls
        self._registry.register(self)

    def withdraw(self) -> None:
        """Take them out of the registry."""
        self._registry.unregister(self)

    def describe(self) -> Iterator[Family]:
        return self.collect()

    def collect(self) -> Iterator[Family]:
        yield from self._counted()
        yield from self._gauges()

    def _counted(self) -> Iterator[Family]:
        for metric in METRICS:
            labels = [name for name, _ in metric.labels]
            if metric.kind is Kind.COUNTER:
                counter = CounterMetricFamily(metric.name, metric.help, labels=labels)
                for values, count in self._meter.counts(metric):
                    counter.add_metric(list(values), count)
                yield counter
                continue
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
            bounds = [*map(str, metric.bounds), "+Inf"]
            for values, buckets in self._meter.histograms(metric):
                counts = zip(bounds, buckets.cumulative(), strict=True)
                histogram.add_metric(list(values), list(counts), buckets.total)
            yield histogram

    def _gauges(self) -> Iterator[Family]:
        board = self._board
        sessions = [call for call in board.calls if isinstance(call, ObservedSession)]
        names = sorted(board.carriers)
        calls = Counter((call.carrier.name, call.state.value) for call in sessions)
        calls.update((name, OFFERED) for name in board.offered)
        yield _by_state(CALLS, names, (OFFERED, *CallState), calls)
        open_ = Counter(
            (wish.wish.carrier, wish.state.value) for wish in self._dialler.wishes if not wish.over
        )
        yield _by_state(DIALS, names, _OPEN, open_)
        ahead = sum(call.playout.ahead_ms(call.now()) for call in sessions)
        waiting = sum(call.playout.waiting_ms() for call in sessions)
        yield _gauge(AHEAD, ahead / 1000)
        yield _gauge(WAITING, waiting / 1000)
        yield _gauge(MAX_CALLS, self._max_calls)
        yield _gauge(DRAINING, float(board.draining))
        info = _family(INFO)
        info.add_metric([__version__], 1)
        yield info


def _family(name: str) -> GaugeMetricFamily:
    said, labels = GAUGES[name]
    return GaugeMetricFamily(name, said, labels=list(labels))


def _gauge(name: str, value: float) -> Family:
    gauge = _family(name)
    gauge.add_metric([], value)
    return gauge


def _by_state(
    name: str, carriers: Iterable[str], states: Iterable[str], counts: Counter[tuple[str, str]]
) -> Family:
    gauge = _family(name)
    states = list(states)
    for carrier in carriers:
        for state in states:
            gauge.add_metric([carrier, state], counts[carrier, state])
    return gauge


def metrics_page(registry: CollectorRegistry, keys: tuple[str, ...]) -> APIRouter:
    """The page ``/metrics``, for who brings one of ``keys`` as a bearer token."""
    routes = APIRouter(route_class=guarded_route(keys))

    @routes.get("/metrics", include_in_schema=False)
    async def metrics(request: fastapi.Request) -> fastapi.Response:  # pyright: ignore[reportUnusedFunction]
        write: Callable[[CollectorRegistry], bytes]
        write, kind = choose_encoder(request.headers.get("accept", ""))
        return fastapi.Response(write(registry), media_type=kind)

    return routes
