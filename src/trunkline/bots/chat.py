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
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ..call import Call
from ..errors import ConfigError, TrunklineError
from ..events import Who
from .speech import engine
from .tools import Tool, run
from .turns import History, Reply, Turn, TurnState

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

__all__ = [
    "FIRST_S",
    "NEXT_S",
    "ROUNDS",
    "SYSTEM",
    "ChatError",
    "ChatReply",
    "chat_reply",
    "messages",
]

FIRST_S = 10.0
"""How long the first token may take, with the client's retries."""
NEXT_S = 5.0
"""How long each further one may take."""
ROUNDS = 5
"""How often the model may ask for tools before it must have answered."""

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


class _Use(Struct):
    """The use of a tool, as it comes together."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """What it was, as the model is told it; services refuse what is no JSON."""
        try:
            msgspec.json.decode(self.arguments)
            arguments = self.arguments
        except msgspec.DecodeError:
            arguments = "{}"
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


class _Goodbye(Struct):
    goodbye: str = ""


def _function(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


_HANG_UP = _function(
    "hang_up",
    "End the phone call, when there is no more to say. Say goodbye before, in the same turn.",
    {
        "type": "object",
        "properties": {
            "goodbye": {"type": "string", "description": "Your last words, if not said yet."}
        },
    },
)


class _Used(Struct, frozen=True):
    """Tools were used after so many turns; how, and what came of it, as the model is told it."""

    after: int
    messages: list[dict[str, Any]]


def messages(
    text: str, history: History, system: str, used: Sequence[_Used] = ()
) -> list[dict[str, Any]]:
    """A conversation as a model is told it.

    Of our turns what was heard, with a mark where they were cut. ``text`` comes last, unless it is
    there already: the caller's words are in ``history``, keys are not.
    """
    told: list[dict[str, Any]] = [{"role": "system", "content": f"{system}\n\n{_ABOUT}"}]
    said = ""  # by the caller, since our last turn
    for number, turn in enumerate(history):
        _tell_used(told, used, number)
        _tell(told, "user" if turn.who is Who.CALLER else "assistant", _words(turn))
        said = f"{said} {turn.text}" if turn.who is Who.CALLER else ""
    _tell_used(told, used, len(history))
    if not text or not said.endswith(text):
        _tell(told, "user", text or NOT_UNDERSTOOD)
    return told


def _tell_used(told: list[dict[str, Any]], used: Sequence[_Used], number: int) -> None:
    for use in used:
        if use.after == number:
            told += use.messages


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
    uses: dict[int, _Use] = msgspec.field(default_factory=dict[int, _Use])
    finish: str = ""

    def add(self, chunk: ChatCompletionChunk) -> str:
        """The next piece; returns what is new of the text."""
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish = choice.finish_reason or self.finish
        for part in choice.delta.tool_calls or ():
            use = self.uses.setdefault(part.index, _Use())
            use.id = part.id or use.id
            if part.function is not None:
                use.name += part.function.name or ""
                use.arguments += part.function.arguments or ""
        new = choice.delta.content or ""
        self.text += new
        return new

    @property
    def message(self) -> dict[str, Any]:
        """What was used in it, as the model is told it."""
        uses = [use.message for use in self.uses.values()]
        return {"role": "assistant", "content": None, "tool_calls": uses}


def chat_reply(
    *,
    model: str,
    system: str = SYSTEM,
    client: AsyncOpenAI | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    hang_up: bool = True,
    tools: Sequence[Tool | Callable[..., Awaitable[object]]] = (),
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
        tools: async functions that the model may use, described by their names, docstrings and
            annotations; see ``Tool.of``. With tools, give each conversation ``reply.on(call)``.
        first_s: seconds its first token may take, retries included.
        next_s: seconds each further one may take.
        options: more for each request: ``temperature``, ``max_completion_tokens`` …

    Raises:
        ConfigError: the ``openai`` package or the key is missing, or a tool cannot be used.
    """
    return ChatReply(
        client or _client(base_url, api_key),
        model=model,
        system=system,
        hang_up=hang_up,
        tools=[tool if isinstance(tool, Tool) else Tool.of(tool) for tool in tools],
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
        tools: Sequence[Tool],
        deadlines: tuple[float, float],
        options: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._model = model
        self._system = system
        self._deadlines = deadlines
        self._options = dict(options)
        self._may_hang_up = hang_up
        self._tools = {tool.name: tool for tool in tools}
        if late := [tool.name for tool in tools if tool.after_playback]:
            raise ConfigError(f"{late[0]} waits until all is said, which a chat reply cannot")
        functions = [_function(tool.name, tool.description, tool.parameters) for tool in tools]
        if hang_up:
            functions.append(_HANG_UP)
        if functions:
            self._options["tools"] = functions

    def on(self, call: Call) -> Callable[[str, History], AsyncGenerator[str | Reply, None]]:
        """The reply on this call, which its tools are given; it remembers how they were used."""
        used: list[_Used] = []

        def reply(text: str, history: History) -> AsyncGenerator[str | Reply, None]:
            return self._reply(text, history, call, used)

        return reply

    def __call__(self, text: str, history: History) -> AsyncGenerator[str | Reply, None]:
        """The model's words as it makes them.

        Raises:
            ChatError: its answer broke off.
            ConfigError: it has tools, and is on no call.
            TimeoutError: it fell silent.
            openai.OpenAIError: whatever else went wrong.
        """
        if self._tools:
            raise ConfigError("a reply with tools is given its call: reply.on(call)")
        return self._reply(text, history, None, [])

    async def _reply(
        self, text: str, history: History, call: Call | None, used: list[_Used]
    ) -> AsyncGenerator[str | Reply, None]:
        told = messages(text, history, self._system, used)
        for _ in range(ROUNDS):
            made = _Round()
            async with aclosing(self._ask(told, made)) as words:
                async for word in words:
                    yield word
            if not made.uses:
                return
            yield Reply()  # what was said is to be heard while tools work
            results, last = await self._use(made, call)
            if last is not None:
                yield last
                return
            told += [made.message | {"content": made.text or None}, *results]
            # Without the text: how much of it was heard is in the history, next time.
            used.append(_Used(len(history), [made.message, *results]))
        raise ChatError("the model asks for tools, and never answers")

    async def _use(
        self, made: _Round, call: Call | None
    ) -> tuple[list[dict[str, Any]], Reply | None]:
        """Use the tools that were asked for.

        Returns:
            What to tell the model, and the last words, if the call is to end.
        """
        results: list[dict[str, Any]] = []
        last: Reply | None = None
        for use in made.uses.values():
            tool = self._tools.get(use.name)
            if tool is not None and call is not None:
                content, goodbye = await run(tool, call, use.arguments)
                last = Reply(hang_up=True) if goodbye else last
            elif use.name == "hang_up" and self._may_hang_up:
                content = "Said."
                last = Reply("" if made.text else _goodbye(use.arguments), hang_up=True)
            else:
                content = "There is no such tool."
            results.append({"role": "tool", "tool_call_id": use.id, "content": content})
        return results, last

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
