"""What happens on a call, in words no carrier owns.

A carrier's bot end turns wire messages into ``FromCaller`` events and ``ToCaller`` events into
wire messages; its carrier end does the reverse for the simulator. ``Notice`` events are the same
for webhooks: what the carrier's HTTP requests tell about a call. This module knows no carrier,
no JSON, no clock and no socket.

Audio travels still encoded, as the carrier sent it or will get it; what encoding that is stands
once, in ``Started``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from .media.formats import AudioFormat
from .web import Response

__all__ = [
    "Answered",
    "Audio",
    "CallInfo",
    "CallState",
    "Clear",
    "Cleared",
    "Digit",
    "DigitPressed",
    "Digits",
    "Direction",
    "EndReason",
    "Ended",
    "Extra",
    "Failed",
    "FromCaller",
    "MachineDetected",
    "Mark",
    "Notice",
    "Offered",
    "Other",
    "Ringing",
    "Scripted",
    "Started",
    "Stopped",
    "ToCaller",
    "Who",
    "Why",
]


class Direction(StrEnum):
    """Who began the call: somebody called us, or we called somebody."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """Where a call stands, as its carrier's REST API tells it."""

    QUEUED = "queued"
    RINGING = "ringing"
    ACTIVE = "active"
    ENDED = "ended"


class Who(StrEnum):
    """Who ended a call."""

    CALLER = "caller"
    BOT = "bot"
    CARRIER = "carrier"
    OPERATOR = "operator"
    UNKNOWN = "unknown"


class Why(StrEnum):
    """Why a call ended."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TRANSFERRED = "transferred"
    LIMIT = "limit"
    BOT_ERROR = "bot_error"
    NETWORK = "network"
    PROTOCOL = "protocol"
    DRAIN = "drain"
    UNKNOWN = "unknown"


class EndReason(Struct, frozen=True):
    """Why a call ended, and who ended it; ``raw`` is the carrier's own word for it."""

    why: Why
    who: Who = Who.UNKNOWN
    raw: str = ""


class CallInfo(Struct, frozen=True, kw_only=True):
    """Who is on a call. Numbers are E.164 with ``+`` where the carrier's form allows telling.

    ``call_id`` and ``account_id`` are the carrier's own. ``dial_id`` is the id our ``dial``
    was answered with, where the carrier uses another one for the call itself. ``tag`` is the
    ``Dial.key`` the call was placed with, where the carrier gives it back.
    """

    carrier: str
    call_id: str
    account_id: str = ""
    from_: str = ""
    to: str = ""
    direction: Direction = Direction.INBOUND
    dial_id: str = ""
    tag: str = ""
    raw: Mapping[str, Any] = {}


# --- on the media socket ---------------------------------------------------------------------


class Started(Struct, frozen=True, kw_only=True):
    """The stream is open. From the caller's side, first and (on a healthy stream) once.

    ``inbound`` is the encoding of the caller's audio, ``outbound`` of ours. ``token`` is the
    media token where it rides in the stream rather than in the URL. ``stream_name`` is the name
    our answer gave the stream, where the carrier repeats it. Everything here is as the socket
    told it, hence unauthenticated until the token is checked.
    """

    call_id: str
    inbound: AudioFormat
    outbound: AudioFormat
    stream_id: str = ""
    stream_name: str = ""
    account_id: str = ""
    from_: str = ""
    to: str = ""
    token: str = ""
    parameters: Mapping[str, str] = {}


class Audio(Struct, frozen=True, gc=False):
    """Some audio, encoded as ``Started`` said for this direction; any length.

    ``timestamp`` is in ms since the stream began, on the carrier's clock; -1 where the carrier
    sends none. ``format`` is given at the carrier's end only, where each message says its own.
    """

    payload: bytes
    timestamp: int = -1
    format: AudioFormat | None = None


class Digit(Struct, frozen=True, gc=False):
    """The caller pressed one key: ``0``-``9``, ``*``, ``#``, ``A``-``D``."""

    digit: str
    duration_ms: int = -1


class Digits(Struct, frozen=True, gc=False):
    """Press these keys towards the caller, out of band, over the media socket."""

    digits: str


class Mark(Struct, frozen=True, gc=False):
    """To the carrier: say when playout gets here. From it: playout got here, or was cleared."""

    name: str


class Clear(Struct, frozen=True, gc=False):
    """Forget all audio that was sent and not yet played."""


class Cleared(Struct, frozen=True, gc=False):
    """The carrier acknowledges a ``Clear`` (only some do)."""


class Stopped(Struct, frozen=True, gc=False):
    """The carrier says that the stream is over."""

    reason: str = ""


class Failed(Struct, frozen=True, gc=False):
    """The carrier complains about something we sent, or reports a fault of its own."""

    code: str
    message: str = ""


class Extra(Struct, frozen=True):
    """A message this vocabulary has no word for, passed through raw."""

    kind: str
    fields: Mapping[str, Any]


FromCaller = Started | Audio | Digit | Mark | Cleared | Stopped | Failed | Extra
ToCaller = Audio | Mark | Clear | Digits | Extra


# --- on webhooks -----------------------------------------------------------------------------


class Offered(Struct, frozen=True):
    """A call wants a stream: an inbound call rings, or an outbound one was answered.

    ``again``: it had one before, and asks how to go on now that this is over. ``transfer`` is how
    a transfer ended, where it comes back from one: ``COMPLETED`` if the other party was reached.
    """

    call: CallInfo
    again: bool = False
    transfer: Why | None = None


class Ringing(Struct, frozen=True):
    """An outbound call rings at the far end."""

    call: CallInfo


class Answered(Struct, frozen=True):
    """Somebody picked up, and the stream is (or will be) opened without further ado."""

    call: CallInfo


class DigitPressed(Struct, frozen=True):
    """The caller pressed a key and the carrier tells by webhook rather than on the socket."""

    call_id: str
    digit: str


class MachineDetected(Struct, frozen=True):
    """Answering-machine detection has a result: ``human``, ``machine``, ``fax`` or ``unknown``."""

    call_id: str
    result: str
    raw: str = ""


class Scripted(Struct, frozen=True):
    """The call asks a URL that we made for it over REST: what it is told stands in that URL.

    ``response`` tells it, whatever else is known of the call.
    """

    call: CallInfo
    response: Response


class Ended(Struct, frozen=True):
    """The call is over; the carrier's final word on it."""

    call_id: str
    reason: EndReason
    dial_id: str = ""
    duration_s: float | None = None


class Other(Struct, frozen=True):
    """A webhook that asks nothing and changes nothing (a stream's life signs, say)."""

    kind: str
    call_id: str = ""
    fields: Mapping[str, Any] = {}


Notice = Offered | Ringing | Answered | DigitPressed | MachineDetected | Scripted | Ended | Other
