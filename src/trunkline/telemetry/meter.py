"""Figures of calls, kept as plain numbers until somebody asks.

``METRICS`` names every one that is counted as things happen; gauges are looked up when asked for
and stand with the server. Labels are a carrier's name or words of ours, never a call's: every
series there can be is there from the beginning, so that the first error is an increase.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import product

from msgspec import Struct

from ..events import CallInfo, Direction, Why
from .buckets import Buckets
from .observer import CallEnd, HangUp, Observer, Reply, Turned
from .playout import Dry, Sending

__all__ = ["METRICS", "Kind", "Meter", "Metric"]

PREFIX = "trunkline_"


class Kind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One metric: its name as Prometheus has it, and what its labels can be.

    ``labels`` are pairs of a name and all its values; of ``carrier``, the server's. ``bounds`` are
    a histogram's, in seconds.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    bounds: tuple[float, ...] = ()


_Label = tuple[str, tuple[str, ...]]

_CARRIER: _Label = ("carrier", ())
_FINE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_STOPS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 2.0)
_GAPS = (0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
_HOLES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_WAITS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CALLS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)


def _words(name: str, words: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    return name, tuple(words)


def _histogram(name: str, help: str, bounds: tuple[float, ...], *labels: _Label) -> Metric:  # noqa: A002
    return Metric(f"{PREFIX}{name}_seconds", Kind.HISTOGRAM, help, labels, bounds)


def _counter(name: str, help: str, *labels: _Label) -> Metric:  # noqa: A002
    return Metric(f"{PREFIX}{name}_total", Kind.COUNTER, help, labels)


LATENESS = _histogram("send_lateness", "How late audio left that had waited for its time.", _FINE)
DRY = _histogram(
    "underrun",
    "How long callers' buffers were empty in the middle of something said.",
    _HOLES,
    _words("cause", Dry),
)
GAP = _histogram(
    "inbound_gap", "Time between messages from a carrier, where above 60 ms.", _GAPS, _CARRIER
)
CLEAR = _histogram(
    "barge_in_stop", "From the wish to stop speaking until the carrier's clear was written.", _STOPS
)
SETUP = _histogram("setup", "From a call's webhook to the start of its socket.", _WAITS, _CARRIER)
FIRST_AUDIO = _histogram(
    "first_audio", "From a call's webhook until the caller hears the bot.", _WAITS, _CARRIER
)
DURATION = _histogram("call_duration", "How long calls lasted.", _CALLS, _CARRIER)
REQUEST = _histogram("rest_request", "How long REST requests took.", _WAITS, _CARRIER)
LAG = _histogram("loop_lag", "How late the event loop came round; by the watchdog.", _FINE)
STARTED = _counter(
    "calls_started", "Calls whose socket came.", _CARRIER, _words("direction", Direction)
)
ENDED = _counter("calls_ended", "Calls that are over.", _CARRIER, _words("why", Why))
REFUSED = _counter(
    "calls_refused", "Callers told busy.", _CARRIER, ("reason", ("draining", "full"))
)
ABANDONED = _counter("calls_abandoned", "Answered calls whose socket never came.", _CARRIER)
LOST = _counter("sockets_lost", "Media sockets lost in a call.", _CARRIER)
REJOINED = _counter("sockets_rejoined", "Sockets that took a lost one's place.", _CARRIER)
WEBHOOK = _counter(
    "webhooks_refused",
    "Webhooks turned away.",
    _CARRIER,
    _words("reason", (Turned.SIGNATURE, Turned.UNREADABLE, Turned.TOO_LARGE)),
)
SOCKET = _counter(
    "sockets_refused",
    "Media sockets turned away.",
    _CARRIER,
    _words("reason", (Turned.SIGNATURE, Turned.TOKEN, Turned.NO_START, Turned.CALL)),
)
REQUESTS = _counter("rest_requests", "REST requests sent.", _CARRIER, _words("outcome", Reply))
HANG_UPS = _counter(
    "hangups", "Calls that a carrier was asked to end.", _CARRIER, _words("outcome", HangUp)
)
DIALS = _counter(
    "dials",
    "Wishes to call somebody that are settled.",
    _CARRIER,
    _words("outcome", ("answered", *Why)),
)
STALLS = _counter("loop_stalls", "Times the event loop stood still; by the watchdog.")

METRICS: tuple[Metric, ...] = (
    LATENESS, DRY, GAP, CLEAR, SETUP, FIRST_AUDIO, DURATION, REQUEST, LAG, STARTED, ENDED, REFUSED,
    ABANDONED, LOST, REJOINED, WEBHOOK, SOCKET, REQUESTS, HANG_UPS, DIALS, STALLS,
)  # fmt: skip


class Meter(Observer):
    """The figures of one server.

    Args:
        carriers: names of those that are switched on.
    """

    def __init__(self, carriers: Sequence[str]) -> None:
        self._counts: dict[str, dict[tuple[str, ...], int]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], Buckets]] = {}
        for metric in METRICS:
            values = [carriers if name == "carrier" else words for name, words in metric.labels]
            series = list(product(*values))
            if metric.kind is Kind.COUNTER:
                self._counts[metric.name] = dict.fromkeys(series, 0)
            else:
                buckets = {labels: Buckets(metric.bounds) for labels in series}
                self._histograms[metric.name] = buckets
        self.lag = self.histogram(LAG)
        self.sending = Sending(
            self.histogram(LATENESS), {cause: self.histogram(DRY, cause) for cause in Dry}
        )

    def gaps(self, carrier: str) -> Buckets:
        """Where the time between a carrier's messages is noted."""
        return self.histogram(GAP, carrier)

    def histogram(self, metric: Metric, *labels: str) -> Buckets:
        """One series of a histogram."""
        return self._histograms[metric.name][labels]

    def counts(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], int]]:
        """Every series of a counter: its labels' values, and how many."""
        return iter(self._counts[metric.name].items())

    def histograms(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], Buckets]]:
        """Every series of a histogram: its labels' values, and the buckets."""
        return iter(self._histograms[metric.name].items())

    def stalled(self) -> None:
        """The event loop stood still."""
        self._count(STALLS)

    def _count(self, metric: Metric, *labels: str) -> None:
        self._counts[metric.name][labels] += 1

    # An observer.

    def webhook_refused(self, carrier: str, why: Turned) -> None:
        self._count(WEBHOOK, carrier, why)

    def socket_refused(self, carrier: str, why: Turned) -> None:
        self._count(SOCKET, carrier, why)

    def call_refused(self, carrier: str, *, draining: bool) -> None:
        self._count(REFUSED, carrier, "draining" if draining else "full")

    def abandoned(self, call: CallInfo) -> None:
        self._count(ABANDONED, call.carrier)

    def joined(self, call: CallInfo, setup: float | None) -> None:
        self._count(STARTED, call.carrier, call.direction)
        if setup is not None:
            self.histogram(SETUP, call.carrier).add(setup)

    def lost(self, call: CallInfo) -> None:
        self._count(LOST, call.carrier)

    def rejoined(self, call: CallInfo) -> None:
        self._count(REJOINED, call.carrier)

    def first_audio(self, call: CallInfo, after: float, ago: float) -> None:
        self.histogram(FIRST_AUDIO, call.carrier).add(after)

    def cleared(self, call: CallInfo, took: float) -> None:
        self.histogram(CLEAR).add(took)

    def over(self, call: CallInfo, end: CallEnd) -> None:
        self._count(ENDED, call.carrier, end.reason.why)
        self.histogram(DURATION, call.carrier).add(end.seconds)

    def hung_up(self, call: CallInfo, outcome: HangUp) -> None:
        self._count(HANG_UPS, call.carrier, outcome)

    def sent(self, carrier: str, method: str, reply: Reply, took: float) -> None:
        self._count(REQUESTS, carrier, reply)
        self.histogram(REQUEST, carrier).add(took)

    def dialled(self, carrier: str, outcome: str) -> None:
        self._count(DIALS, carrier, outcome)
