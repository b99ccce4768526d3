"""Trunkline for Pipecat, under a short name: see ``trunkline.adapters.pipecat``."""

from __future__ import annotations

from typing import Any

from .adapters import pipecat as _pipecat


def __getattr__(name: str) -> Any:
    return getattr(_pipecat, name)


def __dir__() -> list[str]:
    return dir(_pipecat)
