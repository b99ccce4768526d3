"""Audio formats: an encoding at a sample rate, always mono.

The encodings are the ones telephone carriers stream: G.711 µ-law (``PCMU``) and A-law
(``PCMA``) at one byte a sample, and signed 16-bit little-endian PCM (``L16``) at two. This
module converts sizes and durations; it does not touch samples.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = ["L16_8K", "L16_16K", "L16_24K", "PCMA_8K", "PCMU_8K", "AudioFormat", "Encoding"]


class Encoding(StrEnum):
    """How a sample is written, by its RTP name (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    L16 = "L16"


class AudioFormat(Struct, frozen=True):
    """An encoding at a rate in Hz, mono.

    ``L16`` is little-endian here; a carrier that streams network order swaps in its own file.
    """

    encoding: Encoding
    rate: int

    @property
    def sample_bytes(self) -> int:
        """Bytes a sample takes: 1 for G.711, 2 for L16."""
        return 2 if self.encoding is Encoding.L16 else 1

    @property
    def bytes_per_second(self) -> int:
        """Bytes a second of audio takes."""
        return self.rate * self.sample_bytes

    @property
    def silence(self) -> bytes:
        """One sample of silence: 0xFF for µ-law, 0xD5 for A-law, two zero bytes for L16."""
        return {Encoding.PCMU: b"\xff", Encoding.PCMA: b"\xd5", Encoding.L16: b"\0\0"}[
            self.encoding
        ]

    def bytes_in(self, ms: float) -> int:
        """Bytes in ``ms`` milliseconds, rounded down to whole samples."""
        return int(self.rate * ms / 1000) * self.sample_bytes

    def ms_in(self, size: int) -> float:
        """Milliseconds that ``size`` bytes last."""
        return size * 1000 / self.bytes_per_second

    def __str__(self) -> str:
        return f"{self.encoding.value}/{self.rate}"

    @classmethod
    def parse(cls, text: str) -> AudioFormat:
        """Read ``"PCMU/8000"`` or ``"L16/16000"``; a bare ``"PCMU"`` or ``"PCMA"`` means 8000.

        Raises:
            ValueError: the text names no format.
        """
        name, slash, rate = text.strip().partition("/")
        try:
            encoding = Encoding(name.upper())
            return cls(
                encoding, int(rate) if slash else {Encoding.L16: 0}.get(encoding, 8000)
            )._checked()
        except ValueError:
            raise ValueError(
                f"{text!r} is not an audio format; write e.g. PCMU/8000 or L16/16000"
            ) from None

    def _checked(self) -> AudioFormat:
        if self.rate <= 0:
            raise ValueError(self.rate)
        return self


PCMU_8K = AudioFormat(Encoding.PCMU, 8000)
PCMA_8K = AudioFormat(Encoding.PCMA, 8000)
L16_8K = AudioFormat(Encoding.L16, 8000)
L16_16K = AudioFormat(Encoding.L16, 16000)
L16_24K = AudioFormat(Encoding.L16, 24000)
