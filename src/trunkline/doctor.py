"""Looks a deployment over and says what to do: credentials, public URL, clock, settings.

Changes nothing anywhere. Whatever it finds is a ``Finding``; how those look is the command line's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

from .carrier import Carrier, Control
from .config import Settings, load_carriers
from .errors import ConfigError, TrunklineError
from .rest import Rest, Send
from .sim.network import Network, NotConnected
from .web import Request, Response

__all__ = ["Finding", "examine"]

SKEW_S = 30.0
"""Signatures and tokens are refused when the clock is minutes off; half a minute is a warning."""


class Finding(Struct, frozen=True):
    """One thing that was looked at. ``ok`` is ``None`` for what works but should be known."""

    ok: bool | None
    what: str
    advice: str = ""


async def examine(
    settings: Settings,
    network: Network,
    send: Send,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Finding]:
    """Look everything over.

    Args:
        settings: the server's.
        network: how the public URL is reached.
        send: carries requests to carriers' APIs.
        environ: where credentials are; the environment by default.
        clock: seconds since the epoch.
    """
    findings = _settings(settings)
    if settings.public_url:
        findings += await _public_url(settings, network)
    try:
        carriers = load_carriers(settings, environ, clock=clock)
    except ConfigError as error:
        return [*findings, Finding(False, "no carrier can be used", str(error))]
    for carrier in carriers.values():
        findings += await _carrier(carrier, send, clock)
    return findings


def _settings(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    if not settings.public_url:
        found.append(
            Finding(False, "PUBLIC_URL is not set", "set it to the https:// URL carriers reach")
        )
    elif not settings.public_url.startswith("https://"):
        found.append(
            Finding(
                None,
                f"PUBLIC_URL is {settings.public_url}: not https",
                "carriers refuse ws:// media sockets, and credentials in clear text",
            )
        )
    if not settings.secret:
        found.append(
            Finding(
                None,
                "TRUNKLINE_SECRET is not set: each process makes up its own",
                "set it before a second process or node serves the same URL",
            )
        )
    return found


async def _public_url(settings: Settings, network: Network) -> list[Finding]:
    url = f"{settings.public_url}/health/ready"
    try:
        answer = await network.request(Request.get(url))
    except TrunklineError as error:
        advice = "start the server; check DNS, the proxy and the firewall"
        return [Finding(False, f"nobody answers at {url}: {error}", advice)]
    try:
        ready = msgspec.json.decode(answer.body, type=_Ready)
    except msgspec.DecodeError:
        advice = "PUBLIC_URL must lead to this server, with the path it is mounted under"
        return [Finding(False, f"{url} answers {answer.status}, but not as Trunkline", advice)]
    found = [Finding(ready.ready or None, f"the server answers at {settings.public_url}")]
    if ready.carriers:
        found.append(await _upgrade(settings, ready.carriers[0], network))
    return found


class _Ready(Struct):
    ready: bool
    carriers: list[str] = []


async def _upgrade(settings: Settings, carrier: str, network: Network) -> Finding:
    """A socket with a token of nobody's must be refused by us, not by something in between."""
    url = f"{settings.stream_url(carrier)}/x"
    try:
        connection = await network.connect(Request.get(url))
    except NotConnected as error:
        if error.status in (401, 403):
            return Finding(True, "media sockets get through, and are refused without a token")
        what = f"a media socket at {url} is answered {error.status or 'by nobody'}"
        return Finding(False, what, "let the proxy pass WebSocket upgrades below the public URL")
    except TrunklineError as error:
        return Finding(False, f"a media socket cannot be opened: {error}", "check the proxy")
    await connection.close()
    return Finding(False, f"{url} takes sockets without a token", "this is not a Trunkline server")


async def _carrier(carrier: Carrier, send: Send, clock: Callable[[], float]) -> list[Finding]:
    if not carrier.supports(Control.CHECK):
        what = f"{carrier.title}: credentials are set; there is no way to try them"
        return [Finding(None, what, "place a test call")]
    dated = _Dated(send, clock)
    try:
        shown = await Rest(dated).run(carrier.name, carrier.check())
    except TrunklineError as error:
        names = ", ".join(c.env for c in carrier.credentials if c.required)
        found = [Finding(False, f"{carrier.title}: {error}", f"check {names}")]
    else:
        found = [Finding(True, f"{carrier.title}: the credentials work")]
        found += [Finding(None, f"{carrier.title}: {sentence}") for sentence in shown]
    return found + dated.findings(carrier)


class _Dated:
    """A sender that compares the answers' ``Date`` with our clock."""

    def __init__(self, send: Send, clock: Callable[[], float]) -> None:
        self._send = send
        self._clock = clock
        self._skews: list[float] = []

    async def __call__(self, carrier: str, request: Request) -> Response:
        response = await self._send(carrier, request)
        if date := response.headers.get("date"):
            try:
                self._skews.append(self._clock() - parsedate_to_datetime(date).timestamp())
            except ValueError:
                pass  # a date that is none says nothing about our clock
        return response

    def findings(self, carrier: Carrier) -> list[Finding]:
        """What is wrong with our clock, if anything."""
        worst = max(self._skews, key=abs, default=0.0)
        if abs(worst) <= SKEW_S:
            return []
        way = "ahead of" if worst > 0 else "behind"
        what = f"our clock is {abs(worst):.0f} s {way} {carrier.title}'s"
        return [Finding(False, what, "synchronise it (NTP): signatures and tokens depend on it")]
