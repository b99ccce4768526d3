"""How loud a piece of audio is; what tells speech from silence where nothing better is at hand."""

from __future__ import annotations

from .formats import AudioFormat
from .g711 import audioop, decode

__all__ = ["rms"]


def rms(audio: bytes, form: AudioFormat) -> float:
    """Root mean square of the samples, on the 16-bit scale (0 to 32768); 0 for no audio."""
    pcm = decode(audio, form.encoding)
    return float(audioop.rms(pcm[: len(pcm) & ~1], 2))
