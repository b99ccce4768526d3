"""A session that tells an observer of its call, and notes how evenly the caller's messages come.

It does what any session does. What is added to a message is one comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from ..events import Clear, Digits, Extra
from ..link import Link
from ..media.playout import Change, ChangeKind
from ..session import Session
from .buckets import Buckets
from .observer import Observer
from .playout import ObservedPlayout, Sending

if TYPE_CHECKING:
    from ..call import Bot
    from ..carrier import Carrier, Hooks, Stream
    from ..events import CallInfo, FromCaller, Started, ToCaller
    from ..limits import Limits
    from ..rest import Rest
    from ..sockets import MediaSocket

__all__ = ["CallState", "ObservedSession"]

GAP_S = 0.06
"""Carriers send every 20 ms; messages further apart than this are noted."""


class CallState(StrEnum):
    """Where a call stands that has a session."""

    ACTIVE = "active"
    REATTACHING = "reattaching"
    """Its socket is gone and another is waited for."""
    TRANSFERRING = "transferring"
    """The caller is with somebody else; the bot waits."""
    ENDING = "ending"
    """It is being hung up and tidied away."""


class ObservedSession(Session):
    """``Session``, observed.

    Args:
        observer: is told of the call.
        sending: where it is noted how well audio leaves.
        gaps: where it is noted how far apart messages come, in seconds.
        setup: seconds since the call's webhook came; ``None`` where none is known of.

    The others are ``Session``'s.
    """

    playout_type = ObservedPlayout
    playout: ObservedPlayout

    def __init__(
        self,
        carrier: Carrier,
        info: CallInfo,
        started: Started,
        bot: Bot,
        rest: Rest,
        hooks: Hooks,
        limits: Limits,
        on_over: Callable[[Session], None],
        on_lost: Callable[[Session], None],
        *,
        observer: Observer,
        sending: Sending,
        gaps: Buckets,
        setup: float | None,
    ) -> None:
        super().__init__(carrier, info, started, bot, rest, hooks, limits, on_over, on_lost)
        self._observer = observer
        self._gaps = gaps
        self.began = self.now()
        """When its first socket was there; seconds, monotonic."""
        self._answered_at = self.began - (setup or 0.0)
        self._silent = True
        self.playout.watched_by(sending, self._told)

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        if self._reason is not None:
            return CallState.ENDING
        if self._transfer is not None:
            return CallState.TRANSFERRING
        return CallState.ACTIVE if self._link is not None else CallState.REATTACHING

    async def attach(
        self,
        socket: MediaSocket,
        stream: Stream[FromCaller, ToCaller],
        started: Started,
        rest: list[FromCaller],
    ) -> None:
        if self._attachments:
            self._observer.rejoined(self.info)
        await super().attach(socket, stream, started, rest)

    def _take(self, link: Link, message: str | bytes) -> None:
        watch = self._watch
        before = watch.message_at
        super()._take(link, message)
        if watch.message_at - before > GAP_S:
            self._gaps.add(watch.message_at - before)

    def _told(self, change: Change) -> None:
        ago = self.now() - change.at
        if self._silent and change.kind is ChangeKind.STARTED:
            self._silent = False
            self._observer.first_audio(self.info, change.at - self._answered_at, ago)
        self._observer.changed(self.info, change, ago)

    def clear(self) -> None:
        # Not the loop's clock: some tick in whole milliseconds.
        self._wished_at = time.perf_counter()
        super().clear()

    def say(self, event: Clear | Digits | Extra) -> bool:
        said = super().say(event)
        link = self._link
        if said and type(event) is Clear and link is not None:
            if link.stalled:
                self._errand(self._clear_leaves(link, self._wished_at))
            else:
                self._observer.cleared(self.info, time.perf_counter() - self._wished_at)
        return said

    async def _clear_leaves(self, link: Link, wished_at: float) -> None:
        if await link.drained():
            self._observer.cleared(self.info, time.perf_counter() - wished_at)
