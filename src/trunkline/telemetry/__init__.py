"""What an operator is told of calls: figures for Prometheus, traces for OpenTelemetry.

The classes that a call is made of know nothing of this. Each has a subclass here, or in
``server.observed``, that does the same and tells an ``Observer``; the server uses those only where
somebody asked for figures or traces. So where nobody did, it costs nothing.
"""

from .observation import Telemetry

__all__ = ["Telemetry"]
