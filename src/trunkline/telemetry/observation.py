"""Whether a server is observed, and by what."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from ..errors import ConfigError
from .meter import Meter
from .observer import Observer, Observers

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from ..config import Settings

__all__ = ["Observation", "Telemetry"]


class Telemetry(Struct, frozen=True, kw_only=True):
    """Where figures and traces go, in an app of yours.

    Args:
        registry: takes the figures; default one of the server's own, where keys for ``/metrics``
            are set, and else none.
        tracer_provider: takes the traces; default OpenTelemetry's global one, where
            ``TRUNKLINE_TRACES`` is set, and else none.
    """

    registry: CollectorRegistry | None = None
    tracer_provider: TracerProvider | None = None


class Observation(Struct, frozen=True):
    """What a server is observed by; ``registry`` takes its figures, if any does."""

    meter: Meter
    observer: Observer
    registry: CollectorRegistry | None

    @classmethod
    def wanted(
        cls,
        settings: Settings,
        telemetry: Telemetry | None,
        carriers: Sequence[str],
        clock: Callable[[], float],
    ) -> Observation | None:
        """What is to observe a server with these carriers; ``None``: nothing.

        Raises:
            ConfigError: traces are wanted, and OpenTelemetry is not there.
        """
        telemetry = telemetry or Telemetry()
        registry = telemetry.registry
        if registry is None and settings.metrics_keys:
            from prometheus_client import CollectorRegistry, ProcessCollector

            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        traced = settings.traces or telemetry.tracer_provider is not None
        if registry is None and not traced:
            return None
        meter = Meter(carriers)
        if not traced:
            return cls(meter, meter, registry)
        if importlib.util.find_spec("opentelemetry") is None:
            raise ConfigError("traces need the extra: pip install 'trunkline[otel]'")
        from .tracer import Tracer

        tracer = Tracer(telemetry.tracer_provider, call_ids=settings.trace_call_ids, clock=clock)
        return cls(meter, Observers((meter, tracer)), registry)
