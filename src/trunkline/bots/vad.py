"""Voice activity: is this speech, and has the caller's turn begun or ended?

``Silero`` says how likely 32 ms of audio are speech; ``TurnDetector`` makes turns of that, with
hysteresis, in audio time and with nothing to do with any engine.

The model is Silero VAD v6 (MIT), from the file that ``faster-whisper`` brings along; that file
takes 16 kHz only. The thresholds are for telephone speech, which the model rates lower than
broadband: µ-law with the band of 300-3400 Hz has a median of 0.65-0.88 here where the same
recording at 16 kHz has 0.97-0.99, while noise, hum, tones and key presses stay below 0.25.

One window costs about 0.1 ms of inference, once in 32 ms. That is no more than handing it to
another thread and back would cost, so it runs where it is called, and the one decision that must
not wait, that the caller interrupts, waits for nobody.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from .speech import engine

__all__ = [
    "WINDOW_BYTES",
    "WINDOW_MS",
    "Edge",
    "Silero",
    "SileroStream",
    "TurnDetector",
    "silero",
    "silero_file",
]

WINDOW_MS = 32
WINDOW_BYTES = 1024
"""One window: 512 samples of ``L16_16K``."""

_CONTEXT = 64  # samples of the window before that the model sees again (faster_whisper/vad.py)


class Edge(StrEnum):
    """A turn's beginning or end."""

    STARTED = "started"
    ENDED = "ended"


class Silero:
    """The model; one for all calls.

    Raises:
        ConfigError: the engine or its model file is not installed.
    """

    def __init__(self, path: Path) -> None:
        onnxruntime = engine("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self.session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def stream(self) -> SileroStream:
        """Begin to listen to somebody."""
        return SileroStream(self.session)


class SileroStream:
    """The model's memory of one caller. Call it with each window in turn."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.reset()

    def reset(self) -> None:
        """Forget what was heard so far."""
        self._h = self._c = np.zeros((1, 1, 128), np.float32)
        self._input = np.zeros((1, _CONTEXT + WINDOW_BYTES // 2), np.float32)

    def __call__(self, window: bytes) -> float:
        """The probability that these ``WINDOW_BYTES`` of ``L16_16K`` are speech."""
        self._input[0, :_CONTEXT] = self._input[0, -_CONTEXT:]
        self._input[0, _CONTEXT:] = np.frombuffer(window, "<i2")
        self._input[0, _CONTEXT:] /= 32768
        speech, self._h, self._c = self._session.run(
            None, {"input": self._input, "h": self._h, "c": self._c}
        )
        return float(speech[0])


def silero_file(package: str = "faster_whisper") -> Path:
    """The newest model file that an installed package brings along.

    Raises:
        ConfigError: the package is not installed, or brings none.
    """
    # Found without importing the package, which would load PyAV with it.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"voice detection needs {package!r}: pip install 'trunkline[demo]'")
    models = sorted((Path(spec.origin).parent / "assets").glob("silero_vad*.onnx"))
    if not models:
        raise ConfigError(f"the installed {package!r} brings no silero_vad file")
    return models[-1]


@cache
def silero() -> Silero:
    """The model that is installed, loaded once (15 ms).

    Raises:
        ConfigError: there is none.
    """
    return Silero(silero_file())


class TurnDetector:
    """Makes turns of probabilities, window by window.

    A turn begins when ``begin_ms`` of windows were at least ``speech``, with none below ``pause``
    among them, and ends ``silence_ms`` after the first window below ``pause`` that none of
    ``speech`` followed. One that lasts ``longest_ms`` ends all the same.
    """

    def __init__(
        self,
        *,
        speech: float = 0.4,
        pause: float = 0.25,
        begin_ms: int = 96,
        silence_ms: int = 512,
        longest_ms: int = 28_000,
    ) -> None:
        self._speech = speech
        self._pause = pause
        self._begin = begin_ms // WINDOW_MS
        self._silence = silence_ms // WINDOW_MS
        self._longest = longest_ms // WINDOW_MS
        self.cut()

    def push(self, probability: float, *, faint: bool = False) -> Edge | None:
        """The next window's probability; whether a turn begins or ends with it.

        A ``faint`` window may be somebody else's speech: no turn begins with nothing but those,
        and within one they count as silence.
        """
        if self.speaking:
            return self._during(0.0 if faint else probability)
        return self._before(probability, faint=faint)

    def cut(self) -> None:
        """Begin afresh: no turn is going on."""
        self.speaking = False
        self._voiced = 0
        self._clear = False
        self._quiet = 0
        self._length = 0

    def _before(self, probability: float, *, faint: bool) -> Edge | None:
        if probability >= self._speech:
            self._voiced += 1
            self._clear = self._clear or not faint
        elif probability < self._pause:
            self.cut()
        if self._voiced < self._begin or not self._clear:
            return None
        self.cut()
        self.speaking = True
        return Edge.STARTED

    def _during(self, probability: float) -> Edge | None:
        self._length += 1
        if probability >= self._speech:
            self._quiet = 0
        elif self._quiet or probability < self._pause:
            self._quiet += 1
        if self._quiet < self._silence and self._length < self._longest:
            return None
        self.cut()
        return Edge.ENDED
