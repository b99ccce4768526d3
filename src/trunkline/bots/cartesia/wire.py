"""Cartesia's words: URLs, encodings and messages, as data. No socket, no clock.

From docs.cartesia.ai, API version 2026-03-01, read 2026-11: ``api-reference/stt/websocket``,
``api-reference/stt/turns/websocket``, ``api-reference/tts/websocket``, ``use-the-api/api-errors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
import pybase64
from msgspec import Struct

from ...media.formats import AudioFormat, Encoding
from .link import Garbled, ServiceError

__all__ = [
    "URL",
    "VERSION",
    "Account",
    "Answer",
    "WordTimes",
    "cancellation",
    "failure",
    "generation",
    "passing",
    "read",
    "stt_url",
    "tts_url",
]

URL = "wss://api.cartesia.ai"
VERSION = "2026-03-01"

_ENCODINGS = {
    Encoding.PCMU: "pcm_mulaw",
    Encoding.PCMA: "pcm_alaw",
    Encoding.L16: "pcm_s16le",
}

# Errors after which the same may succeed: too many at once, and the service's own.
_PASSING = frozenset({408, 429})


class Account(Struct, frozen=True):
    """Who asks, and where. ``url`` is the service's origin."""

    key: str
    url: str = URL
    version: str = VERSION

    @property
    def headers(self) -> Mapping[str, str]:
        """What each handshake shows."""
        return {"X-API-Key": self.key, "Cartesia-Version": self.version}

    def __repr__(self) -> str:
        return f"Account(url={self.url!r})"  # the key is nobody's business


def stt_url(account: Account, audio: AudioFormat, *, model: str, language: str, turns: bool) -> str:
    """Where to have ``audio`` written down; with ``turns`` the service tells turns apart."""
    query = {
        "model": model,
        "cartesia_version": account.version,
        "encoding": _ENCODINGS[audio.encoding],
        "sample_rate": audio.rate,
    }
    if not turns:
        query["language"] = language  # the other endpoint knows none (English only, as of 2026-11)
    return f"{account.url}/stt/{'turns/' if turns else ''}websocket?{urlencode(query)}"


def tts_url(account: Account) -> str:
    """Where to have text spoken."""
    return f"{account.url}/tts/websocket?{urlencode({'cartesia_version': account.version})}"


def generation(
    context: str, text: str, audio: AudioFormat, *, model: str, voice: str, language: str
) -> str:
    """The request to say ``text`` in ``audio``."""
    return msgspec.json.encode(
        {
            "context_id": context,
            "model_id": model,
            "transcript": text,
            "voice": {"mode": "id", "id": voice},
            "language": language,
            "output_format": {
                "container": "raw",
                "encoding": _ENCODINGS[audio.encoding],
                "sample_rate": audio.rate,
            },
            "continue": False,
            "add_timestamps": True,
            # The text comes whole: nothing is gained by waiting for more of it.
            "max_buffer_delay_ms": 0,
        }
    ).decode()


def cancellation(context: str) -> str:
    """The request to stop saying it."""
    return msgspec.json.encode({"context_id": context, "cancel": True}).decode()


class WordTimes(Struct, frozen=True):
    """Words of a context, with the seconds at which each ends."""

    words: list[str]
    end: list[float]


class Answer(Struct, frozen=True):
    """Any message of the service; a field that its kind does not have is empty.

    ``text`` and ``is_final`` are of a ``transcript``, ``transcript`` of the turns, ``data`` of a
    ``chunk``.
    """

    type: str = ""
    context_id: str = ""
    data: str = ""
    word_timestamps: WordTimes | None = None
    text: str = ""
    is_final: bool = False
    transcript: str = ""
    status_code: int = 0
    title: str | None = None
    error_code: str | None = None

    @property
    def audio(self) -> bytes:
        """The samples of a chunk."""
        return pybase64.b64decode(self.data)


_decoder = msgspec.json.Decoder(Answer, strict=False)


def read(message: str | bytes) -> Answer:
    """A message of the service.

    Raises:
        Garbled: it is none.
    """
    try:
        return _decoder.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(f"Cartesia sent what cannot be read: {error}") from None


def failure(answer: Answer) -> ServiceError:
    """What an ``error`` message says; its free text stays out, since it may quote what was said."""
    what = " ".join(text for text in (answer.title, answer.error_code) if text)
    return ServiceError(f"Cartesia: {what or 'error'} ({answer.status_code})", answer.status_code)


def passing(answer: Answer) -> bool:
    """Whether what failed with this may succeed when it is tried again."""
    return answer.status_code >= 500 or answer.status_code in _PASSING
