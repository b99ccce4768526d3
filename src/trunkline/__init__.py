"""Trunkline puts phone calls through to voice bots.

Every carrier's media stream, webhooks and REST API behind one ``Call``:

    from trunkline import Call, Settings, create_app

    async def bot(call: Call) -> None:
        async for event in call:
            ...

    app = create_app(bot, Settings())

The names below are imported when they are first used, so that importing the package costs next
to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .call import Bot, Call, Utterance
    from .config import Settings
    from .errors import TrunklineError
    from .events import Audio, Digit, EndReason
    from .media.formats import AudioFormat, Encoding
    from .server import create_app, router

__version__ = "0.1.0"

_HOMES = {
    "Audio": "events",
    "AudioFormat": "media.formats",
    "Bot": "call",
    "Call": "call",
    "Digit": "events",
    "Encoding": "media.formats",
    "EndReason": "events",
    "Settings": "config",
    "TrunklineError": "errors",
    "Utterance": "call",
    "create_app": "server",
    "router": "server",
}

__all__ = [
    "Audio",
    "AudioFormat",
    "Bot",
    "Call",
    "Digit",
    "Encoding",
    "EndReason",
    "Settings",
    "TrunklineError",
    "Utterance",
    "create_app",
    "router",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
