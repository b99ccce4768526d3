"""Trunkline for Pipecat: a transport, a serializer for every carrier, offline speech, a runner.

Also importable as ``trunkline.pipecat``. Nothing of Pipecat is imported before a name is asked
for, and no serializer is written down: ``NameFrameSerializer`` is made when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runner import adapted, carrier_socket, parse_telephony_websocket
    from .serializer import CarrierFrameSerializer, frame_serializer
    from .services import OfflineLLMService, OfflineSTTService, OfflineTTSService, warm_up
    from .transport import TrunklineParams, TrunklineTransport

__all__ = [
    "HOMES",
    "CarrierFrameSerializer",
    "OfflineLLMService",
    "OfflineSTTService",
    "OfflineTTSService",
    "TrunklineParams",
    "TrunklineTransport",
    "adapted",
    "carrier_socket",
    "frame_serializer",
    "parse_telephony_websocket",
    "warm_up",
]

HOMES = {
    "CarrierFrameSerializer": "serializer",
    "OfflineLLMService": "services",
    "OfflineSTTService": "services",
    "OfflineTTSService": "services",
    "TrunklineParams": "transport",
    "TrunklineTransport": "transport",
    "adapted": "runner",
    "carrier_socket": "runner",
    "frame_serializer": "serializer",
    "parse_telephony_websocket": "runner",
    "warm_up": "services",
}
"""Which module each name is in; all of these need Pipecat."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(_home(HOMES[name]), name)
    if name.endswith("FrameSerializer"):
        found = _home("serializer").frame_serializers()
        if name in found:
            return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _home(name: str) -> Any:
    try:
        return importlib.import_module(f".{name}", __name__)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pipecat":
            raise
        hint = "this needs Pipecat 1.4 or newer: pip install 'trunkline[pipecat]'"
        raise ImportError(hint, name=missing.name) from missing


def __dir__() -> list[str]:
    from .arguments import class_names

    return sorted({*globals(), *HOMES, *class_names()})
