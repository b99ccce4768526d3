"""What OpenAI's Realtime service lets a client say, and how it words a refusal.

Parameters as in the API reference (developers.openai.com/api/reference/resources/realtime, "client
events", read 2026-11-21). The wordings are those that people have met: "Missing required
parameter: 'session.type'." (TanStack/ai issue 586), "Unknown parameter: 'session.voice'."
(livekit/agents pull request 3444), "Cannot update a conversation's voice if assistant audio is
present." (openai-agents-python issue 1661). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ...errors import TrunklineError
from ...media.formats import L16_24K, PCMA_8K, PCMU_8K, AudioFormat

__all__ = ["AUDIO", "Objection", "check_event", "merged"]

AUDIO: dict[str, AudioFormat] = {
    "audio/pcm": L16_24K,
    "audio/pcmu": PCMU_8K,
    "audio/pcma": PCMA_8K,
}

_Shape = Mapping[str, Any]

_FORMAT: _Shape = {"type": list(AUDIO), "rate": [24000]}
_TURNS: _Shape = {
    "type": ["server_vad", "semantic_vad"],
    "threshold": float,
    "prefix_padding_ms": int,
    "silence_duration_ms": int,
    "idle_timeout_ms": int,
    "eagerness": ["low", "medium", "high", "auto"],
    "create_response": bool,
    "interrupt_response": bool,
}
_SESSION: _Shape = {
    "type!": ["realtime"],
    "model": str,
    "instructions": str,
    "output_modalities": list,
    "max_output_tokens": object,
    "tools": [{"type!": ["function"], "name!": str, "description": str, "parameters": dict}],
    "tool_choice": object,
    "truncation": object,
    "audio": {
        "input": {
            "format": _FORMAT,
            "noise_reduction": object,
            "transcription": {"model": str, "language": str, "prompt": str},
            "turn_detection": _TURNS,
        },
        "output": {"format": _FORMAT, "voice": str, "speed": float},
    },
}
_ITEM: _Shape = {
    "type!": ["message", "function_call", "function_call_output"],
    "id": str,
    "role": ["user", "assistant", "system"],
    "status": str,
    "content": [{"type!": str, "text": str}],
    "call_id": str,
    "name": str,
    "arguments": str,
    "output": str,
}
_EVENTS: dict[str, _Shape] = {
    "session.update": {"session!": _SESSION},
    "input_audio_buffer.append": {"audio!": str},
    "conversation.item.create": {"item!": _ITEM, "previous_item_id": str},
    "conversation.item.delete": {"item_id!": str},
    "conversation.item.truncate": {"item_id!": str, "content_index!": int, "audio_end_ms!": int},
    "response.create": {"response": {"instructions": str, "output_modalities": list}},
    "response.cancel": {"response_id": str},
}
_NAMES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "decimal",
    bool: "boolean",
    list: "array",
}


class Objection(TrunklineError):
    """An ``error`` event: what the service answers to what it does not take."""

    def __init__(
        self, code: str, message: str, param: str | None = None, *, named: bool = True
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.named = named
        """Whether the error names the event it is about."""


def check_event(event: Mapping[str, Any]) -> None:
    """See whether the service would take this event.

    Raises:
        Objection: it would not.
    """
    kind = event.get("type")
    if kind is None:
        raise Objection("missing_required_parameter", "Missing required parameter: 'type'.", "type")
    if kind not in _EVENTS:
        raise _invalid("type", kind, list(_EVENTS))
    rest = {name: value for name, value in event.items() if name not in ("type", "event_id")}
    _check(rest, _EVENTS[kind], "")


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A session updated: only the fields that are there are changed, those within others, too."""
    both = dict(old)
    for name, value in new.items():
        before: Any = both.get(name)
        nested = isinstance(value, dict) and isinstance(before, dict) and "type" not in value
        both[name] = merged(cast(_Shape, before), cast(_Shape, value)) if nested else value
    return both


def _check(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, Mapping):
        _check_object(value, shape, where)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(shape, list) and isinstance(shape[0], Mapping):
        if not isinstance(value, list):
            raise _mistyped(where, "array", value)
        for index, part in enumerate(value):  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
            _check(part, shape[0], f"{where}[{index}]")
    elif isinstance(shape, list):
        if value not in shape:
            raise _invalid(where, value, shape)  # pyright: ignore[reportUnknownArgumentType]
    elif shape is float and isinstance(value, int) and not isinstance(value, bool):
        return
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise _mistyped(where, _NAMES.get(shape, "object"), value)


def _check_object(value: Any, shape: _Shape, where: str) -> None:
    if not isinstance(value, dict):
        raise _mistyped(where, "object", value)
    wanted = {name.rstrip("!"): part for name, part in shape.items()}
    for name in shape:
        if name.endswith("!") and name[:-1] not in value:
            path = f"{where}.{name[:-1]}".lstrip(".")
            raise Objection(
                "missing_required_parameter", f"Missing required parameter: '{path}'.", path
            )
    for name, part in value.items():  # pyright: ignore[reportUnknownVariableType]
        path = f"{where}.{name}".lstrip(".")
        if name not in wanted:
            raise Objection("unknown_parameter", f"Unknown parameter: '{path}'.", path)
        if part is None and name in ("turn_detection", "transcription", "noise_reduction"):
            continue  # switched off
        _check(part, wanted[name], path)


def _invalid(where: str, value: object, allowed: list[Any]) -> Objection:
    known = ", ".join(f"'{one}'" for one in allowed)
    return Objection(
        "invalid_value", f"Invalid value: '{value}'. Supported values are: {known}.", where
    )


def _mistyped(where: str, wanted: str, value: object) -> Objection:
    got = "null" if value is None else _NAMES.get(type(value), "object")
    message = f"Invalid type for '{where}': expected {wanted}, but got {got} instead."
    return Objection("invalid_type", message, where)
