"""What goes wrong over HTTP, as problem documents (RFC 9457), and who is let in at all.

A key is asked for before anything else of a request is read. No answer repeats a value that was
sent: it may be somebody's number.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from ..errors import (
    Busy,
    CallEnded,
    CarrierError,
    ConfigError,
    RemoteProtocolError,
    TrunklineError,
    Unsupported,
)
from ..web import same

__all__ = ["Problem", "Responses", "Wrong", "guarded_route", "responses"]

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI's routes are told of the answers they may give."""


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


_TITLES = {
    401: "No key, or a wrong one",
    403: "Not allowed",
    404: "No such call",
    409: "The call cannot do that now",
    422: "Not a request that could be carried out",
    429: "Too many calls wait",
    501: "The carrier cannot do that",
    502: "The carrier would not",
    503: "The server is stopping",
}


class Wrong(Exception):
    """Answer with this status, and say this."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def _wrong(error: Exception) -> Wrong:
    """What an error of ours is in HTTP."""
    after: float | None = getattr(error, "retry_after", None)
    headers = {"retry-after": str(max(1, round(after)))} if after is not None else {}
    status = 422
    for kind, known in (
        (Unsupported, 501),
        (CallEnded, 409),
        (Busy, 503 if after is None else 429),
        (CarrierError, 502),
        (RemoteProtocolError, 502),
        (ConfigError, 422),
    ):
        if isinstance(error, kind):
            status = known
            break
    return Wrong(status, str(error), headers)


def _problem(wrong: Wrong) -> JSONResponse:
    problem = Problem(title=_TITLES[wrong.status], status=wrong.status, detail=str(wrong))
    return JSONResponse(
        problem.model_dump(),
        wrong.status,
        headers=wrong.headers,
        media_type="application/problem+json",
    )


def _invalid(error: RequestValidationError) -> Wrong:
    # Where and why, never what: the value may be somebody's number.
    said = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return Wrong(422, "; ".join(said))


def responses(*statuses: int) -> Responses:
    """The problems of these statuses, for the schema."""
    return {status: {"model": Problem, "description": _TITLES[status]} for status in statuses}


Handler = Callable[[fastapi.Request], Coroutine[Any, Any, fastapi.Response]]


def guarded_route(keys: tuple[str, ...]) -> type[APIRoute]:
    """Routes that ask for a key before they read anything, and whose errors are problems."""

    class Guarded(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def guarded(request: fastapi.Request) -> fastapi.Response:
                try:
                    _authorize(request, keys)
                    return await handle(request)
                except Wrong as wrong:
                    return _problem(wrong)
                except RequestValidationError as error:
                    return _problem(_invalid(error))
                except (TrunklineError, ValueError) as error:
                    return _problem(_wrong(error))

            return guarded

    return Guarded


def _authorize(request: fastapi.Request, keys: tuple[str, ...]) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = [same(given.strip(), key) for key in keys]  # all of them: time must not tell which
    if scheme.lower() != "bearer" or not any(known):
        raise Wrong(401, "send Authorization: Bearer KEY", {"www-authenticate": "Bearer"})
