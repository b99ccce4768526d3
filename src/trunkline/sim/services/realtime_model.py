"""A model of rules for the simulated Realtime service: enough to hold a call offline.

It greets, says again what it was told, calls a function when it hears a word of its name, tells
what came of it, and hangs up after goodbye. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .realtime_items import Asked, Calls, Item

__all__ = ["rules"]

_GOODBYE = re.compile(r"\b(good ?bye|bye)\b")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_WORDS)}


async def rules(asked: Asked) -> Sequence[str | Calls]:
    """What a model of few words does; a ``Reply``."""
    # Instructions for one response are for something else than an answer: a greeting, a question.
    special = asked.instructions.partition("\n\n")[2]
    last = asked.items[-1] if asked.items else None
    if "goodbye" in special:
        return ["Goodbye!"]
    if "still there" in special:
        return ["Are you still there?"]
    if last is None or special:
        return ["Hello, this is an offline model. What can I do for you?"]
    if last.type == "function_call_output":
        return [f"The answer is: {_plain(last.output)}"]
    return _answer(last, asked.tools)


def _answer(last: Item, tools: Sequence[dict[str, Any]]) -> Sequence[str | Calls]:
    text = last.text.lower()
    words = re.findall(r"[a-z0-9']+", text)
    if not words:
        return ["Sorry, I did not catch that."]
    names = {tool["name"] for tool in tools}
    if _GOODBYE.search(text):
        return ["Goodbye!", Calls("hang_up")] if "hang_up" in names else ["Goodbye!"]
    for tool in tools:
        known = {word.rstrip("s") for word in re.findall(r"[a-z]+", tool["name"].lower())}
        if known & {word.rstrip("s") for word in words}:
            return [Calls(tool["name"], json.dumps(_arguments(tool["parameters"], words)))]
    return [f"You said: {last.text}"]


def _arguments(schema: dict[str, Any], words: Sequence[str]) -> dict[str, object]:
    """Something for every argument that must be there."""
    shapes: dict[str, dict[str, Any]] = schema.get("properties", {})
    return {name: _argument(shapes[name], words) for name in schema.get("required", [])}


def _argument(shape: dict[str, Any], words: Sequence[str]) -> object:
    if "enum" in shape:
        return next((one for one in shape["enum"] if str(one).lower() in words), shape["enum"][0])
    if shape.get("type") in ("integer", "number"):
        numbers = [int(w) if w.isdigit() else _NUMBERS.get(w) for w in words]
        return next((number for number in numbers if number is not None), 1)
    return words[-1]


def _plain(output: str) -> str:
    return " ".join(re.findall(r"[\w.,']+", output))
