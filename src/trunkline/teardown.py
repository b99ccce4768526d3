"""The end of a call: its bot stops, and the carrier confirms that it has hung up.

Both in bounded time, and neither raises: what went wrong is logged. When it is time for this is
the session's to say.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .carrier import Control
from .errors import TrunklineError

if TYPE_CHECKING:
    from .carrier import Carrier
    from .events import CallInfo
    from .rest import Rest

__all__ = ["BOT_GRACE_S", "TEARDOWN_S", "wind_up"]

log = logging.getLogger("trunkline.session")

BOT_GRACE_S = 2.0
"""How long a bot may tidy up after its call has ended before it is cancelled."""
TEARDOWN_S = 15.0
"""How long hanging up may take in all."""


async def wind_up(
    bot: asyncio.Task[None], carrier: Carrier, info: CallInfo, rest: Rest | None
) -> bool:
    """Stop a bot whose call is over, and hang up. Whether the carrier confirmed that it ended.

    Args:
        bot: the bot's task.
        carrier: whose call it is.
        info: which one.
        rest: asks the carrier to hang up; ``None`` where it said already that the call has ended.
    """
    if rest is None:
        await _stop(bot, carrier, info)
        return True
    _, confirmed = await asyncio.gather(_stop(bot, carrier, info), _hang_up(carrier, info, rest))
    return confirmed


async def _stop(bot: asyncio.Task[None], carrier: Carrier, info: CallInfo) -> None:
    await asyncio.wait([bot], timeout=BOT_GRACE_S)
    if not bot.done():
        bot.cancel()
        await asyncio.wait([bot], timeout=BOT_GRACE_S)
    if not bot.done():
        log.error("bot does not stop", extra={"carrier": carrier.name, "call": info.call_id})


async def _hang_up(carrier: Carrier, info: CallInfo, rest: Rest) -> bool:
    if not carrier.supports(Control.HANG_UP):
        return False
    try:
        async with asyncio.timeout(TEARDOWN_S):
            return await rest.end_call(carrier, info)
    except (TrunklineError, TimeoutError) as error:
        told = {"carrier": carrier.name, "call": info.call_id, "error": str(error) or "timed out"}
        log.error("hang-up failed", extra=told)
        return False
