"""The sessions a call is talked through with: one at a time, the next opened before the last ends.

A session lives for an hour at most ("The maximum duration of a Realtime session is 60 minutes",
developers.openai.com/api/docs/guides/realtime-conversations, read 2026-11-21), and its socket may
break at any time. The owner is told when there is another, and tells it what was said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from .link import Link, Refused, dial
from .wire import ServerEvent

__all__ = ["Sessions"]

log = logging.getLogger("trunkline.bots")

LOSSES = 5
"""More sessions than these lost within ``LOSSES_S``, and we give up."""
LOSSES_S = 60.0
AHEAD_S = 300.0
"""How long before a session's end the next is opened, at most: a quarter of its time."""
HURRY_S = 5.0
"""How long before its end a session is left even in mid-word, at most: a twentieth."""
AGAIN_S = 10.0
"""How long after the next could not be opened that is tried again."""

Open = Callable[[Callable[[Link, ServerEvent], None], Callable[[Link, str], None]], Awaitable[Link]]
"""Opens a session: who is told of its events, and of its loss."""


class Sessions:
    """Keeps a session open.

    Args:
        open_one: opens one; tries once.
        session_s: how long one lives.
        post: has a function called in the owner's own loop; all below are called there.
        on_event: told what the current session says.
        on_ready: told that there is another session, not yet written to.
        on_lost: told that the current one is gone.
    """

    def __init__(
        self,
        open_one: Open,
        session_s: float,
        post: Callable[[Callable[[], None]], None],
        on_event: Callable[[Link, ServerEvent], None],
        on_ready: Callable[[Link], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.current: Link | None = None
        self.losses = 0
        self._open_one = open_one
        self._session_s = session_s
        self._post = post
        self._on_event = on_event
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._spare: Link | None = None
        self._spare_at = 0.0
        self._links: set[Link] = set()
        self._lost_at: list[float] = []
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to open a session, unless that is under way."""
        if self._opening is None:
            self._opening = self._loop.create_task(self._dial())

    def alarms(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What is to happen when."""
        if self.current is None:
            return
        ends = self.current.opened_at + self._session_s
        if self._spare is not None:
            yield ends - min(HURRY_S, self._session_s / 20), self._hurry
        elif self._opening is None:
            yield max(ends - min(AHEAD_S, self._session_s / 4), self._spare_at), self.open

    @property
    def has_next(self) -> bool:
        """Whether the next session is open."""
        return self._spare is not None

    def renew(self) -> None:
        """Nobody speaks: go over to the next session."""
        if self._spare is not None:
            self._adopt(self._spare)

    def lose(self, why: str) -> None:
        """The current session is of no use any more."""
        if self.current is not None:
            self._lose(self.current, why)

    async def close(self) -> None:
        """End every session."""
        tasks = [*self._closing, *([self._opening] if self._opening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links))

    async def _dial(self) -> None:
        try:
            link = await dial(self._attempt)
            self._post(lambda: self._opened(link))
        except Exception as error:
            failed = error
            self._post(lambda: self._not_opened(failed))

    async def _attempt(self) -> Link:
        link = await self._open_one(
            lambda link, event: self._post(lambda: self._heard(link, event)),
            lambda link, why: self._post(lambda: self._lose(link, why)),
        )
        self._links.add(link)
        return link

    def _heard(self, link: Link, event: ServerEvent) -> None:
        if link is self.current:
            self._on_event(link, event)

    def _opened(self, link: Link) -> None:
        self._opening = None
        if self.current is None:
            self._adopt(link)
        else:
            self._spare = link

    def _not_opened(self, error: Exception) -> None:
        self._opening = None
        if self.current is None or not isinstance(error, Refused):
            raise error
        log.warning("no next session", extra={"why": str(error)})
        self._spare_at = self._loop.time() + AGAIN_S

    def _adopt(self, link: Link) -> None:
        old, self.current = self.current, link
        if self._spare is link:
            self._spare = None
        if old is not None:
            self._retire(old)
        self._on_ready(link)

    def _hurry(self) -> None:
        """The current session ends while somebody speaks: as good as lost, but not by surprise."""
        if self.current is not None:
            self._give_up(self.current)

    def _lose(self, link: Link, why: str) -> None:
        if link is self._spare:
            self._spare = None
            self._spare_at = self._loop.time() + AGAIN_S
            self._retire(link)
        elif link is self.current:
            log.warning("session lost", extra={"why": why})
            self.losses += 1
            now = self._loop.time()
            self._lost_at = [at for at in self._lost_at if at > now - LOSSES_S] + [now]
            if len(self._lost_at) > LOSSES:
                raise Refused(f"{len(self._lost_at)} sessions lost in {LOSSES_S:g} s: {why}")
            self._give_up(link)

    def _give_up(self, link: Link) -> None:
        self.current = None
        self._retire(link)
        self._on_lost()
        if self._spare is not None:
            self._adopt(self._spare)
        else:
            self.open()

    def _retire(self, link: Link) -> None:
        closing = self._loop.create_task(self._end(link))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _end(self, link: Link) -> None:
        await link.close()
        self._links.discard(link)
