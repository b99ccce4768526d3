"""A session that is opened while the phone rings, for the call that may come.

Whoever holds the call then opens its sessions as ever, and has this one for the first. One that
could not be opened, is lost by then, or takes other audio than the line, is as good as none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from ...call import Call
from ...media.formats import AudioFormat
from .link import Link, Refused
from .talk import Plan, Talk, spoken
from .wire import ServerEvent

__all__ = ["Early"]


class Early:
    """A ``ReadyBot``. Make it in a running event loop; it begins to open a session at once.

    Args:
        plan: what all calls have in common.
        hears: what the line is expected to bring …
        says: … and to take.
    """

    def __init__(self, plan: Plan, hears: AudioFormat, says: AudioFormat) -> None:
        self._plan = plan
        self._formats = spoken(hears), spoken(says)
        # Tried once: the call itself has more patience.
        opening = asyncio.ensure_future(plan.open(*self._formats, _ignore, _ignore))
        self._opening: asyncio.Future[Link] | None = opening

    async def __call__(self, call: Call) -> None:
        """Talk with the caller."""
        try:
            await Talk(call, replace(self._plan, open=self._open)).run()
        finally:
            await self.close()

    async def close(self) -> None:
        """End the session, unless a call has it."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        opening.cancel()
        (opened,) = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(opened, Link):
            await opened.close()

    async def _open(
        self,
        hears: AudioFormat,
        says: AudioFormat,
        deliver: Callable[[Link, ServerEvent], None],
        lost: Callable[[Link, str], None],
    ) -> Link:
        """See ``Plan.open``."""
        if self._opening is not None and (hears, says) == self._formats:
            try:
                link = await asyncio.shield(self._opening)
            except Refused:
                self._opening = None
            else:
                if link.hand_over(deliver, lost):
                    self._opening = None
                    return link
        await self.close()
        return await self._plan.open(hears, says, deliver, lost)


def _ignore(link: Link, what: object) -> None:
    """Nobody speaks yet; a session that is lost now is found lost when it is wanted."""
