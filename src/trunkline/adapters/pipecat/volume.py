"""How loud a pipeline's voice is: what newer Pipecats set by parameter and by frames.

Knows no call. Older Pipecats have no such frames, and nothing here then ever happens.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np
from pipecat.frames import frames

from ...media import g711
from ...media.formats import Encoding

__all__ = ["Volume"]

_SETS: Any = getattr(frames, "VolumeFrame", ())
_GAINS: Any = getattr(frames, "VolumeGainFrame", ())


class Volume:
    """A volume and a gain upon it, both factors: 1.0 leaves audio as it is."""

    def __init__(self, volume: float, encoding: Encoding) -> None:
        self._volume = volume
        self._gain = 1.0
        self._encoding = encoding

    def told(self, frame: Any) -> None:
        """A frame came by, perhaps one that changes this."""
        if isinstance(frame, _SETS):
            self._volume = frame.volume
        elif isinstance(frame, _GAINS):
            self._gain = frame.gain

    def scaled(self, audio: bytes) -> bytes:
        """``audio`` as loud as it should be; the very same object where nothing changes."""
        factor = self._volume * self._gain
        if factor == 1.0:
            return audio
        samples = np.frombuffer(g711.decode(audio, self._encoding), "<i2") * factor
        pcm = np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()
        return g711.encode(pcm, self._encoding)
