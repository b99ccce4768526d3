"""Trunkline for Pipecat: a frame serializer for every carrier, made from what carriers declare.

Also importable as ``trunkline.pipecat``. Nothing of Pipecat is imported before a name is asked
for, and no serializer is written down: ``NameFrameSerializer`` is made when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .serializer import CarrierFrameSerializer, frame_serializer

__all__ = ["HOMES", "CarrierFrameSerializer", "frame_serializer"]

HOMES = {"CarrierFrameSerializer": "serializer", "frame_serializer": "serializer"}
"""Which module each name is in; all of these need Pipecat."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f".{HOMES[name]}", __name__), name)
    if name.endswith("FrameSerializer"):
        from .serializer import frame_serializers

        if found := frame_serializers().get(name):
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from .arguments import class_names

    return sorted({*globals(), *HOMES, *class_names()})
