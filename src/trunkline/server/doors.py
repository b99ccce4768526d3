"""The doors that carriers knock on, webhooks and media sockets, as bare ASGI applications.

What an ASGI server says becomes the switchboard's plain data, and the answer goes back. Which paths
lead here is the routes' to say; a web framework between a carrier and its call would only cost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ..carrier import Carrier, Purpose
from ..errors import BadSignature, Refused, RemoteProtocolError
from ..telemetry.observer import Turned
from ..web import Request, Response
from .asgi import AsgiSocket, Receive, SendMessage

if TYPE_CHECKING:
    from .routes import Server

__all__ = ["METHODS", "Doors", "MediaDoor", "WebhookDoor"]

log = logging.getLogger("trunkline.server")

MAX_WEBHOOK = 64 * 1024
"""Bytes of a webhook's body. The largest documented ones stay below 4 KiB."""

BODY_S = 10.0
"""How long a webhook's body may take to come; then it is answered with 408."""
METHODS = frozenset({"GET", "POST"})
"""How webhooks come."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, SendMessage], Awaitable[None]]
_PURPOSES = {purpose.value: purpose for purpose in Purpose}
_WEBHOOK = re.compile(rf"/(?P<carrier>[^/]+)/(?P<purpose>{'|'.join(_PURPOSES)})")
_MEDIA = re.compile(r"/(?P<carrier>[^/]+)/media(?:/(?P<token>[^/]+))?")


class Doors:
    """Both doors before an app of ours, as its middleware; the app has what leads to neither.

    Routes would do. But the way through a framework to a route costs a sixth of what a webhook
    does, and a socket would keep every step of it in memory for as long as the call lasts.
    """

    def __init__(self, app: App, server: Server) -> None:
        self._app = app
        self._server = server
        self._webhook = WebhookDoor(server)
        self._media = MediaDoor(server)

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        await self._behind(scope)(scope, receive, send)

    def _behind(self, scope: Scope) -> App:
        if scope["type"] == "websocket":
            found, door = _MEDIA.fullmatch(_path(scope)), self._media
        elif scope["type"] == "http" and scope["method"] in METHODS:
            found, door = _WEBHOOK.fullmatch(_path(scope)), self._webhook
            if found is not None and self._server.carrier(found["carrier"]) is None:
                return self._app  # such as a call of the HTTP API's that is called "status"
        else:
            return self._app
        if found is None:
            return self._app
        scope["path_params"] = found.groupdict()
        return door


class WebhookDoor:
    """Any carrier's webhook, for any purpose; ``carrier`` and ``purpose`` are in the path."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        params: Mapping[str, str] = scope["path_params"]
        carrier = self._server.carrier(params["carrier"])
        purpose = _PURPOSES.get(params["purpose"])
        if carrier is None or purpose is None:
            await _answer(send, Response(404))
            return
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(receive)
        except TimeoutError:
            answer = Response(408)
        else:
            if body is None:
                return  # nobody is there to be answered
            if len(body) <= MAX_WEBHOOK:
                answer = await self._ask(carrier, purpose, scope, body)
            else:
                answer = Response(413)
                if (observation := self._server.observation) is not None:
                    observation.observer.webhook_refused(carrier.name, Turned.TOO_LARGE)
        await _answer(send, answer)

    async def _ask(self, carrier: Carrier, purpose: Purpose, scope: Scope, body: bytes) -> Response:
        query = scope["query_string"].decode("latin-1")
        asked = query and f"?{query}"
        headers = _headers(scope)
        url = f"{self._server.settings.public_url}/{carrier.name}/{purpose.value}{asked}"
        called = f"{scope['scheme']}://{headers.get('host', '')}{scope['path']}{asked}"
        request = Request(method=scope["method"], url=url, headers=headers, body=body)
        try:
            return await self._server.switchboard.webhook(carrier, purpose, request, (called,))
        except BadSignature as error:
            challenge = {"www-authenticate": error.challenge} if error.challenge else {}
            return Response(error.status, challenge)
        except RemoteProtocolError as error:
            log.warning("webhook unreadable", extra={"carrier": carrier.name, "error": str(error)})
            return Response(400)


class MediaDoor:
    """A media socket; in its path ``carrier``, and ``token`` if the stream does not carry it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        params: Mapping[str, str] = scope["path_params"]
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            carrier, ticket = await self._server.admit(
                params["carrier"],
                params.get("token"),
                query=scope["query_string"].decode("latin-1"),
                headers=_headers(scope),
            )
        except Refused as error:
            await _deny(scope, send, error.status)
            return
        await send({"type": "websocket.accept"})
        socket = AsgiSocket(receive, send, self._server.settings.max_message)
        await self._server.switchboard.connect(carrier, socket, ticket)


def _path(scope: Scope) -> str:
    """The path below which the app is mounted left out."""
    return scope["path"].removeprefix(scope.get("root_path", ""))


async def _body(receive: Receive) -> bytes | None:
    """A request's body, or more than too much of it; ``None`` where the client has gone."""
    body, more = b"", True
    while more and len(body) <= MAX_WEBHOOK:
        part = await receive()
        if part["type"] == "http.disconnect":
            return None
        body += part.get("body", b"")
        more = part.get("more_body", False)
    return body


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _answer(send: SendMessage, answer: Response) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in answer.headers.items()]
    if answer.status != 204:  # which has no body, and must not tell of its length (RFC 9110, 8.6)
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _deny(scope: Scope, send: SendMessage, status: int) -> None:
    """Refuse a socket before it opens, with a status where the server can (ASGI denial)."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1008})
