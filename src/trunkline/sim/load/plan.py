"""What a load test is to do: read from the command line, handed to each process as JSON.

Pure. Everything that cannot be is refused here, in a sentence that says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ... import carriers
from ...carrier import Carrier
from ...errors import ConfigError, Unsupported
from ...events import Digit
from ...media.formats import AudioFormat

__all__ = ["Plan", "Scenario", "planned"]


class Scenario(StrEnum):
    """What the callers do."""

    ECHO = "echo"
    """The server sends back what it hears; each frame's delay is measured."""
    TALK = "talk"
    """The server speaks; what callers hear of it is measured."""
    BARGEIN = "bargein"
    """Callers talk over the bot, again and again; how soon it is silent is measured."""
    SHORT = "short"
    """Calls of a second or two, one after the other; how they begin is measured."""


class Plan(Struct, frozen=True, kw_only=True):
    """A load test.

    ``calls`` are held at once, begun at ``cps`` a second, and measured for ``duration`` seconds
    once all are up. (Short calls: begun at ``cps`` for ``duration``, at most ``calls`` at once.)
    ``url`` is the server's public URL, or a WebSocket's where ``direct``. ``inbound`` and
    ``outbound`` are the encodings of the caller's audio and of the server's. ``key`` is pressed
    to barge in, where not empty. ``rest_port`` is where the carrier's REST API answers.
    """

    carrier: str
    url: str
    direct: bool
    scenario: Scenario
    calls: int
    cps: float
    duration: float
    inbound: str
    outbound: str
    hold_ms: float = 40.0
    key: str = ""
    parameters: Mapping[str, str] = {}
    via: str = ""
    rest_port: int = 8099

    def share(self, processes: int) -> list[Plan]:
        """The same test, dealt out to so many processes."""
        calls = [self.calls // processes + (n < self.calls % processes) for n in range(processes)]
        return [
            replace(
                self,
                calls=count,
                cps=self.cps * count / self.calls,
            )
            for count in calls
        ]


def planned(
    carrier: str,
    url: str,
    scenario: str,
    *,
    socket: bool,
    calls: int,
    cps: float,
    duration: float,
    inbound: str,
    outbound: str,
    hold_ms: float,
    key: str,
    parameters: Sequence[str],
    via: str,
    rest_port: int,
    processes: int,
) -> Plan:
    """The test that these options ask for.

    Raises:
        ConfigError: there is no such test; says what to do.
    """
    kind = carriers.get(carrier) if carrier else carriers.get(carriers.names()[0])
    if scenario not in list(Scenario):
        raise ConfigError(f"--scenario is one of {', '.join(Scenario)}, not {scenario!r}")
    numbers = {"--calls": calls, "--cps": cps, "--duration": duration, "--processes": processes}
    for name, value in numbers.items():
        if value <= 0:
            raise ConfigError(f"{name} must be more than 0")
    if processes > calls:
        raise ConfigError(f"--processes {processes} for --calls {calls}: at most one for each call")
    if not 0 <= hold_ms < 1000:
        raise ConfigError("--hold is 0 to 1000 ms")
    direct, url = _where(url, socket)
    if key:
        _check_key(key, kind, direct)
    heard, spoken = _formats(kind, inbound, outbound)
    return Plan(
        carrier=kind.name,
        url=url,
        direct=direct,
        scenario=Scenario(scenario),
        calls=calls,
        cps=cps,
        duration=duration,
        inbound=str(heard),
        outbound=str(spoken),
        hold_ms=hold_ms,
        key=key,
        parameters=_parameters(parameters),
        via=via.rstrip("/"),
        rest_port=rest_port,
    )


def _where(url: str, socket: bool) -> tuple[bool, str]:
    """Whether ``url`` is a WebSocket's, and the URL with the scheme that goes with that."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
        raise ConfigError(
            f"--url {url!r} is no URL to call: write http://HOST:PORT for a server with webhooks, "
            "ws://HOST:PORT/PATH for a bare WebSocket"
        )
    direct = socket or parts.scheme.startswith("ws")
    if direct:
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        return True, parts._replace(scheme=scheme).geturl()
    return False, url.rstrip("/")


def _check_key(key: str, kind: type[Carrier], direct: bool) -> None:
    if len(key) != 1 or key not in "0123456789*#":
        raise ConfigError(f"--key is one of 0-9, * and #, not {key!r}")
    if Digit not in kind.hears and (direct or not kind.digits_by_webhook):
        raise ConfigError(
            f"{kind.title}'s socket tells no keys: leave --key out, to barge in by voice"
        )


def _formats(kind: type[Carrier], inbound: str, outbound: str) -> tuple[AudioFormat, AudioFormat]:
    try:
        spoken = kind.can_play(AudioFormat.parse(outbound)) if outbound else kind.outbound[0]
        default = spoken if kind.one_format else kind.inbound[0]
        heard = AudioFormat.parse(inbound) if inbound else default
    except (ValueError, Unsupported) as error:
        raise ConfigError(str(error)) from None
    if heard not in kind.inbound or (kind.one_format and heard != spoken):
        known = str(spoken) if kind.one_format else ", ".join(map(str, kind.inbound))
        raise ConfigError(f"{kind.title} sends the caller's audio as {known}, not {heard}")
    return heard, spoken


def _parameters(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise ConfigError(f"--parameter is NAME=VALUE, not {name!r}")
    return {name: value for name, _, value in pairs}
