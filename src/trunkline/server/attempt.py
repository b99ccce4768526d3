"""One try to place a call over REST, and whether it may have placed one in spite of an error.

It knows no carrier: which of a flow's requests may do something twice, the flow says.
"""

from __future__ import annotations

from ..errors import CarrierError, RemoteProtocolError
from ..rest import NotSent, Send
from ..web import Request, Response

__all__ = ["Attempt"]


class Attempt:
    """A sender for one try; watches the requests that must not be repeated.

    One that is refused for its rate ends the try, rather than being repeated by ``Rest``: the
    limiter must know of it. ``refused`` says that this happened.

    Args:
        send: carries one request.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.doubtful = False
        self.refused = False

    async def __call__(self, carrier: str, request: Request) -> Response:
        if request.repeatable:
            return await self._send(carrier, request)
        self.doubtful = True
        try:
            response = await self._send(carrier, request)
        except NotSent:
            self.doubtful = False
            raise
        if response.status == 429:
            self.doubtful, self.refused = False, True
            raise CarrierError(
                "the carrier takes no more calls now",
                status=429,
                retryable=True,
                retry_after=response.retry_after,
            )
        return response

    def may_have_placed(self, error: Exception) -> bool:
        """Whether there may be a call in spite of this error."""
        if not self.doubtful:
            return False
        if isinstance(error, CarrierError):
            status = error.status
            return status is None or status >= 500 or status == 408
        return isinstance(error, RemoteProtocolError)  # an answer, but what it says is unknown
