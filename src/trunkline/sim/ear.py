"""The caller's ear: what was heard, when, and whether somebody speaks.

Takes what a playout buffer played, in whatever encoding, and keeps it as L16 at 8 kHz on the
call's own time line (seconds since the call began). Pure; knows no stream and no carrier.
"""

from __future__ import annotations

from collections import deque

from ..media.formats import L16_8K, AudioFormat
from ..media.level import rms
from ..media.transcode import Transcoder
from .buffer import Played
from .record import Recorder

__all__ = ["VOICE_RMS", "Ear", "Earpiece"]

VOICE_RMS = 184.0
"""Root mean square of 16-bit samples above which somebody speaks: -45 dB below full scale, where
the comfort noise of telephone lines ends."""

# A pause shorter than this is within speech: a stop consonant, a breath.
_BREATH_S = 0.2
# Two pieces this close belong together: the same tolerance a recorder has.
_JOIN_S = 0.001


class Ear:
    """What the caller of one call has heard. Times are seconds since the call began.

    Args:
        recorder: is given all of it, if there is one.
        remember_s: for how many seconds ``recall`` can tell.
    """

    def __init__(self, recorder: Recorder | None, *, remember_s: float = 0.0) -> None:
        self.voice_at = -1.0
        """When a voice was last heard; -1 before there was one."""
        self.onset_at = -1.0
        """When the voice heard last began to speak; -1 before there was one."""
        self._recorder = recorder
        self._remember_s = remember_s
        self._recent: deque[tuple[float, bytes]] = deque()

    def hear(self, at: float, pcm: bytes) -> None:
        """L16 at 8 kHz reached the ear from ``at`` on; the level is judged for the whole piece."""
        if not pcm:
            return
        if self._recorder is not None:
            self._recorder.bot(at, pcm)
        end = at + L16_8K.ms_in(len(pcm)) / 1000
        if rms(pcm, L16_8K) >= VOICE_RMS:
            if self.voice_at < 0 or at - self.voice_at >= _BREATH_S:
                self.onset_at = at
            self.voice_at = end
        if self._remember_s:
            self._recent.append((at, pcm))
            while self._recent[0][0] < at - self._remember_s:
                self._recent.popleft()

    def speaking(self, now: float) -> bool:
        """Whether the caller hears somebody speak at ``now``, breaths included."""
        return self.voice_at >= 0 and now - self.voice_at < _BREATH_S

    def quiet_s(self, now: float) -> float:
        """For how long nobody has been heard, in seconds; since the beginning, if never."""
        return now - max(self.voice_at, 0.0)

    def recall(self, start: float, samples: int) -> bytes:
        """What was heard from ``start`` on, as L16 at 8 kHz, silence where nothing was."""
        out = bytearray(2 * samples)
        for at, pcm in self._recent:
            offset = 2 * round((at - start) * L16_8K.rate)
            low, high = max(offset, 0), min(offset + len(pcm), len(out))
            if low < high:
                out[low:high] = pcm[low - offset : high - offset]
        return bytes(out)


class Earpiece:
    """Brings one stream's audio to an ear.

    Args:
        began: when the call began, on the clock of the pieces to come.
    """

    def __init__(self, ear: Ear, audio: AudioFormat, began: float) -> None:
        self._ear = ear
        self._transcoder = Transcoder(audio, L16_8K)
        self._audio = audio
        self._began = began
        self._next = -1.0  # where a piece that continues the present run begins
        self._out = 0.0  # where the run's next converted sample is heard

    def play(self, piece: Played) -> None:
        """One piece was played, after those before it."""
        if abs(piece.at - self._next) > _JOIN_S:
            self.silence()
            self._out = piece.at
        self._next = piece.at + self._audio.ms_in(len(piece.audio)) / 1000
        self._emit(self._transcoder.push(piece.audio))

    def silence(self) -> None:
        """A run of audio is over: what the converter still holds is heard."""
        if self._next >= 0:
            self._emit(self._transcoder.flush())
            self._transcoder.reset()
            self._next = -1.0

    def _emit(self, pcm: bytes) -> None:
        self._ear.hear(self._out - self._began, pcm)
        self._out += L16_8K.ms_in(len(pcm)) / 1000
