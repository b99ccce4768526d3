"""One session of the simulated Realtime service, on one socket.

It reads what the client says, hears speech begin and end, and makes one response at a time; events
go out in the order of the guide "Realtime conversations" (developers.openai.com, read 2026-11-21).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import count
from typing import Any

import pybase64
from msgspec import Struct

from ...sockets import SocketClosed
from .realtime_items import Activity, Asked, Calls, Item, cut, usage, written
from .realtime_rules import AUDIO, Objection, check_event, merged
from .service import Hear, Held, Speak

__all__ = ["Model", "RealtimeSession", "Reply"]

Reply = Callable[[Asked], Awaitable[Sequence[str | Calls]]]
"""What the model does next: texts it says and functions it calls, in this order."""

_CHUNK_MS = 200
_TRANSCRIPT_S = 0.2
_ids = count(1)


class Model(Struct, frozen=True, kw_only=True):
    """What a session thinks, hears and speaks with. ``failure`` gives a status to fail with, or 0.

    It thinks for ``think_s`` before its first sound, and speaks ``speed`` times as fast as people.
    """

    reply: Reply
    hear: Hear
    speak: Speak
    think_s: float
    speed: float
    failure: Callable[[], int]
    complain: Callable[[str], None]


class _Response:
    def __init__(self, instructions: str) -> None:
        self.id = f"resp_{next(_ids)}"
        self.instructions = instructions
        self.output: list[Item] = []
        self.stopped = asyncio.Event()
        self.reason = ""
        self.done = asyncio.Event()

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.stopped.set()

    async def pause(self, seconds: float) -> bool:
        """Whether it may go on, after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopped.wait()
        except TimeoutError:
            return True
        return False


class RealtimeSession:
    """A session; ``run`` serves it.

    Attributes:
        items: the conversation as the service knows it.
        config: the session as it is configured.
    """

    def __init__(self, socket: Held, model: Model, model_name: str) -> None:
        self.id = f"sess_{next(_ids)}"
        self.items: list[Item] = []
        self.config: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": model_name,
            "output_modalities": ["audio"],
            "instructions": "You are a helpful assistant.",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                        "create_response": True,
                        "interrupt_response": True,
                    },
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "voice": "marin",
                    "speed": 1.0,
                },
            },
        }
        self._socket = socket
        self._model = model
        self._active: _Response | None = None
        self._spoke = False
        self._speech_id = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._activity = self._listen()

    @property
    def heard(self) -> bytes:
        """All the audio the client sent, in the format it was configured for."""
        return self._activity.heard

    async def run(self, cap_s: float) -> None:
        """Serve the session, for so many seconds at most.

        Raises:
            SocketClosed: the client has gone.
        """
        try:
            await self.say("session.created", session=self.config)
            async with asyncio.timeout(cap_s):
                while True:
                    await self._take(await self._socket.receive())
        except TimeoutError:
            await self._expire(cap_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._errors:
                raise self._errors[0]

    async def _expire(self, cap_s: float) -> None:
        message = f"Your session hit the maximum duration of {cap_s / 60:g} minutes."
        await self._object(Objection("session_expired", message, named=False), "", blame=False)
        await self._socket.close(1001, message)

    async def _take(self, message: str | bytes) -> None:
        event: dict[str, Any] = {}
        try:
            event = json.loads(message)
            check_event(event)
            await self._handle(event)
        except ValueError:
            await self._object(Objection("invalid_json", "We could not parse the JSON body."), "")
        except Objection as objection:
            await self._object(objection, event.get("event_id", ""))

    async def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                await self._update(event["session"])
            case "input_audio_buffer.append":
                await self._hear(pybase64.b64decode(event["audio"], validate=True))
            case "conversation.item.create":
                await self._create_item(event["item"])
            case "conversation.item.delete":
                self.items.remove(self._item(event["item_id"]))
                await self.say("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.truncate":
                await self._truncate(event)
            case "response.create":
                self._respond(event.get("response", {}).get("instructions"))
            case _:  # response.cancel, the last that is known
                self._cancel(event.get("response_id"))

    # What the client says.

    async def _update(self, session: dict[str, Any]) -> None:
        voice = self.config["audio"]["output"]["voice"]
        wanted = merged(self.config, session)
        if self._spoke and wanted["audio"]["output"]["voice"] != voice:
            raise Objection(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
            )
        self.config = wanted
        self._activity = self._listen()
        await self.say("session.updated", session=self.config)

    def _listen(self) -> Activity:
        hears: dict[str, Any] = self.config["audio"]["input"]
        return Activity(AUDIO[hears["format"]["type"]], hears["turn_detection"] or {})

    async def _create_item(self, wire: dict[str, Any]) -> None:
        call_id = wire.get("call_id")
        called = any(
            item.type == "function_call" and item.call_id == call_id for item in self.items
        )
        if wire["type"] == "function_call_output" and not called:
            raise Objection(
                "item_create_invalid_call_id",
                f"Tool call ID '{call_id}' not found in conversation.",
                "item.call_id",
            )
        await self._add(Item.given(wire, wire.get("id") or f"item_{next(_ids)}"))

    async def _add(self, item: Item) -> None:
        before = self.items[-1].id if self.items else None
        self.items.append(item)
        await self.say("conversation.item.added", previous_item_id=before, item=written(item))
        if item.status != "in_progress":
            await self.say("conversation.item.done", previous_item_id=before, item=written(item))

    def _item(self, item_id: str) -> Item:
        for item in self.items:
            if item.id == item_id:
                return item
        raise Objection("invalid_item_id", f"Item with item_id not found: {item_id}", "item_id")

    async def _truncate(self, event: dict[str, Any]) -> None:
        item = self._item(event["item_id"])
        speaks = AUDIO[self.config["audio"]["output"]["format"]["type"]]
        objection = cut(item, event["audio_end_ms"], speaks)
        if objection is not None:
            await self._object(objection, "")
        # The transcript is gone; what the model knows it said is what is left to be heard.
        item.text = await self._model.hear(item.audio, speaks)
        await self.say(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=event["content_index"],
            audio_end_ms=item.heard_ms,
        )

    def _cancel(self, response_id: str | None) -> None:
        active = self._active
        if active is None or (response_id and response_id != active.id):
            message = "Cancellation failed: no active response found"
            raise Objection("response_cancel_not_active", message)
        active.stop("client_cancelled")

    # What it hears.

    async def _hear(self, audio: bytes) -> None:
        turns = self.config["audio"]["input"]["turn_detection"]
        for at, speech in self._activity.push(audio):
            if not turns:
                continue
            if speech is None:
                self._speech_id = f"item_{next(_ids)}"
                await self.say(
                    "input_audio_buffer.speech_started",
                    audio_start_ms=at,
                    item_id=self._speech_id,
                )
                if self._active is not None and turns.get("interrupt_response", True):
                    self._active.stop("turn_detected")
            else:
                await self.say(
                    "input_audio_buffer.speech_stopped", audio_end_ms=at, item_id=self._speech_id
                )
                await self._commit(speech, respond=turns.get("create_response", True))

    async def _commit(self, speech: bytes, *, respond: bool) -> None:
        hears: dict[str, Any] = self.config["audio"]["input"]
        before = self.items[-1].id if self.items else None
        await self.say(
            "input_audio_buffer.committed", previous_item_id=before, item_id=self._speech_id
        )
        text = await self._model.hear(speech, AUDIO[hears["format"]["type"]])
        item = Item(
            id=self._speech_id, type="message", role="user", text=text, spoken=True, audio=speech
        )
        await self._add(item)
        if hears["transcription"]:
            self._start(self._transcribe(item))
        if respond:
            self._start(self._respond_next())

    async def _transcribe(self, item: Item) -> None:
        await asyncio.sleep(_TRANSCRIPT_S)
        await self.say(
            "conversation.item.input_audio_transcription.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.text,
            usage={"type": "duration", "seconds": 1},
        )

    # What it says.

    async def _respond_next(self) -> None:
        if self._active is not None:  # just interrupted
            await self._active.done.wait()
        if self._active is None:
            self._respond(None)

    def _respond(self, instructions: str | None) -> None:
        if self._active is not None:
            raise Objection(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        response = _Response(instructions or self.config["instructions"])
        self._active = response
        self._start(self._make(response))

    async def _make(self, response: _Response) -> None:
        try:
            await self.say("response.created", response=self._state(response, "in_progress"))
            await self.say("rate_limits.updated", rate_limits=_LIMITS)
            if status := self._model.failure():
                code = "rate_limit_exceeded" if status == 429 else "server_error"
                await self._finish(response, "failed", {"error": {"type": code, "code": code}})
                return
            if await response.pause(self._model.think_s):
                tools = tuple(self.config["tools"])
                asked = Asked(tuple(self.items), response.instructions, tools)
                outputs = await self._model.reply(asked)
                for output in outputs:
                    if response.stopped.is_set():
                        break
                    await (
                        self._call(response, output)
                        if isinstance(output, Calls)
                        else self._say(response, output)
                    )
            if response.stopped.is_set():
                await self._finish(response, "cancelled", {"reason": response.reason})
            else:
                await self._finish(response, "completed", None)
        finally:
            response.done.set()

    async def _finish(
        self, response: _Response, status: str, details: dict[str, Any] | None
    ) -> None:
        self._active = None
        state = self._state(response, status) | {
            "status_details": details and {"type": status} | details,
            "usage": usage(self.items, response.output),
        }
        await self.say("response.done", response=state)

    def _state(self, response: _Response, status: str) -> dict[str, Any]:
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": status,
            "status_details": None,
            "output": [written(item) for item in response.output],
            "conversation_id": f"conv_{self.id}",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "usage": None,
            "metadata": None,
        }

    async def _begin(self, response: _Response, item: Item) -> dict[str, Any]:
        where = {"response_id": response.id, "output_index": len(response.output)}
        response.output.append(item)
        await self.say("response.output_item.added", **where, item=written(item))
        await self._add(item)
        return where

    async def _end(self, item: Item, where: dict[str, Any]) -> None:
        await self.say("response.output_item.done", **where, item=written(item))
        await self.say("conversation.item.done", previous_item_id=None, item=written(item))

    async def _call(self, response: _Response, call: Calls) -> None:
        number = next(_ids)
        item = Item(
            id=f"item_{number}",
            type="function_call",
            name=call.name,
            call_id=f"call_{number}",
            status="in_progress",
        )
        where = await self._begin(response, item)
        item.arguments, item.status = call.arguments, "completed"
        named = where | {"item_id": item.id, "call_id": item.call_id}
        await self.say("response.function_call_arguments.delta", **named, delta=call.arguments)
        await self.say(
            "response.function_call_arguments.done",
            **named,
            name=call.name,
            arguments=call.arguments,
        )
        await self._end(item, where)

    async def _say(self, response: _Response, text: str) -> None:
        speaks = AUDIO[self.config["audio"]["output"]["format"]["type"]]
        audio = await self._model.speak(text, speaks)
        item = Item(
            id=f"item_{next(_ids)}",
            type="message",
            role="assistant",
            spoken=True,
            status="in_progress",
        )
        part = await self._begin(response, item) | {"item_id": item.id, "content_index": 0}
        where = {name: part[name] for name in ("response_id", "output_index")}
        content = {"type": "audio", "transcript": ""}
        await self.say("response.content_part.added", **part, part=content)
        self._spoke = True
        words, size = text.split(), speaks.bytes_in(_CHUNK_MS)
        for at in range(0, len(audio), size):
            until = at + size
            # The words run ahead of the sound.
            ahead = -(-len(words) * min(len(audio), until) // len(audio))
            if delta := " ".join(words[len(item.text.split()) : ahead]):
                delta = f" {delta}" if item.text else delta
                item.text += delta
                await self.say("response.output_audio_transcript.delta", **part, delta=delta)
            item.audio += audio[at:until]
            item.audio_ms = speaks.ms_in(len(item.audio))
            delta = pybase64.b64encode(audio[at:until]).decode()
            await self.say("response.output_audio.delta", **part, delta=delta)
            if not await response.pause(_CHUNK_MS / 1000 / self._model.speed):
                break
        item.status = "completed" if len(item.audio) == len(audio) else "incomplete"
        await self.say("response.output_audio.done", **part)
        await self.say("response.output_audio_transcript.done", **part, transcript=item.text)
        content = {"type": "audio", "transcript": item.text}
        await self.say("response.content_part.done", **part, part=content)
        await self._end(item, where)

    # The socket.

    async def _object(self, objection: Objection, event_id: str, *, blame: bool = True) -> None:
        if blame:
            self._model.complain(f"{objection.code}: {objection}")
        error = {
            "type": "invalid_request_error",
            "code": objection.code,
            "message": str(objection),
            "param": objection.param,
            "event_id": (event_id or None) if objection.named else None,
        }
        await self.say("error", error=error)

    async def say(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        event = {"type": kind, "event_id": f"event_{next(_ids)}"} | fields
        await self._socket.send(json.dumps(event))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SocketClosed):
            self._errors.append(error)


_LIMITS = [
    {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60},
    {"name": "tokens", "limit": 50000, "remaining": 49950, "reset_seconds": 0},
]
