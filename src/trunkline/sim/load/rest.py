"""The carrier's REST API in front of several processes, each of which has calls of its own.

A server knows one URL for it. Which process has a call, only that process knows; so each is asked
until one does not answer that there is no such thing. Whose API it is, nothing here knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from ...carrier import Carrier
from ...web import Request, Response
from ..network import Network, Unreachable

__all__ = ["SharedPlatform"]

_UNKNOWN = 404
# What of an answer is about one connection, and not to be passed on.
_OWN = {"connection", "content-length", "date", "server", "transfer-encoding"}


class SharedPlatform:
    """Answers for one carrier whose calls are in several processes.

    Args:
        carrier: whose API.
        network: how to reach the processes.
        urls: where each answers; may grow.
    """

    def __init__(self, carrier: type[Carrier], network: Network, urls: Sequence[str]) -> None:
        self.name = carrier.name
        self._network = network
        self._urls = urls

    async def rest(self, request: Request) -> Response:
        """Answer a REST request, with the URL the server meant.

        Raises:
            Overdue: a process did not answer.
        """
        parts = urlsplit(request.url)
        query = f"?{parts.query}" if parts.query else ""
        path = f"/{self.name}/{parts.netloc}{parts.path}{query}"
        answer = Response(_UNKNOWN)
        for url in self._urls:
            try:
                answer = await self._network.request(replace(request, url=url + path))
            except Unreachable:
                continue  # it has ended, and its calls have
            if answer.status != _UNKNOWN:
                break
        headers = {name: value for name, value in answer.headers.items() if name not in _OWN}
        return replace(answer, headers=headers)
