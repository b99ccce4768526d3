"""What a simulated Realtime conversation is made of, and how the service writes it down.

An ``Item`` is what the service knows: of the model's speech so much as it was told was heard. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ...media.formats import AudioFormat
from ...media.level import rms
from .realtime_rules import Objection

__all__ = ["Activity", "Asked", "Calls", "Item", "cut", "usage", "written"]


class Calls(Struct, frozen=True):
    """The model calls a function; ``arguments`` is JSON."""

    name: str
    arguments: str = "{}"


class Item(Struct, kw_only=True, eq=False):
    """An item of a conversation.

    ``text`` is what the model knows was said; ``audio_ms`` how much audio there is of it, and
    ``heard_ms`` how much the service was told was heard, if it was told.
    """

    id: str
    type: str
    role: str = ""
    text: str = ""
    spoken: bool = False
    audio: bytes = b""
    audio_ms: float = 0.0
    heard_ms: int | None = None
    status: str = "completed"
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""

    @classmethod
    def given(cls, wire: dict[str, Any], item_id: str) -> Item:
        """An item as a client wrote it."""
        content: list[dict[str, str]] = wire.get("content", [])
        fields = {
            n: wire[n] for n in ("role", "name", "call_id", "arguments", "output") if n in wire
        }
        text = " ".join(part.get("text", "") for part in content)
        return cls(id=item_id, type=wire["type"], text=text, **fields)


def written(item: Item) -> dict[str, Any]:
    """An item as the service writes it."""
    wire: dict[str, Any] = {
        "id": item.id,
        "object": "realtime.item",
        "type": item.type,
        "status": item.status,
    }
    if item.type == "message":
        return wire | {"role": item.role, "content": _content(item)}
    if item.type == "function_call":
        return wire | {"name": item.name, "call_id": item.call_id, "arguments": item.arguments}
    return wire | {"call_id": item.call_id, "output": item.output}


def _content(item: Item) -> list[dict[str, Any]]:
    if item.spoken and item.role == "user":
        return [{"type": "input_audio", "transcript": None}]
    if item.spoken:
        return [{"type": "output_audio", "transcript": item.text}] if item.audio else []
    kind = "output_text" if item.role == "assistant" else "input_text"
    return [{"type": kind, "text": item.text}]


def usage(read: Sequence[Item], said: Sequence[Item]) -> dict[str, Any]:
    """What a response took: ten tokens for an item read, one for every 50 ms of audio said.

    In the shape of the guide "Managing costs" (developers.openai.com, read 2026-11-21), with every
    detail: there are clients that stop reading where one is missing.
    """
    sounds = sum(item.spoken for item in read)
    texts = len(read) - sounds
    audio = sum(int(item.audio_ms / 50) for item in said)
    kinds = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": 10 * len(read) + audio,
        "input_tokens": 10 * len(read),
        "output_tokens": audio,
        "input_token_details": kinds
        | {"text_tokens": 10 * texts, "audio_tokens": 10 * sounds}
        | {"cached_tokens": 0, "cached_tokens_details": kinds},
        "output_token_details": {"text_tokens": 0, "audio_tokens": audio},
    }


class Asked(Struct, frozen=True):
    """What a model is to respond to: the conversation, how, and the functions it may call."""

    items: tuple[Item, ...]
    instructions: str
    tools: tuple[dict[str, Any], ...]


class Activity:
    """Tells speech from silence by loudness, in the time of the audio itself.

    Args:
        audio: its encoding.
        turns: the session's ``turn_detection``.
    """

    _FRAME_MS = 20
    _ONSET_MS = 60
    _LOUD = 400.0  # root mean square of a frame with speech in it, at a threshold of 0.5

    def __init__(self, audio: AudioFormat, turns: dict[str, Any]) -> None:
        self._audio = audio
        self._size = audio.bytes_in(self._FRAME_MS)
        self._loud = self._LOUD * 2 * turns.get("threshold", 0.5)
        self._padding_ms = turns.get("prefix_padding_ms", 300)
        self._silence_ms = turns.get("silence_duration_ms", 500)
        self._heard = bytearray()
        self._looked = 0
        self._loud_ms = 0
        self._quiet_ms = 0
        self._began_ms: int | None = None

    @property
    def heard(self) -> bytes:
        """All the audio there was."""
        return bytes(self._heard)

    def push(self, audio: bytes) -> list[tuple[int, bytes | None]]:
        """More audio; what it tells.

        Returns:
            For each beginning of speech its position in ms and ``None``; for each end its position
            and the audio of it all.
        """
        self._heard += audio
        found: list[tuple[int, bytes | None]] = []
        while self._looked + self._size <= len(self._heard):
            frame = bytes(self._heard[self._looked : self._looked + self._size])
            self._looked += self._size
            at = int(self._audio.ms_in(self._looked))
            if rms(frame, self._audio) >= self._loud:
                self._loud_ms += self._FRAME_MS
                self._quiet_ms = 0
            else:
                self._quiet_ms += self._FRAME_MS
                self._loud_ms = 0
            if self._began_ms is None and self._loud_ms >= self._ONSET_MS:
                self._began_ms = max(0, at - self._loud_ms - self._padding_ms)
                found.append((self._began_ms, None))
            elif self._began_ms is not None and self._quiet_ms >= self._silence_ms:
                begin, end = map(self._audio.bytes_in, (self._began_ms, at))
                found.append((at, bytes(self._heard[begin:end])))
                self._began_ms = None
        return found


def cut(item: Item, to_ms: int, audio: AudioFormat) -> Objection | None:
    """Keep so much of an item's audio.

    Returns:
        What the service says to more than there is; it cuts all the same (ReviewStage/luke pull
        request 564).

    Raises:
        Objection: there is no audio to cut.
    """
    if item.role != "assistant" or not item.audio:
        raise Objection(
            "unsupported_content_type", "Only model output audio messages can be truncated"
        )
    item.heard_ms = min(to_ms, int(item.audio_ms))
    longer = to_ms > item.audio_ms
    was_ms = int(item.audio_ms)
    item.audio = item.audio[: audio.bytes_in(item.heard_ms)]
    item.audio_ms = float(item.heard_ms)
    if not longer:
        return None
    message = f"Audio content of {was_ms}ms is already shorter than {to_ms}ms"
    return Objection("invalid_value", message, "audio_end_ms", named=False)
