"""A deadline that says what was awaited.

Every wait of the simulator goes through here, so that a test which hangs ends with a sentence
instead of with the patience of whoever runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ..errors import TrunklineError

__all__ = ["Overdue", "deadline"]


class Overdue(TrunklineError, TimeoutError):
    """Something did not happen in time; ``awaited`` says what, ``seconds`` how long it had."""

    def __init__(self, awaited: str, seconds: float) -> None:
        super().__init__(f"waited {seconds:g} s in vain for {awaited}")
        self.awaited = awaited
        self.seconds = seconds


@asynccontextmanager
async def deadline(seconds: float, awaited: str) -> AsyncGenerator[None]:
    """Give the block ``seconds`` on the loop's clock.

    Raises:
        Overdue: it took longer.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Overdue(awaited, seconds) from None
