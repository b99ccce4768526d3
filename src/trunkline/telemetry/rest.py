"""REST, observed: each request that is sent, and what comes of hanging up."""

from __future__ import annotations

import time

from ..carrier import Carrier, Control
from ..events import CallInfo
from ..rest import NotSent, Rest, Send
from ..web import Request, Response
from .observer import HangUp, Observer, Reply

__all__ = ["ObservedRest", "observed"]


def observed(send: Send, observer: Observer) -> Send:
    """``send``, with ``observer`` told of each request."""

    async def sends(carrier: str, request: Request) -> Response:
        began = time.perf_counter()
        reply = Reply.TIMEOUT  # also when the wait for it is cancelled from outside
        try:
            response = await send(carrier, request)
            reply = _reply(response.status)
        except NotSent:
            reply = Reply.NOT_SENT
            raise
        except TimeoutError:
            raise
        except OSError:
            reply = Reply.LOST
            raise
        finally:
            observer.sent(carrier, request.method, reply, time.perf_counter() - began)
        return response

    return sends


def _reply(status: int) -> Reply:
    if status == 429:
        return Reply.RATE
    if status >= 500:
        return Reply.SERVER
    return Reply.CLIENT if status >= 400 else Reply.OK


class ObservedRest(Rest):
    """``Rest`` whose hang-ups are told; ``send`` is to be ``observed`` already."""

    def __init__(self, send: Send, observer: Observer) -> None:
        super().__init__(send)
        self._observer = observer

    async def end_call(self, carrier: Carrier, call: CallInfo) -> bool:
        outcome = HangUp.FAILED
        with self._observer.hanging_up(call):
            try:
                confirmed = await super().end_call(carrier, call)
                if confirmed:
                    outcome = HangUp.CONFIRMED
                else:
                    asked = carrier.supports(Control.STATE)
                    outcome = HangUp.UNCONFIRMED if asked else HangUp.UNASKED
                return confirmed
            finally:
                self._observer.hung_up(call, outcome)
