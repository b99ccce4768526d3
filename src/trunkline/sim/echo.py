"""Acoustic echo: what the caller hears comes back, softer and later, in what the caller says.

A line without echo cancellation does this, and a bot that mistakes its own voice for the caller's
interrupts itself. Pure; levels in dB, L16 at 8 kHz.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from ..media.formats import L16_8K
from .ear import Ear
from .stream import FRAME_MS

__all__ = ["Echo"]


class Echo(Struct, frozen=True, kw_only=True):
    """An echo ``loss_db`` softer than what was heard, ``delay_ms`` later."""

    loss_db: float = 30.0
    delay_ms: float = 120.0

    @property
    def remember_s(self) -> float:
        """How long an ear must remember what it heard for this echo to be made."""
        return self.delay_ms / 1000 + 1.0

    def mix(self, ear: Ear, at: float, pcm: bytes | None) -> bytes:
        """The frame that leaves ``at`` seconds into the call, when ``pcm`` is said."""
        samples = L16_8K.rate * FRAME_MS // 1000
        back = ear.recall(at - self.delay_ms / 1000, samples)
        sound = np.frombuffer(back, dtype="<i2") * 10 ** (-self.loss_db / 20)
        if pcm is not None:
            sound = sound + np.frombuffer(pcm, dtype="<i2")
        return np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
