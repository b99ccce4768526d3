"""A chat-completions service, simulated: what a reply by a language model asks when there is none.

An ASGI application in the shape of ``POST /v1/chat/completions``: whole answers and streams of
server-sent events, text and tool calls, and the errors a real one gives. What it answers is
a Python function of the conversation. It is strict about what it is sent: the key, the roles, and
that each tool call is followed by its result, as the real one is.

Shapes: platform.openai.com/docs/api-reference/chat (create, streaming), and the types of the
``openai`` package, version 3.54; both looked at on 2026-11-21.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["ChatService", "Decide", "Dropped", "Failure", "Said", "Use"]

Message = Mapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LARGEST = 4 << 20
_ROLES = {"developer", "system", "user", "assistant", "tool"}
_TYPES = {401: "invalid_request_error", 429: "requests", 500: "server_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class Use(Struct, frozen=True):
    """A tool call; ``arguments`` are JSON, well-formed or not."""

    name: str
    arguments: str = "{}"


class Said(Struct, frozen=True, kw_only=True):
    """An answer, and how it comes."""

    text: str = ""
    uses: tuple[Use, ...] = ()
    first_s: float = 0.0
    """Seconds before its first token …"""
    token_s: float = 0.0
    """… and before each further one."""
    drop_after: int | None = None
    """The connection is torn off after so many tokens."""
    finish: str = ""
    """Why it ends, if not as it does by itself: ``length``, ``content_filter``."""


class Failure(Struct, frozen=True, kw_only=True):
    """An error instead of an answer."""

    status: int
    message: str = "simulated"
    retry_after: float | None = None


class Dropped(Exception):
    """Raised out of the application to tear a connection off."""


Decide = Callable[[list[Message]], "str | Said | Failure"]
"""What to answer to these messages."""


class ChatService:
    """The service, an ASGI application; serve it on a port or drive it in memory.

    Args:
        decide: what it answers.
        key: the API key it wants; empty for any.
        models: those it has; empty for any.
        clock: seconds since 1970.

    Attributes:
        requests: the body of each request it answered or failed on purpose.
        streams: how many streams are under way.
        abandoned: how many streams a client left before their end.
    """

    def __init__(
        self,
        decide: Decide,
        *,
        key: str = "",
        models: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.streams = 0
        self.abandoned = 0
        self._decide = decide
        self._key = key
        self._models = set(models)
        self._clock = clock
        self._ids = itertools.count(1)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            asked = self._read(scope["method"], scope["path"], headers, body)
        except _Wrong as wrong:
            await _fail(send, Failure(status=wrong.status, message=str(wrong)))
            return
        self.requests.append(asked)
        answer = self._decide(asked["messages"])
        said = Said(text=answer) if isinstance(answer, str) else answer
        if isinstance(said, Failure):
            await _fail(send, said)
        elif asked.get("stream"):
            await self._stream(asked, said, receive, send)
        else:
            await asyncio.sleep(said.first_s)
            await _answer(send, 200, self._whole(asked, said))

    def _read(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        if not path.endswith("/chat/completions"):
            raise _Wrong(404, f"Invalid URL ({method} {path})")
        if method != "POST":
            raise _Wrong(405, f"Not allowed to {method} on /v1/chat/completions")
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if not key or (self._key and key != self._key):
            raise _Wrong(401, "Incorrect API key provided")
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise _Wrong(400, "We could not parse the JSON body of your request.") from None
        model = asked.get("model")
        if not isinstance(model, str):
            raise _Wrong(400, "you must provide a model parameter")
        if self._models and model not in self._models:
            raise _Wrong(404, f"The model `{model}` does not exist")
        _check(asked.get("messages"))
        _check_tools(asked.get("tools"))
        return asked

    # Answers.

    async def _stream(
        self, asked: Mapping[str, Any], said: Said, receive: _Receive, send: _Send
    ) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        left = asyncio.ensure_future(_gone(receive))
        self.streams += 1
        try:
            await _wait(left, said.first_s)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for event in self._events(asked, said):
                if left.done():
                    self.abandoned += 1
                    return
                data = event if isinstance(event, bytes) else msgspec.json.encode(event)
                await send(_part(b"data: " + data + b"\n\n", more=True))
                await _wait(left, said.token_s)
            await send(_part(b"", more=False))
        finally:
            self.streams -= 1
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)

    def _events(self, asked: Mapping[str, Any], said: Said) -> Iterable[Mapping[str, Any] | bytes]:
        chunk = self._head(asked, "chat.completion.chunk")
        deltas = [{"role": "assistant", "content": "", "refusal": None}, *_deltas(said)]
        for number, delta in enumerate(deltas):
            if number == said.drop_after:
                raise Dropped("the connection is torn off, as it was told to be")
            yield {**chunk, "choices": [_choice("delta", delta, None)]}
        yield {**chunk, "choices": [_choice("delta", {}, _finish(said))]}
        if asked.get("stream_options") == {"include_usage": True}:
            yield {**chunk, "choices": [], "usage": _usage(asked, said)}
        yield b"[DONE]"

    def _whole(self, asked: Mapping[str, Any], said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.uses:
            message["tool_calls"] = [_use(number, use) for number, use in enumerate(said.uses)]
        choice = _choice("message", message | {"refusal": None}, _finish(said))
        head = self._head(asked, "chat.completion")
        return {**head, "choices": [choice], "usage": _usage(asked, said)}

    def _head(self, asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{next(self._ids)}",
            "object": kind,
            "created": int(self._clock()),
            "model": asked["model"],
        }


class _Wrong(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _check(messages: object) -> None:
    """As strict about the order of messages as the real service.

    Raises:
        _Wrong: they are not in order.
    """
    if not isinstance(messages, list) or not messages:
        raise _Wrong(400, "Missing required parameter: 'messages'.")
    awaited: set[str] = set()
    for number, message in enumerate(msgspec.convert(messages, list[dict[str, Any]])):
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise _Wrong(400, f"Invalid value for messages[{number}].role")
        if role == "tool":
            if message.get("tool_call_id") not in awaited:
                raise _Wrong(400, "a 'tool' message must follow a message with 'tool_calls'")
            awaited.remove(message["tool_call_id"])
        elif awaited:
            raise _Wrong(400, "'tool_calls' must be followed by messages for each 'tool_call_id'")
        uses = message.get("tool_calls", [])
        awaited |= {use["id"] for use in uses}
        if not isinstance(content, str | list) and not (uses and content is None):
            raise _Wrong(400, f"Invalid type for messages[{number}].content")
    if awaited:
        raise _Wrong(400, "'tool_calls' must be followed by messages for each 'tool_call_id'")


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not tools:
        raise _Wrong(400, "[] is too short - 'tools'")
    for tool in msgspec.convert(tools, list[dict[str, Any]]):
        function = tool.get("function", {})
        if tool.get("type") != "function" or not re.fullmatch(
            r"[a-zA-Z0-9_-]{1,64}", function.get("name", "")
        ):
            raise _Wrong(400, "Invalid 'tools': a function has a name")
        if function.get("parameters", {"type": "object"}).get("type") != "object":
            raise _Wrong(400, f"Invalid schema for function '{function['name']}'")


def _tokens(text: str) -> list[str]:
    """``text`` in pieces about as a model makes them: words, each with the space before it."""
    return re.findall(r"\s*\S{1,6}|\s+$", text)


def _deltas(said: Said) -> Iterable[dict[str, Any]]:
    for token in _tokens(said.text):
        yield {"content": token}
    for number, use in enumerate(said.uses):
        whole = _use(number, use)
        start = whole | {"function": {"name": use.name, "arguments": ""}}
        yield {"tool_calls": [{"index": number, **start}]}
        for token in re.findall(r".{1,8}", use.arguments, re.DOTALL):
            yield {"tool_calls": [{"index": number, "function": {"arguments": token}}]}


def _use(number: int, use: Use) -> dict[str, Any]:
    function = {"name": use.name, "arguments": use.arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}


def _finish(said: Said) -> str:
    return said.finish or ("tool_calls" if said.uses else "stop")


def _choice(kind: str, what: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, kind: what, "logprobs": None, "finish_reason": finish}


def _usage(asked: Mapping[str, Any], said: Said) -> dict[str, int]:
    prompt = sum(len(_tokens(str(m.get("content") or ""))) for m in asked["messages"])
    made = len(_tokens(said.text))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
    }


async def _wait(left: asyncio.Future[None], seconds: float) -> None:
    if seconds:
        await asyncio.wait([left], timeout=seconds)


async def _gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _body(receive: _Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= _LARGEST:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _fail(send: _Send, failure: Failure) -> None:
    error = {
        "message": failure.message,
        "type": _TYPES.get(failure.status, "invalid_request_error"),
        "param": None,
        "code": _CODES.get(failure.status),
    }
    after = failure.retry_after
    headers = [] if after is None else [(b"retry-after", f"{after:g}".encode())]
    await _answer(send, failure.status, {"error": error}, headers)


async def _answer(
    send: _Send, status: int, body: object, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    named = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send(_part(msgspec.json.encode(body), more=False))


def _part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}
