"""What a Realtime session is like: its audio, its turns, its functions, in the service's own words.

``RealtimeSessionCreateRequest`` of the API reference (developers.openai.com/api/reference/
resources/realtime, "client events", read 2026-11-21); only the fields that are set are declared.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from ...media.formats import L16_24K, PCMA_8K, PCMU_8K, AudioFormat

__all__ = [
    "FORMATS",
    "FunctionTool",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "Transcription",
    "session_config",
]


class Pcm(Struct, frozen=True, tag_field="type", tag="audio/pcm"):
    """16 bits little-endian, mono; 24 kHz is the only rate there is."""

    rate: Literal[24000]


class Pcmu(Struct, frozen=True, tag_field="type", tag="audio/pcmu"):
    """G.711 µ-law at 8 kHz."""


class Pcma(Struct, frozen=True, tag_field="type", tag="audio/pcma"):
    """G.711 A-law at 8 kHz."""


FORMATS: dict[AudioFormat, Pcm | Pcmu | Pcma] = {
    PCMU_8K: Pcmu(),
    PCMA_8K: Pcma(),
    L16_24K: Pcm(rate=24000),
}
"""The audio the service takes and gives."""


class ServerVad(Struct, frozen=True, kw_only=True, tag_field="type", tag="server_vad"):
    """Turns are told by how loud the line is.

    ``threshold`` is 0 to 1 (the service's default 0.5: higher for noisy lines), the two times are
    milliseconds (defaults 300 and 500).
    """

    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET
    # That the service answers and interrupts itself by itself is what ``talk`` stands on.
    create_response: Literal[True] = True
    interrupt_response: Literal[True] = True


class SemanticVad(Struct, frozen=True, kw_only=True, tag_field="type", tag="semantic_vad"):
    """Turns are told by what is said: who trails off is given up to 2, 4 or 8 s to go on.

    ``eagerness`` is ``low`` (8 s), ``medium``, ``high`` (2 s) or ``auto``, which is ``medium``.
    """

    eagerness: Literal["low", "medium", "high", "auto"] | UnsetType = UNSET
    create_response: Literal[True] = True
    interrupt_response: Literal[True] = True


class Transcription(Struct, frozen=True, kw_only=True):
    """What the caller says is also written down, by another model."""

    model: str
    language: str | UnsetType = UNSET


class FunctionTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function the model may call; ``parameters`` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class AudioInput(Struct, frozen=True, kw_only=True):
    """The caller's audio."""

    format: Pcm | Pcmu | Pcma
    turn_detection: ServerVad | SemanticVad
    transcription: Transcription


class AudioOutput(Struct, frozen=True, kw_only=True):
    """The model's audio."""

    format: Pcm | Pcmu | Pcma
    voice: str


class Audio(Struct, frozen=True, kw_only=True):
    """Both ways."""

    input: AudioInput
    output: AudioOutput


class SessionConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="realtime"):
    """A speech-to-speech session."""

    instructions: str
    output_modalities: tuple[str, ...]
    audio: Audio
    tools: tuple[FunctionTool, ...]


def session_config(
    *,
    instructions: str,
    voice: str,
    hears: AudioFormat,
    says: AudioFormat,
    turns: ServerVad | SemanticVad,
    transcription: Transcription,
    tools: tuple[FunctionTool, ...],
) -> SessionConfig:
    """What a session is to be like; ``hears`` and ``says`` are keys of ``FORMATS``."""
    return SessionConfig(
        instructions=instructions,
        output_modalities=("audio",),
        audio=Audio(
            input=AudioInput(
                format=FORMATS[hears], turn_detection=turns, transcription=transcription
            ),
            output=AudioOutput(format=FORMATS[says], voice=voice),
        ),
        tools=tools,
    )
