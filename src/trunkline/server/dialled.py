"""A call that somebody wished for, and what has become of it.

Kept from the wish on, whether or not the carrier ever takes it. What it learns it is told by the
dialler, which knows how; this module knows no carrier and places nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from ..call import Bot
from ..events import CallInfo, Direction, EndReason

__all__ = ["DialState", "Dialled", "Wish"]

_ADDRESS = re.compile(r"\+[1-9][0-9]{6,14}|sips?:[!-~]{1,250}")
_KEY = re.compile(r"[ -~]{1,255}")


class DialState(StrEnum):
    """Where a wish stands."""

    QUEUED = "queued"
    """It waits for its turn."""
    PLACING = "placing"
    """The carrier is being asked."""
    UNKNOWN = "unknown"
    """The carrier was asked and did not answer: a webhook will tell, or its absence."""
    PLACED = "placed"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"
    """The call is over, answered or not; ``reason`` says."""
    FAILED = "failed"
    """There was no call; ``error`` says why."""


_RANK = {state: rank for rank, state in enumerate(DialState)}
_TOLD = _RANK[DialState.RINGING]
_OVER = (DialState.ENDED, DialState.FAILED)


class Wish(Struct, frozen=True, kw_only=True):
    """A call to be placed: who calls whom over which carrier, and what is to happen then.

    Args:
        carrier: its name.
        to: whom to call: E.164 with ``+``, or a ``sip:`` address where the carrier takes those.
        from_: the number to call from, one of yours at that carrier; likewise.
        bot: what speaks when somebody answers; ``None`` for the server's own.
        parameters: what the bot finds in ``call.parameters``.
        ring_timeout: seconds it may ring, 5 to 120.
        max_duration: seconds the call may last, 60 to 14,400; the carrier ends it then.
        detect_machine: ask the carrier whether a machine answered.

    Raises:
        ValueError: one of these is none.
    """

    carrier: str
    to: str
    from_: str
    bot: Bot | None = None
    parameters: Mapping[str, str] = {}
    ring_timeout: int = 30
    max_duration: int = 14_400
    detect_machine: bool = False

    def __post_init__(self) -> None:
        for number in (self.to, self.from_):
            if not _ADDRESS.fullmatch(number):
                raise ValueError("a number is written with + and its country: +12025550123")
        if not 5 <= self.ring_timeout <= 120:
            raise ValueError("ring_timeout is 5 to 120 seconds")
        if not 60 <= self.max_duration <= 14_400:
            raise ValueError("max_duration is 60 to 14400 seconds")


class Dialled:
    """A wish and its call; made by ``Server.dial``.

    ``id`` names it everywhere: in webhooks' URLs, in the HTTP API, as ``call.info.tag``. ``key``
    is the caller's own, which makes a wish that is repeated the same wish. ``call_id`` is the
    carrier's, empty until it is known. ``machine`` is what answering-machine detection said.
    ``times`` holds when each state was reached first, in seconds since the epoch.

    Raises:
        ValueError: the key is longer than 255 characters, or not all printable ASCII.
    """

    def __init__(self, wish: Wish, key: str, clock: Callable[[], float]) -> None:
        self.id = secrets.token_urlsafe(12)
        self.key = key or self.id
        if not _KEY.fullmatch(self.key):
            raise ValueError("a key is 1 to 255 printable ASCII characters")
        self.wish = wish
        self.state = DialState.QUEUED
        self.times = {self.state: clock()}
        self.call_id = ""
        self.dial_id = ""
        self.tries = 0
        self.machine = ""
        self.reason: EndReason | None = None
        self.error = ""
        self.unwanted = False
        """It was taken back, and is hung up as soon as that can be done."""
        self.joined = False
        """A bot is on the call, so that the session decides when it is over."""
        self.on_change: list[Callable[[Dialled], object]] = []
        """Called with this whenever its state has changed; must not block."""
        self.heard = asyncio.Event()
        """Something proved that the call exists."""
        self._clock = clock
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()

    # What its owner asks.

    async def answered(self) -> bool:
        """Wait until somebody (or a machine) answers, or never will; says which."""
        await self._settled.wait()
        return DialState.ANSWERED in self.times

    async def ended(self) -> EndReason:
        """Wait until the call is over, be it because it never came about, and say why."""
        await self._ended.wait()
        assert self.reason is not None
        return self.reason

    @property
    def over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in _OVER

    @property
    def info(self) -> CallInfo:
        """The call as the carrier has it, as far as that is known."""
        return CallInfo(
            carrier=self.wish.carrier,
            call_id=self.call_id or self.dial_id,
            from_=self.wish.from_,
            to=self.wish.to,
            direction=Direction.OUTBOUND,
            dial_id=self.dial_id,
            tag=self.id,
        )

    # What it is told.

    def told(self, call: CallInfo) -> CallInfo:
        """``call``, with what the carrier does not tell of it and is known here."""
        return msgspec.structs.replace(
            call,
            from_=call.from_ or self.wish.from_,
            to=call.to or self.wish.to,
            direction=Direction.OUTBOUND,
            dial_id=call.dial_id or self.dial_id,
            tag=self.id,
        )

    def reach(self, state: DialState) -> None:
        """It stands so now. What webhooks told is not taken back by what REST says later."""
        if self.over or _RANK[state] < _RANK[self.state] >= _TOLD:
            return
        changed, self.state = self.state is not state, state
        self.times.setdefault(state, self._clock())
        if state is DialState.ANSWERED or self.over:
            self._settled.set()
        if self.over:
            self.heard.set()
            self._ended.set()
        if changed:
            for tell in self.on_change:
                tell(self)

    def close(self, state: DialState, reason: EndReason, error: str = "") -> None:
        """It is over; the first reason counts."""
        if not self.over:
            self.reason, self.error = reason, error
            self.reach(state)

    def owns(self, *ids: str) -> bool:
        """Whether a call of these ids (the carrier's) is this wish's.

        A wish that was tried again may have become two calls after all; the first heard of is it.
        """
        known = {self.call_id or self.dial_id} - {""}
        return self.tries <= 1 or not known or bool(known & set(ids))

    def wants(self, call: CallInfo) -> bool:
        """Whether this call, which asks what to do, is to be taken."""
        return self.owns(call.call_id, call.dial_id) and not self.unwanted and not self.over
