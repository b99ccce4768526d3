"""Runs bots that were written for Pipecat's development runner: ``async def bot(runner_args)``.

Such a bot expects a WebSocket on which a carrier speaks its own dialect. ``carrier_socket`` gives
it one: the carrier's end of that dialect, which the simulator has too, on top of a ``Call``. So
``parse_telephony_websocket`` and any serializer work as they do elsewhere, while signatures,
tokens, pacing, limits and the hang-up remain ours. Pipecat's own ``parse_telephony_websocket``
knows some carriers; the one here knows all.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.websockets import WebSocket

from ...call import Bot, Call, CallEvent, Utterance
from ...errors import CallEnded, ConfigError, LocalProtocolError, RemoteProtocolError
from ...events import Audio, Clear, Digits, Mark, Stopped, ToCaller
from ...media.formats import AudioFormat
from .messages import carrier_of, started

__all__ = ["adapted", "carrier_socket", "parse_telephony_websocket", "takes_runner_arguments"]

RunnerBot = Callable[[Any], Awaitable[None]]

_CALL = "trunkline.call"
"""Where the scope of a socket of ours has its call."""


def takes_runner_arguments(bot: Callable[..., Any]) -> bool:
    """Whether a function is a bot for Pipecat's runner, by its parameter's name or type."""
    parameters = list(inspect.signature(bot).parameters.values())
    if not parameters:
        return False
    kind = parameters[0].annotation
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    return parameters[0].name == "runner_args" or "RunnerArguments" in name


def adapted(bot: RunnerBot) -> Bot:
    """A bot for Pipecat's runner as a bot for calls; its ``warm_up``, if it has one, remains.

    Raises:
        ConfigError: Pipecat is not installed.
    """
    try:
        from pipecat.runner.types import WebSocketRunnerArguments
    except ModuleNotFoundError as error:
        hint = "pip install 'trunkline[pipecat]'"
        raise ConfigError(f"bot(runner_args) needs {error.name!r}: {hint}") from error

    async def on_call(call: Call) -> None:
        async with carrier_socket(call) as socket:
            arguments: Any = WebSocketRunnerArguments(websocket=socket)
            arguments.body = dict(call.parameters)
            await bot(arguments)

    if (warm_up := getattr(bot, "warm_up", None)) is not None:
        vars(on_call)["warm_up"] = warm_up
    return on_call


async def parse_telephony_websocket(websocket: WebSocket) -> tuple[str, Any]:
    """Whose call it is and what is known of it, as Pipecat's function of that name tells it.

    On a socket of ours that is the carrier's name, whichever it is, and a ``CallData`` from the
    verified webhook; no message is read, so that it may be asked again. A socket from elsewhere is
    left to Pipecat's own.

    Returns:
        The carrier's name and Pipecat's ``CallData``: ``stream_id``, ``call_id``, ``from_number``,
        ``to_number`` and ``body``, the parameters of the call; beside them ``account_sid`` and,
        of the caller's audio, ``outbound_encoding``.

    Raises:
        ValueError: a socket from elsewhere closed before it said anything.
    """
    from pipecat.runner import types, utils

    call: Call | None = websocket.scope.get(_CALL)
    if call is None:
        return await utils.parse_telephony_websocket(websocket)
    known = {
        "stream_id": call.id,
        "call_id": call.id,
        "from": call.from_,
        "to": call.to,
        "body": dict(call.parameters),
        "account_sid": call.info.account_id,
        "outbound_encoding": call.audio_in.encoding.value,
    }
    return call.carrier, types.CallData.model_validate(known)


@asynccontextmanager
async def carrier_socket(call: Call) -> AsyncGenerator[WebSocket]:
    """A WebSocket on which the call's carrier seems to speak; accepted already.

    Its first message is the carrier's first. Ids in it are the call's own. Closing it does not
    hang up.
    """
    line = _CarrierLine(call)
    scope = {
        "type": "websocket",
        "scheme": "wss",
        "path": "/ws",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
        _CALL: call,
    }
    socket = WebSocket(scope, line.receive, line.send)
    await socket.accept()
    over = asyncio.create_task(line.until_over())
    try:
        yield socket
    finally:
        line.leave()
        over.cancel()
        await asyncio.wait([over])


class _CarrierLine:
    """An ASGI WebSocket whose client is the carrier's end of its own dialect."""

    def __init__(self, call: Call) -> None:
        carrier = carrier_of(call)
        self._call = call
        self._hears = carrier.hears
        self._stream = carrier.carrier_end(call.audio_out)
        self._inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._utterance: Utterance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._say(started(call))
        self._stop = [
            call.on(self._happened),
            call.listen(lambda audio: self._say(Audio(audio))),
        ]

    def leave(self) -> None:
        """Say and hear no more."""
        for stop in self._stop:
            stop()
        for task in self._tasks:
            task.cancel()

    async def until_over(self) -> None:
        """When the call is over, the socket is too."""
        await self._call.wait()
        if Stopped in self._hears:
            self._say(Stopped())
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000, "reason": ""})

    # What ASGI calls.

    async def receive(self) -> MutableMapping[str, Any]:
        return await self._inbox.get()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] != "websocket.send":
            return
        text = message.get("text")
        try:
            events = self._stream.receive(message["bytes"] if text is None else text)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"the carrier would not understand this: {error}") from error
        for event in events:
            await self._do(event)

    # What the bot wants of the call, and what the call tells the bot.

    async def _do(self, event: ToCaller) -> None:
        try:
            if isinstance(event, Audio):
                self._open(event.format or self._call.audio_out).write(event.payload)
            elif isinstance(event, Clear):
                self._utterance = None
                self._call.clear()
            elif isinstance(event, Mark):
                self._mark(event)
            elif isinstance(event, Digits):
                await self._call.send_digits(event.digits)
        except CallEnded:
            return  # the socket tells that, in its turn

    def _open(self, spoken: AudioFormat) -> Utterance:
        if self._utterance is not None and self._utterance.format != spoken:
            self._utterance.end()
            self._utterance = None
        if self._utterance is None:
            self._utterance = self._call.utterance(spoken)
        return self._utterance

    def _mark(self, mark: Mark) -> None:
        """Give a mark back when what was said before it has been heard, or dropped."""
        said, self._utterance = self._utterance, None
        if said is None:
            self._say(mark)
            return
        said.end()
        task = asyncio.create_task(self._mark_after(said, mark))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mark_after(self, said: Utterance, mark: Mark) -> None:
        await said.wait()
        self._say(mark)

    def _happened(self, event: CallEvent) -> None:
        if type(event) in self._hears:
            self._say(event)

    def _say(self, event: Any) -> None:
        self._stream.send(event)
        for message in self._stream.outgoing():
            kind = "text" if isinstance(message, str) else "bytes"
            self._inbox.put_nowait({"type": "websocket.receive", kind: message})
