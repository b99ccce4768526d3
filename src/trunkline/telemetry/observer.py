"""What can be told of calls, and who is told.

An ``Observer`` is told what becomes of webhooks, calls and requests, once each and after the
fact; it may not block, nor raise. Nothing here is per message. Numbers, keys and words of callers
are not among what it is told; a ``CallInfo`` is, and what it keeps of one is its own care.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from enum import StrEnum

from msgspec import Struct

from ..events import CallInfo, EndReason
from ..media.playout import Change

__all__ = ["CallEnd", "HangUp", "Observer", "Observers", "Reply", "Turned"]


class Turned(StrEnum):
    """Why somebody was turned away at one of our doors."""

    SIGNATURE = "signature"
    """A webhook or a socket's upgrade does not prove that the carrier sent it."""
    UNREADABLE = "unreadable"
    """A webhook is not what the carrier documents."""
    TOO_LARGE = "too_large"
    """A webhook's body."""
    TOKEN = "token"  # noqa: S105
    """A socket's token is none of ours, too old, or used."""
    NO_START = "no_start"
    """A socket does not say whose it is."""
    CALL = "call"
    """A socket is not for the call that its token was made for, or that call is not wanted."""


class HangUp(StrEnum):
    """What came of asking a carrier to end a call."""

    CONFIRMED = "confirmed"
    """The carrier was asked, and said that the call has ended."""
    UNCONFIRMED = "unconfirmed"
    """It was asked, and did not say so in time."""
    UNASKED = "unasked"
    """It took the request and cannot be asked."""
    FAILED = "failed"
    """It did not take the request."""


class Reply(StrEnum):
    """What came of one REST request."""

    OK = "ok"
    RATE = "rate_limited"
    CLIENT = "client_error"
    SERVER = "server_error"
    TIMEOUT = "timeout"
    LOST = "connection_lost"
    NOT_SENT = "not_sent"


class CallEnd(Struct, frozen=True):
    """A call that is over: why, whether the carrier said so, how many seconds it lasted."""

    reason: EndReason
    confirmed: bool
    seconds: float


class Observer:
    """Is told, and does nothing: what measures or traces says more.

    Times are seconds; ``ago`` is how long before now.
    """

    # The doors.

    def webhook_refused(self, carrier: str, why: Turned) -> None:
        """A webhook was turned away."""

    def socket_refused(self, carrier: str, why: Turned) -> None:
        """A media socket was turned away."""

    def call_refused(self, carrier: str, *, draining: bool) -> None:
        """A caller was told busy: the server stops, or is full."""

    # A call.

    def begun(self, call: CallInfo, ago: float | None) -> None:
        """A call is taken, by the answer to a webhook that came ``ago``, or by its socket alone."""

    def abandoned(self, call: CallInfo) -> None:
        """An answered call's socket never came."""

    def within(self, call: CallInfo) -> AbstractContextManager[None]:
        """What a call's bot, and errands for the call, are run in."""
        return nullcontext()

    def joined(self, call: CallInfo, setup: float | None) -> None:
        """A call's first socket is there, ``setup`` after its webhook came, where one had."""

    def lost(self, call: CallInfo) -> None:
        """A call's socket was lost."""

    def rejoined(self, call: CallInfo) -> None:
        """A call has another socket."""

    def first_audio(self, call: CallInfo, after: float, ago: float) -> None:
        """The caller began to hear us for the first time, ``after`` the call's webhook."""

    def changed(self, call: CallInfo, change: Change, ago: float) -> None:
        """The caller began to hear something, or heard the last of it."""

    def cleared(self, call: CallInfo, took: float) -> None:
        """A barge-in: from the wish to stop until the carrier's clear was written."""

    def over(self, call: CallInfo, end: CallEnd) -> None:
        """A call is over, hung up and tidied away."""

    # Requests.

    def hanging_up(self, call: CallInfo) -> AbstractContextManager[None]:
        """What a call is hung up in."""
        return nullcontext()

    def hung_up(self, call: CallInfo, outcome: HangUp) -> None:
        """What came of it; told within ``hanging_up``."""

    def sent(self, carrier: str, method: str, reply: Reply, took: float) -> None:
        """A REST request was made, once: each repetition is told."""

    def dialled(self, carrier: str, outcome: str) -> None:
        """A wish to call somebody is settled: ``answered``, or a ``Why``."""


class Observers(Observer):
    """Several, told one after the other."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = tuple(observers)

    def webhook_refused(self, carrier: str, why: Turned) -> None:
        for one in self._all:
            one.webhook_refused(carrier, why)

    def socket_refused(self, carrier: str, why: Turned) -> None:
        for one in self._all:
            one.socket_refused(carrier, why)

    def call_refused(self, carrier: str, *, draining: bool) -> None:
        for one in self._all:
            one.call_refused(carrier, draining=draining)

    def begun(self, call: CallInfo, ago: float | None) -> None:
        for one in self._all:
            one.begun(call, ago)

    def abandoned(self, call: CallInfo) -> None:
        for one in self._all:
            one.abandoned(call)

    @contextmanager
    def within(self, call: CallInfo) -> Generator[None]:
        with ExitStack() as stack:
            for one in self._all:
                stack.enter_context(one.within(call))
            yield

    def joined(self, call: CallInfo, setup: float | None) -> None:
        for one in self._all:
            one.joined(call, setup)

    def lost(self, call: CallInfo) -> None:
        for one in self._all:
            one.lost(call)

    def rejoined(self, call: CallInfo) -> None:
        for one in self._all:
            one.rejoined(call)

    def first_audio(self, call: CallInfo, after: float, ago: float) -> None:
        for one in self._all:
            one.first_audio(call, after, ago)

    def changed(self, call: CallInfo, change: Change, ago: float) -> None:
        for one in self._all:
            one.changed(call, change, ago)

    def cleared(self, call: CallInfo, took: float) -> None:
        for one in self._all:
            one.cleared(call, took)

    def over(self, call: CallInfo, end: CallEnd) -> None:
        for one in self._all:
            one.over(call, end)

    @contextmanager
    def hanging_up(self, call: CallInfo) -> Generator[None]:
        with ExitStack() as stack:
            for one in self._all:
                stack.enter_context(one.hanging_up(call))
            yield

    def hung_up(self, call: CallInfo, outcome: HangUp) -> None:
        for one in self._all:
            one.hung_up(call, outcome)

    def sent(self, carrier: str, method: str, reply: Reply, took: float) -> None:
        for one in self._all:
            one.sent(carrier, method, reply, took)

    def dialled(self, carrier: str, outcome: str) -> None:
        for one in self._all:
            one.dialled(carrier, outcome)
