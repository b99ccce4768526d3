"""A limiter on the event loop's clock, and who waits for it."""

from __future__ import annotations

import asyncio

from .limiter import Limiter, Ticket

__all__ = ["Turns"]


class Turns:
    """Wakes whoever's turn it is; made within a running loop.

    Args:
        limiter: says whose turn it is, and when; its times are the loop's.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, *, first: bool) -> Ticket:
        """Wait for a turn, which lasts until ``leave``; see ``Limiter.join``."""
        ticket = self._limiter.join(first=first)
        self._waiters[ticket] = self._loop.create_future()
        self._arrange()
        try:
            await self._waiters[ticket]
        except asyncio.CancelledError:
            self.leave(ticket)
            raise
        finally:
            self._waiters.pop(ticket, None)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """A turn is over."""
        self._limiter.leave(ticket)
        self._arrange()

    def refused(self, retry_after: float | None) -> None:
        """See ``Limiter.refused``."""
        self._limiter.refused(self._loop.time(), retry_after)
        self._arrange()

    def taken(self) -> None:
        """See ``Limiter.taken``."""
        self._limiter.taken()

    def _arrange(self) -> None:
        """Give the turns that have come, and set the clock for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while ticket := self._limiter.due(self._loop.time()):
            waiter = self._waiters[ticket]
            if not waiter.done():
                waiter.set_result(None)
        due = self._limiter.next_due()
        if due is not None:
            self._timer = self._loop.call_at(due, self._arrange)
