"""What can be asked of a call over REST, and what a simulated carrier's REST API asks of its calls.

A platform is the mirror of a flow: where a flow yields requests, it yields ``Command``s to the
simulated exchange and is sent ``Leg``s.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import StrEnum

from msgspec import Struct

from .answers import Offer, Step
from .events import CallInfo, CallState, EndReason
from .web import Response

__all__ = [
    "Command",
    "Control",
    "Dial",
    "Fetch",
    "Find",
    "HangUpLeg",
    "Instruct",
    "Leg",
    "Place",
    "Platform",
    "Press",
]


class Control(StrEnum):
    """What can be asked of a call over REST; each is the method of that name."""

    HANG_UP = "hang_up"
    STATE = "state"
    DIAL = "dial"
    TRANSFER = "transfer"
    SEND_DIGITS = "send_digits"
    CHECK = "check"


class Dial(Struct, frozen=True, kw_only=True):
    """A call to be placed. Numbers are E.164 with ``+``; times in seconds.

    ``key`` identifies the wish, not the attempt: it rides along as the carrier's tag where there
    is one, so that an attempt whose answer was lost can be found again.
    """

    to: str
    from_: str
    offer: Offer
    ring_timeout: int = 30
    max_duration: int = 14400
    detect_machine: bool = False
    key: str = ""


class Leg(Struct, frozen=True, kw_only=True):
    """A call as the simulated carrier sees it."""

    call: CallInfo
    state: CallState
    reason: EndReason | None = None
    tag: str = ""
    duration_s: float = 0.0


class Find(Struct, frozen=True):
    """Platform asks the simulator: which call is this? Answered with its ``Leg`` or ``None``."""

    call_id: str


class HangUpLeg(Struct, frozen=True):
    """Platform tells the simulator to end a call."""

    call_id: str


class Instruct(Struct, frozen=True):
    """Platform tells the simulator what the call does next, in place of what it does now.

    The media socket is closed first, unless ``keep_stream``.
    """

    call_id: str
    steps: Sequence[Step]
    keep_stream: bool = False


class Fetch(Struct, frozen=True):
    """Platform tells the simulator to ask a webhook what the call does next."""

    call_id: str
    url: str
    method: str = "POST"


class Place(Struct, frozen=True, kw_only=True):
    """Platform tells the simulator to place a call. Answered with its ``Leg``.

    Once answered, the call asks ``answer_url``, or follows ``steps`` where the request had them.
    ``dial_id`` is what the request is answered with, where that is not the call's own id.
    """

    to: str
    from_: str
    answer_url: str = ""
    status_url: str = ""
    steps: Sequence[Step] = ()
    ring_timeout: float = 30.0
    detect_machine: bool = False
    tag: str = ""
    dial_id: str = ""


class Press(Struct, frozen=True):
    """Platform tells the simulator to press keys towards the caller, out of band."""

    call_id: str
    digits: str


Command = Find | HangUpLeg | Instruct | Fetch | Place | Press
Platform = Generator[Command, Leg | None, Response]
"""A carrier's REST API without I/O: yields commands, is sent legs, returns the HTTP answer."""
