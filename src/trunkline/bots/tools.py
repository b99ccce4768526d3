"""Functions a model may call: plain async functions, described to it by their own signature.

    async def opening_hours(day: str) -> str:
        "When the shop is open on a day of the week."

``hang_up`` and ``transfer`` are ready-made; both act when what was said has been heard. Knows
no service and no call but the one it hands on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from ..call import Call
from ..errors import CallEnded, ConfigError, TrunklineError
from ..events import Why

__all__ = ["GOODBYE", "TOOL_S", "Goodbye", "Tool", "hang_up", "run", "transfer"]

log = logging.getLogger("trunkline.bots")

TOOL_S = 10.0
"""How long a tool may take: somebody waits on the line."""


class Goodbye(Struct, frozen=True):
    """What a tool returns to end the call when the last words have been heard."""


GOODBYE = Goodbye()


class Tool(Struct, frozen=True, kw_only=True):
    """A function a model may call.

    ``run`` is given the call and the arguments as the model wrote them (JSON), and returns anything
    JSON can hold, or ``GOODBYE``. ``deadline_s`` of ``None`` is for what the call itself bounds.
    """

    name: str
    description: str
    run: Callable[[Call, str], Awaitable[object]]
    parameters: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    """Its arguments' JSON schema."""
    deadline_s: float | None = TOOL_S
    after_playback: bool = False
    """Run it when all that was said has been heard."""

    @classmethod
    def of(
        cls,
        function: Callable[..., Awaitable[object]],
        *,
        description: str = "",
        deadline_s: float = TOOL_S,
    ) -> Tool:
        """A tool from an async function: its name, its docstring, its annotated parameters.

        Parameters without annotation are strings; one annotated ``Call`` is given the call.
        ``Annotated[str, msgspec.Meta(description="…")]`` tells the model about a parameter.

        Raises:
            ConfigError: the function is not async, or a parameter's type has no JSON schema.
        """
        name = getattr(function, "__name__", "")
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(f"a tool is an async function, which {name or function!r} is not")
        fields, calls = _parameters(function)
        try:
            shape = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
            schema = _schema(shape)
        except TypeError as error:
            raise ConfigError(f"tool {name}: {error}") from None

        async def fill_in(call: Call, arguments: str) -> object:
            given = msgspec.json.decode(arguments or "{}", type=shape)
            named = {field[0]: getattr(given, field[0]) for field in fields}
            return await function(**named, **dict.fromkeys(calls, call))

        told = description or inspect.getdoc(function) or name
        return cls(
            name=name, description=told, run=fill_in, parameters=schema, deadline_s=deadline_s
        )


def _parameters(function: Callable[..., object]) -> tuple[list[Any], list[str]]:
    """The parameters the model fills in, as fields of a struct, and those that take the call."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    calls: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, str)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"a tool names its parameters, but there is {parameter}")
        if hint is Call:
            calls.append(parameter.name)
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint, parameter.default))
    return fields, calls


def _schema(shape: type[Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    schema = components.pop(shape.__name__)
    del schema["title"]
    return schema | {"$defs": components} if components else schema


async def _goodbye(call: Call, arguments: str) -> Goodbye:
    return GOODBYE


hang_up = Tool(
    name="hang_up",
    description="End the phone call. Say goodbye first, and call this in the same turn.",
    run=_goodbye,
)
"""Ends the call when the model's goodbye has been heard."""


async def run(tool: Tool, call: Call, arguments: str) -> tuple[str, bool]:
    """Run a tool for the model. Whatever goes wrong is something the model can be told.

    Returns:
        What to tell the model, and whether to end the call.
    """
    try:
        async with asyncio.timeout(tool.deadline_s):
            result = await tool.run(call, arguments)
        if isinstance(result, Goodbye):
            return "Said.", True
        text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
        return text, False
    except (msgspec.DecodeError, CallEnded) as error:
        return _error(str(error)), False
    except TimeoutError:
        log.error("tool took too long", extra={"tool": tool.name, "call": call.id})
        return _error("it took too long"), False
    except Exception:
        log.exception("tool failed", extra={"tool": tool.name, "call": call.id})
        return _error("it failed"), False


def _error(what: str) -> str:
    return msgspec.json.encode({"error": what}).decode()


class _Whom(Struct, forbid_unknown_fields=True):
    to: str


def transfer(numbers: Mapping[str, str], *, from_: str = "") -> Tool:
    """A tool that connects the caller with somebody else.

    Args:
        numbers: whom there is to connect with, by the name the model knows them by, and their
            number (E.164 or ``sip:``). The model cannot dial any other.
        from_: the number to call from, where the carrier wants one.
    """

    async def connect(call: Call, arguments: str) -> object:
        whom = msgspec.json.decode(arguments, type=_Whom).to
        if whom not in numbers:
            return {"error": f"there is nobody called that; there is: {', '.join(numbers)}"}
        try:
            outcome = await call.transfer(numbers[whom], from_=from_)
        except TrunklineError as error:
            return {"error": type(error).__name__}
        return GOODBYE if outcome is Why.COMPLETED else {"outcome": outcome.value}

    return Tool(
        name="transfer",
        description="Connect the caller with somebody else. Say so first. If it returns, the "
        "caller could not be connected and is back with you.",
        run=connect,
        parameters={
            "type": "object",
            "properties": {"to": {"type": "string", "enum": list(numbers)}},
            "required": ["to"],
        },
        # Ringing takes its time, and the call has limits of its own.
        deadline_s=None,
        after_playback=True,
    )
