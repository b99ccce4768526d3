"""Sending HTTP requests, many at once: carriers' REST APIs, and webhooks of simulated carriers.

It is httpx, in several small pools. Whenever a request begins or ends, httpx (0.28) goes through
all that wait for a connection and all idle connections, these once for each: with a thousand
requests, such as when a server full of calls hangs up, one pool of its usual size takes 28 s of CPU
and holds the event loop up for 10 s, and with it every other call. So few share a pool, and further
ones wait here, in order.

It knows no carrier and repeats nothing; raises what httpx does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
from anyio.lowlevel import checkpoint

__all__ = ["IN_A_POOL", "Http"]

IN_A_POOL = 16
"""Requests under way at once in one pool."""


class _Pool:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.room = asyncio.Semaphore(IN_A_POOL)
        self.asked = 0  # under way, or waiting


class Http:
    """A client.

    Args:
        timeout: seconds for each step of a request, as httpx has them; time spent waiting for
            others to end does not count.
        trust_env: whether the system's proxy settings count.
        most: requests under way at once.
    """

    def __init__(
        self, timeout: httpx.Timeout, *, trust_env: bool = True, most: int = 4 * IN_A_POOL
    ) -> None:
        trusted = httpx.create_ssl_context(trust_env=trust_env)

        def pool() -> _Pool:
            return _Pool(httpx.AsyncClient(timeout=timeout, trust_env=trust_env, verify=trusted))

        self._new_pool = pool
        self._most_pools = most // IN_A_POOL
        self._pools = [pool()]

    @staticmethod
    async def warm_up() -> None:
        """Load what else the first request would: 60 to 160 ms, in which all calls stand still."""
        await checkpoint()  # anyio, below httpx, loads its parts when it first does anything

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        """Send a request; redirects are not followed."""
        pool = self._with_room()
        pool.asked += 1
        try:
            async with pool.room:
                return await pool.client.request(
                    method, url, headers=dict(headers), content=body, follow_redirects=False
                )
        finally:
            pool.asked -= 1

    def _with_room(self) -> _Pool:
        # The first that has any, so that few connections serve while there is little to do.
        for pool in self._pools:
            if pool.asked < IN_A_POOL:
                return pool
        if len(self._pools) < self._most_pools:
            self._pools.append(self._new_pool())
            return self._pools[-1]
        return min(self._pools, key=lambda pool: pool.asked)

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.client.aclose()
