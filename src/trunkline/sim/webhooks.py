"""The carrier's webhooks, as they leave: written, signed, sent, and answered in time or not.

A webhook that nobody answers is not sent again: what carriers do then differs, and the plainest of
them (the call goes on without) is the one a server must survive. It knows no call's state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from ..carrier import Carrier
from ..events import Notice
from ..web import Request, Response
from .deadline import deadline
from .faults import Gremlin
from .network import Network

__all__ = ["ANSWER_S", "Errands", "Webhooks"]

ANSWER_S = 15.0
"""How long a server may take to answer: the shortest limit that carriers document (10 to 15 s are
usual) would fail servers that work, the longest hides ones that do not."""


class Errands:
    """Tasks nobody waits for, kept until they are done, and cancelled at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``work`` in a task of its own."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> None:
        """Cancel those still running and wait until they are gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Webhooks:
    """Sends one carrier's webhooks.

    Args:
        carrier: whose they are.
        signer: who signs them; the same carrier, or a forger.
        network: how to reach the server.
    """

    def __init__(
        self, carrier: Carrier, signer: Carrier, network: Network, errands: Errands
    ) -> None:
        self._carrier = carrier
        self._signer = signer
        self._network = network
        self._errands = errands

    async def send(
        self, notice: Notice, url: str, gremlin: Gremlin, *, method: str = "POST"
    ) -> Response:
        """Say ``notice`` to ``url``; returns the answer.

        Raises:
            Unsupported: the carrier has no webhook for that.
            Unreachable, Overdue: no answer came.
        """
        request = self._carrier.write_webhook(notice, url)
        if method == "GET":
            request = _as_get(request)
        signed = self._signer.sign(request)
        for _ in range(1, gremlin.faults.repeat_webhook):
            self._errands.start(self._once(signed, gremlin), "repeated webhook")
        return await self._once(signed, gremlin)

    async def _once(self, request: Request, gremlin: Gremlin) -> Response:
        await asyncio.sleep(gremlin.delay())
        async with deadline(ANSWER_S, f"the answer to {request.method} {request.path}"):
            response = await self._network.request(request)
        await asyncio.sleep(gremlin.delay())
        return response


def _as_get(request: Request) -> Request:
    """The same fields in the query: what carriers do that are told to use GET."""
    if request.headers.get("content-type", "").endswith("json"):
        fields = urlencode({k: v for k, v in request.json().items() if isinstance(v, str)})
    else:
        fields = request.body.decode()
    parts = urlsplit(request.url)
    query = "&".join(part for part in (parts.query, fields) if part)
    return Request.get(urlunsplit(parts._replace(query=query)))
