"""OpenAI's Realtime messages: what is said to the service, and what is listened to of its answers.

Shapes are those of the API reference (developers.openai.com/api/reference/resources/realtime,
"client events" and "server events", read 2026-11-21) and of the types in the ``openai`` package
3.54. Only fields that are used are declared; whatever else comes is passed over, and so are kinds
of events that mean nothing to a phone call.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...errors import RemoteProtocolError
from .session import SessionConfig

__all__ = [
    "Append",
    "AudioDelta",
    "AudioDone",
    "Cancel",
    "ClientEvent",
    "Committed",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "ErrorDetails",
    "ErrorEvent",
    "FunctionCall",
    "FunctionCallOutput",
    "InputText",
    "Item",
    "ItemDone",
    "Message",
    "OutputItem",
    "OutputText",
    "RateLimits",
    "ResponseCreated",
    "ResponseDone",
    "ResponseOver",
    "ResponseParams",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdate",
    "SessionUpdated",
    "SpeechStarted",
    "SpeechStopped",
    "Transcribed",
    "TranscriptDelta",
    "TranscriptDone",
    "Truncate",
    "decode",
    "encode",
]

# --- items of a conversation ------------------------------------------------------------------


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """Text from a user or the system."""

    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """Text from the model."""

    text: str


class Message(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """Somebody's words. Of the model's, only text can be brought in, no audio."""

    id: str
    role: Literal["user", "assistant", "system"]
    content: tuple[InputText | OutputText, ...]


class FunctionCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """The model wants a function called; ``arguments`` is JSON."""

    id: str
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"
):
    """What came of it; free text."""

    id: str
    call_id: str
    output: str


Item = Message | FunctionCall | FunctionCallOutput


# --- what is said to the service --------------------------------------------------------------


class SessionUpdate(Struct, frozen=True, tag_field="type", tag="session.update"):
    """Configures the session; answered by ``session.updated`` or ``error``."""

    session: SessionConfig


class Append(Struct, frozen=True, tag_field="type", tag="input_audio_buffer.append"):
    """The caller's audio; base64 on the wire. Not answered."""

    audio: bytes


class CreateItem(Struct, frozen=True, tag_field="type", tag="conversation.item.create"):
    """Adds an item at the end of the conversation."""

    item: Item


class DeleteItem(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="conversation.item.delete"
):
    """Takes an item out of the conversation."""

    event_id: str
    item_id: str


class Truncate(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="conversation.item.truncate"
):
    """The caller heard so much of an item and no more; also drops its transcript.

    "If the audio_end_ms is greater than the actual audio duration, the server will respond with
    an error."
    """

    event_id: str
    item_id: str
    audio_end_ms: int
    content_index: int


class ResponseParams(Struct, frozen=True):
    """What is different for one response; these instructions replace the session's."""

    instructions: str | UnsetType = UNSET


class CreateResponse(Struct, frozen=True, tag_field="type", tag="response.create"):
    """Has the model respond now. An error while another response is active."""

    response: ResponseParams


class Cancel(Struct, frozen=True, kw_only=True, tag_field="type", tag="response.cancel"):
    """Stops a response. An error, which changes nothing, where it is over already."""

    event_id: str
    response_id: str


ClientEvent = SessionUpdate | Append | CreateItem | DeleteItem | Truncate | CreateResponse | Cancel


# --- what is listened to ----------------------------------------------------------------------


class SessionCreated(Struct):
    """The first event of a session."""


class SessionUpdated(Struct):
    """It is as we want it."""


class ErrorDetails(Struct):
    """What went wrong; ``event_id`` is that of our event, often missing."""

    type: str = ""
    code: str | None = None
    message: str = ""
    param: str | None = None
    event_id: str | None = None


class ErrorEvent(Struct):
    """Something went wrong; most often the session stays open all the same."""

    error: ErrorDetails


class SpeechStarted(Struct):
    """The caller began to speak; by then the service has cancelled its own response."""

    item_id: str


class SpeechStopped(Struct):
    """The caller fell silent; a commit and a response follow."""

    item_id: str


class Committed(Struct):
    """What the caller said became an item."""

    item_id: str


class Transcribed(Struct):
    """What the caller said in an item."""

    item_id: str
    transcript: str


class ResponseRef(Struct):
    """A response that began."""

    id: str


class ResponseCreated(Struct):
    """The model begins to respond."""

    response: ResponseRef


class AudioDelta(Struct):
    """A piece of audio of an item, base64 on the wire; comes faster than it is spoken."""

    response_id: str
    item_id: str
    content_index: int
    delta: bytes


class AudioDone(Struct):
    """No more audio comes of an item."""

    item_id: str


class TranscriptDelta(Struct):
    """A piece of what the model says; runs ahead of the audio."""

    item_id: str
    delta: str


class TranscriptDone(Struct):
    """All the model says in an item."""

    item_id: str
    transcript: str


class OutputItem(Struct):
    """An item of a response; of one that is no function call only ``type`` is of interest."""

    type: str
    id: str = ""
    status: str = ""
    name: str = ""
    call_id: str = ""
    arguments: str = ""


class ItemDone(Struct):
    """An item of a response is whole, or will be no wholer."""

    response_id: str
    item: OutputItem


class StatusError(Struct):
    """Why a response failed."""

    code: str | None = None


class StatusDetails(Struct):
    """Why a response is not what it should be."""

    reason: str | None = None
    error: StatusError | None = None


class Usage(Struct):
    """What a response is billed as."""

    input_tokens: int = 0
    output_tokens: int = 0


class ResponseOver(Struct):
    """A response that ended: completed, cancelled, failed or incomplete."""

    id: str
    status: str
    status_details: StatusDetails | None = None
    usage: Usage | None = None


class ResponseDone(Struct):
    """The response has ended."""

    response: ResponseOver


class RateLimit(Struct):
    """What is left of a limit."""

    name: str = ""
    remaining: int | None = None


class RateLimits(Struct):
    """What is left of every limit."""

    rate_limits: list[RateLimit]


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | ErrorEvent
    | SpeechStarted
    | SpeechStopped
    | Committed
    | Transcribed
    | ResponseCreated
    | AudioDelta
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | ItemDone
    | ResponseDone
    | RateLimits
)

_KINDS: dict[str, type[ServerEvent]] = {
    "session.created": SessionCreated,
    "session.updated": SessionUpdated,
    "error": ErrorEvent,
    "input_audio_buffer.speech_started": SpeechStarted,
    "input_audio_buffer.speech_stopped": SpeechStopped,
    "input_audio_buffer.committed": Committed,
    "conversation.item.input_audio_transcription.completed": Transcribed,
    "response.created": ResponseCreated,
    "response.output_audio.delta": AudioDelta,
    "response.output_audio.done": AudioDone,
    "response.output_audio_transcript.delta": TranscriptDelta,
    "response.output_audio_transcript.done": TranscriptDone,
    "response.output_item.done": ItemDone,
    "response.done": ResponseDone,
    "rate_limits.updated": RateLimits,
}
_DECODERS = {kind: msgspec.json.Decoder(shape) for kind, shape in _KINDS.items()}


class _Any(Struct):
    type: str


_KIND = msgspec.json.Decoder(_Any)
_ENCODER = msgspec.json.Encoder()


def encode(event: ClientEvent) -> str:
    """An event as the text of a message."""
    return _ENCODER.encode(event).decode()


def decode(message: str | bytes) -> ServerEvent | None:
    """The event in a message; ``None`` for one that means nothing to a call.

    Raises:
        RemoteProtocolError: it is no event of the service.
    """
    try:
        decoder = _DECODERS.get(_KIND.decode(message).type)
        return decoder.decode(message) if decoder else None
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(f"not a Realtime event: {error}") from None
