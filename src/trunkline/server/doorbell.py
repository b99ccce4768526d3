"""Bots that get ready while the phone rings, and what they got ready if nobody comes.

A bot that has a method ``ringing`` is told of a call as soon as it is likely: a verified webhook
offers it and we take it, or a carrier took our wish to place it. What it gives answers the call;
if the call never comes, that is closed.

Nobody waits for ``ringing``. What is not there when the call is, comes too late: the bot itself
answers then, as it would have done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..call import Bot, ReadyBot
from ..carrier import Carrier
from ..events import CallInfo, Started
from ..media.formats import AudioFormat

__all__ = ["RINGING_S", "Doorbell"]

log = logging.getLogger("trunkline.server")

RINGING_S = 20.0
"""How long a bot stays ready for a call that we have answered and whose socket does not come."""
CLOSE_S = 5.0
"""How long what was got ready in vain may take to close."""

_Task = asyncio.Task[ReadyBot | None]


class Doorbell:
    """The calls that are about to come, and who is ready for them.

    Args:
        bot: what answers calls.
        audio: the encoding our audio goes out in, by carrier.
        most: for more calls at once nobody gets ready.
    """

    def __init__(self, bot: Bot, audio: Mapping[str, AudioFormat], most: int) -> None:
        self._bot = bot
        self._says = dict(audio)
        self._hears: dict[str, AudioFormat] = {}
        self._most = most
        self._rings: dict[tuple[str, str], tuple[_Task, asyncio.TimerHandle]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def begin(
        self, carrier: Carrier, info: CallInfo, bot: Bot | None = None, within: float = RINGING_S
    ) -> None:
        """A call is likely to come ``within`` so many seconds; nothing if that is known.

        ``bot`` is what would answer it; default the server's.
        """
        key = _key(info)
        ring: Any = getattr(bot or self._bot, "ringing", None)
        if ring is None or key in self._rings or len(self._rings) >= self._most:
            return
        # What the carrier will stream is as a rule what it streamed last.
        hears = self._hears.get(carrier.name, carrier.inbound[0])
        loop = asyncio.get_running_loop()
        task: _Task = loop.create_task(_ring(ring, info, hears, self._says[carrier.name]))
        self._rings[key] = task, loop.call_later(within, self.end, info)

    def take(self, info: CallInfo, started: Started, bot: Bot) -> Bot:
        """The call is there: what answers it, which is ``bot`` where nobody is ready."""
        self._hears[info.carrier], self._says[info.carrier] = started.inbound, started.outbound
        task = self._stop(info)
        if task is None:
            return bot
        if not task.done() or task.cancelled():
            self._let_go(task)
            return bot
        return task.result() or bot

    def end(self, info: CallInfo) -> None:
        """The call will not come."""
        if task := self._stop(info):
            self._let_go(task)

    async def close(self) -> None:
        """No call will come any more."""
        for task, timer in self._rings.values():
            timer.cancel()
            self._let_go(task)
        self._rings.clear()
        if self._closing:
            await asyncio.wait(set(self._closing))

    def _stop(self, info: CallInfo) -> _Task | None:
        task, timer = self._rings.pop(_key(info), (None, None))
        if timer is not None:
            timer.cancel()
        return task

    def _let_go(self, task: _Task) -> None:
        task.cancel()
        closing = asyncio.get_running_loop().create_task(_close(task))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _key(info: CallInfo) -> tuple[str, str]:
    """What a call is known by before it is there: of one that we place, what names the wish."""
    return info.carrier, info.tag or info.call_id


async def _ring(
    ring: Any, info: CallInfo, hears: AudioFormat, says: AudioFormat
) -> ReadyBot | None:
    try:
        return await ring(info, hears, says)
    except Exception:
        log.exception("bot did not get ready", extra=_who(info))
        return None


def _who(info: CallInfo) -> dict[str, str]:
    return {"carrier": info.carrier, "call": info.call_id}


async def _close(task: _Task) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.wait([task])
            if not task.cancelled() and (ready := task.result()) is not None:
                await ready.close()
    except Exception:
        log.exception("bot did not let go")
