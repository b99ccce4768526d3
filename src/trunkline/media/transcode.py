"""From one audio format to another: decode, resample at most once, encode; nothing where equal.

A transcoder serves one direction of one call and keeps what cannot be converted yet: half of an
L16 sample whose other half comes with the next chunk, and the few samples a filter still needs.
It has no clock and knows no frames; cutting audio into frames is playout's.
"""

from __future__ import annotations

from . import g711
from .formats import AudioFormat
from .resample import Resampler

__all__ = ["Transcoder", "convert"]


class Transcoder:
    """Converts a stream of audio, cut up in any way, from ``source`` to ``target``.

    ``identity`` tells that the formats are equal and that audio passes untouched.

    Raises:
        ValueError: there is no conversion between the two rates.
    """

    __slots__ = (
        "_decode",
        "_encode",
        "_half",
        "_resampler",
        "_resamples",
        "identity",
        "source",
        "target",
    )

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self.identity = source == target
        self._resampler = Resampler(source.rate, target.rate)
        self._resamples = source.rate != target.rate
        self._decode = g711.DECODERS.get(source.encoding)
        self._encode = g711.ENCODERS.get(target.encoding)
        self._half = b""

    @property
    def delay_ms(self) -> float:
        """The most by which output lags behind input while streaming, in ms."""
        return self._resampler.delay_ms

    def push(self, audio: bytes) -> bytes:
        """Take audio in, and give out what can be; for equal formats, the very same object."""
        if self.identity:
            return audio
        decode, encode = self._decode, self._encode
        if not self._resamples and decode and encode:
            return g711.translate(audio, self.source.encoding, self.target.encoding)
        if decode:
            audio = decode(audio, 2)
        elif self._half or len(audio) & 1:
            audio = self._whole(audio)
        if not self._resamples:
            return encode(audio, 2) if encode else audio
        wide = self._resampler.push_wide(audio)
        return encode(wide, 4) if encode else g711.audioop.lin2lin(wide, 4, 2)

    def flush(self) -> bytes:
        """The audio ends here: give out what was held back, and be as new.

        Half a sample that never got its other half is dropped.
        """
        self._half = b""
        return g711.encode(self._resampler.flush(), self.target.encoding)

    def reset(self) -> None:
        """Forget the audio so far, what was held back included."""
        self._half = b""
        self._resampler.reset()

    def _whole(self, audio: bytes) -> bytes:
        audio = self._half + audio
        end = len(audio) & ~1
        self._half = audio[end:]
        return audio[:end]


def convert(audio: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """A whole piece of audio in another format; for equal formats, the very same object.

    Raises:
        ValueError: there is no conversion between the two rates.
    """
    transcoder = Transcoder(source, target)
    if transcoder.identity:
        return audio
    return transcoder.push(audio) + transcoder.flush()
