"""Replies by a language model: any service that speaks OpenAI's chat completions.

``chat_reply`` makes a reply of a model's name and instructions. What the model writes is spoken as
it comes, sentence by sentence; it is told only what the caller heard of its earlier turns, and
where they interrupted it. It can end the call, and use functions of yours. It needs the ``openai``
extra.

A service that fails or falls silent raises, and the conversation apologises; how often a
request is repeated before the first word is the client's ``max_retries``. No text is ever logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ..errors import ConfigError, TrunklineError
from ..events import Who
from .speech import engine
from .turns import History, Reply, Turn, TurnState

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

__all__ = ["FIRST_S", "NEXT_S", "SYSTEM", "ChatError", "ChatReply", "chat_reply", "messages"]

FIRST_S = 10.0
"""How long the first token may take, with the client's retries."""
NEXT_S = 5.0
"""How long each further one may take."""

SYSTEM = (
    "You are on the phone. Answer in one or two short sentences, as people speak: no lists, no "
    "markup, no emoji."
)
"""What a model is told by default."""

CUT = "[interrupted]"
NOT_UNDERSTOOD = "[not understood]"
_ABOUT = (
    f"“{CUT}” after words of yours means that the caller interrupted you there and heard no more. "
    f"“{NOT_UNDERSTOOD}” stands for something the caller said that could not be understood. Never "
    "say either."
)


class ChatError(TrunklineError):
    """The model's answer broke off or cannot be used."""


class _Call(Struct):
    """A tool call, as it comes together."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class _Goodbye(Struct):
    goodbye: str = ""


_HANG_UP: dict[str, Any] = {
    "name": "hang_up",
    "description": "End the phone call, when there is no more to say. Say goodbye before, in the "
    "same turn.",
    "parameters": {
        "type": "object",
        "properties": {
            "goodbye": {"type": "string", "description": "Your last words, if not said yet."}
        },
    },
}


def messages(text: str, history: History, system: str) -> list[dict[str, Any]]:
    """A conversation as a model is told it.

    Of our turns what was heard, with a mark where they were cut. ``text`` comes last, unless it is
    there already: the caller's words are in ``history``, keys are not.
    """
    told: list[dict[str, Any]] = [{"role": "system", "content": f"{system}\n\n{_ABOUT}"}]
    for turn in history:
        _tell(told, "user" if turn.who is Who.CALLER else "assistant", _words(turn))
    last = told[-1]
    if last["role"] != "user" or not text or not last["content"].endswith(text):
        _tell(told, "user", text or NOT_UNDERSTOOD)
    return told


def _words(turn: Turn) -> str:
    return f"{turn.heard} {CUT}" if turn.state is TurnState.CUT else turn.heard


def _tell(told: list[dict[str, Any]], role: str, content: str) -> None:
    """Add a message; one more by the same side continues it, since some models want turns."""
    if told[-1]["role"] == role:
        told[-1]["content"] += f" {content}"
    else:
        told.append({"role": role, "content": content})


class _Round(Struct):
    """What the model has made in one request so far."""

    text: str = ""
    calls: dict[int, _Call] = msgspec.field(default_factory=dict[int, _Call])
    finish: str = ""

    def add(self, chunk: ChatCompletionChunk) -> str:
        """The next piece; returns what is new of the text."""
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish = choice.finish_reason or self.finish
        for part in choice.delta.tool_calls or ():
            call = self.calls.setdefault(part.index, _Call())
            call.id = part.id or call.id
            if part.function is not None:
                call.name += part.function.name or ""
                call.arguments += part.function.arguments or ""
        new = choice.delta.content or ""
        self.text += new
        return new


def chat_reply(
    *,
    model: str,
    system: str = SYSTEM,
    client: AsyncOpenAI | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    hang_up: bool = True,
    first_s: float = FIRST_S,
    next_s: float = NEXT_S,
    options: Mapping[str, Any] | None = None,
) -> ChatReply:
    """A reply by a language model, for ``Conversation``; one may serve many calls.

    Args:
        model: its name at the service.
        system: its instructions; ``SYSTEM`` says how one speaks on the phone.
        client: asks the service; by default one is made of the next two.
        base_url: where the service is; by default ``OPENAI_BASE_URL``, or OpenAI's own.
        api_key: by default ``OPENAI_API_KEY``.
        hang_up: whether the model may end the call.
        first_s: seconds its first token may take, retries included.
        next_s: seconds each further one may take.
        options: more for each request: ``temperature``, ``max_completion_tokens`` …

    Raises:
        ConfigError: the ``openai`` package or the key is missing.
    """
    return ChatReply(
        client or _client(base_url, api_key),
        model=model,
        system=system,
        hang_up=hang_up,
        deadlines=(first_s, next_s),
        options=options or {},
    )


def _client(base_url: str | None, api_key: str | None) -> AsyncOpenAI:
    openai = engine("openai", what="a reply by a language model", extra="openai")
    try:
        return openai.AsyncOpenAI(base_url=base_url, api_key=api_key)
    except openai.OpenAIError:
        raise ConfigError("no key for the language model: set OPENAI_API_KEY") from None


class ChatReply:
    """See ``chat_reply``, which makes it."""

    def __init__(
        self,
        client: AsyncOpenAI,
        *,
        model: str,
        system: str,
        hang_up: bool,
        deadlines: tuple[float, float],
        options: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._model = model
        self._system = system
        self._deadlines = deadlines
        self._options = dict(options)
        if hang_up:
            self._options["tools"] = [{"type": "function", "function": _HANG_UP}]

    async def __call__(self, text: str, history: History) -> AsyncGenerator[str | Reply, None]:
        """The model's words as it makes them.

        Raises:
            ChatError: its answer broke off.
            TimeoutError: it fell silent.
            openai.OpenAIError: whatever else went wrong.
        """
        round_ = _Round()
        async with aclosing(self._ask(messages(text, history, self._system), round_)) as words:
            async for word in words:
                yield word
        for call in round_.calls.values():
            if call.name == "hang_up":
                yield Reply("" if round_.text else _goodbye(call.arguments), hang_up=True)

    async def close(self) -> None:
        """Close the client's connections; for a process that goes on without it."""
        await self._client.close()

    async def _ask(self, told: list[dict[str, Any]], round_: _Round) -> AsyncGenerator[str, None]:
        """One request. Fills ``round_``, and gives the text in it as it comes."""
        first_s, next_s = self._deadlines
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(first_s):
            stream = await self._open(told)
        async with stream:
            until = begun + first_s
            while True:
                async with asyncio.timeout_at(until):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                if new := round_.add(chunk):
                    yield new
                until = asyncio.get_running_loop().time() + next_s
        if not round_.finish:
            raise ChatError("the model's answer broke off")

    async def _open(self, told: list[dict[str, Any]]) -> AsyncStream[ChatCompletionChunk]:
        request: Any = {"model": self._model, "messages": told, **self._options}
        return await self._client.chat.completions.create(**request, stream=True)


def _goodbye(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments or "{}", type=_Goodbye).goodbye
    except msgspec.DecodeError:
        return ""  # it wants to end the call, whatever it wrote
