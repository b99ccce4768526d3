"""Settings and credentials, from the environment; the only module that reads it.

Trunkline's own settings are ``TRUNKLINE_…`` variables (``PUBLIC_URL`` is also taken, since people
already use it). Credentials are what each carrier declares, under the names its users know. A
carrier is switched on by its credentials being there.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from . import carriers
from .carrier import Carrier
from .errors import ConfigError
from .limits import Limits
from .media.formats import AudioFormat

__all__ = [
    "Settings",
    "dial_rate",
    "load_carriers",
    "outbound_audio",
    "simulated_credentials",
    "variable",
]

API_KEY_LENGTH = 16
"""Characters a key has at least: one of the HTTP API lets people call at your expense."""


class Settings(BaseSettings):
    """How the server behaves. Each field is the environment variable ``TRUNKLINE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", extra="ignore")

    public_url: str = Field(
        default="",
        validation_alias=AliasChoices("TRUNKLINE_PUBLIC_URL", "PUBLIC_URL", "public_url"),
        description="the URL carriers reach this server by, with any path it is mounted under",
    )
    media_url: str = Field(
        default="", description="where carriers open media sockets, if not below public_url"
    )
    media_port: int = Field(
        default=0, ge=0, le=65535, description="a port of their own for media sockets: faster"
    )
    tls_cert: str = Field(default="", description="certificate chain, where we encrypt ourselves")
    tls_key: str = Field(default="", description="its private key")
    secret: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="signs media tokens; comma-separated, the newest first, the others still taken",
    )
    token_ttl: float = Field(default=60.0, gt=0, le=300, description="seconds a token lives")
    max_calls: int = Field(default=1000, ge=1, description="further calls are answered busy")
    drain_timeout: float = Field(default=300.0, ge=0, description="seconds calls may go on at stop")
    handshake_timeout: float = Field(default=5.0, gt=0, description="seconds until a start message")
    max_message: int = Field(default=65536, ge=1024, description="bytes of a socket message")
    max_duration: float = Field(default=4 * 3600.0, ge=0, description="seconds a call may last")
    no_media: float = Field(default=20.0, ge=0, description="seconds without any message")
    silence: float = Field(default=600.0, ge=0, description="seconds without speech either way")
    write_timeout: float = Field(default=2.0, gt=0, description="seconds a carrier may not read")
    reattach: float = Field(default=3.0, ge=0, description="seconds a lost socket is waited for")
    max_dialled: int = Field(
        default=100, ge=1, description="calls we placed that may be up at once, at each carrier"
    )
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="keys for the HTTP API, comma-separated; without one there is no HTTP API",
    )
    dial_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="what numbers called over the HTTP API begin with, comma-separated: +1,+44",
    )
    metrics_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="keys for /metrics, comma-separated; without one there is no such page",
    )
    traces: bool = Field(default=False, description="trace calls by OpenTelemetry")
    trace_call_ids: bool = Field(
        default=False, description="put carriers' call ids into traces, not only their hashes"
    )
    stall_ms: float = Field(
        default=100.0,
        ge=0,
        description="milliseconds the event loop may come round late before the log says what "
        "held it up; 0: it is not watched",
    )
    simulator_url: str = Field(
        default="",
        description="send REST calls to a carrier simulator there, and use example credentials "
        "where none are set",
    )

    @field_validator("secret", "api_keys", "metrics_keys", "dial_prefixes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_keys", "metrics_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(key) < API_KEY_LENGTH for key in keys):
            raise ValueError(f"a key has {API_KEY_LENGTH} characters or more")
        return keys

    @field_validator("dial_prefixes")
    @classmethod
    def _with_plus(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"\+[1-9][0-9]{0,14}", prefix) for prefix in prefixes):
            raise ValueError("write + and digits: +1,+44")
        return prefixes

    @field_validator("public_url", "media_url", "simulator_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        if value and "://" not in value:
            raise ValueError("write the whole URL, with https://")
        return value.rstrip("/")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token secrets, newest first; one made up for this process if none is set."""
        if not self.secret:
            self.secret = (secrets.token_urlsafe(32),)
        return self.secret

    @property
    def limits(self) -> Limits:
        """What ends a call by itself."""
        return Limits(
            max_duration=self.max_duration,
            no_media=self.no_media,
            silence=self.silence,
            write=self.write_timeout,
            reattach=self.reattach,
        )

    def stream_url(self, carrier: str) -> str:
        """The media URL (``ws`` or ``wss``) for a carrier, without a token."""
        scheme, _, rest = (self.media_url or self._beside_public_url()).partition("://")
        return f"{ {'https': 'wss', 'http': 'ws'}.get(scheme, scheme) }://{rest}/{carrier}/media"

    def _beside_public_url(self) -> str:
        """The public URL; with a media port, that port of the same host."""
        if not self.media_port:
            return self.public_url
        parts = urlsplit(self.public_url)
        host = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
        return f"{parts.scheme}://{host}:{self.media_port}"


def load_carriers(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> dict[str, Carrier]:
    """Every carrier whose required credentials are set, by name.

    With ``settings.simulator_url``, carriers without credentials use their examples, so all are
    there.

    Raises:
        ConfigError: no carrier has its credentials; says which variables would do.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Carrier] = {}
    wanting: list[str] = []
    for kind in carriers.all_carriers():
        given = {c.name: environ.get(c.env, "") for c in kind.credentials}
        missing = [c.env for c in kind.credentials if c.required and not given[c.name]]
        if settings.simulator_url:
            given, missing = simulated_credentials(kind, environ), []
        if missing:
            wanting.append(f"{kind.title}: {', '.join(missing)}")
        else:
            found[kind.name] = kind(given, clock=clock)
    if not found:
        raise ConfigError(
            "no carrier has its credentials. Set, for one of them:\n  " + "\n  ".join(wanting)
        )
    return found


def simulated_credentials(
    kind: type[Carrier], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What the environment has of a carrier's credentials, and its examples for the rest."""
    environ = os.environ if environ is None else environ
    return {c.name: environ.get(c.env, "") or c.example for c in kind.credentials}


def outbound_audio(kind: type[Carrier], environ: Mapping[str, str] | None = None) -> AudioFormat:
    """The encoding our audio goes out in: the carrier's first, or ``<NAME>_AUDIO`` if set.

    Raises:
        ConfigError: the variable names an encoding the carrier does not take.
    """
    environ = os.environ if environ is None else environ
    variable = f"{kind.name.upper()}_AUDIO"
    text = environ.get(variable, "")
    if not text:
        return kind.outbound[0]
    choices = ", ".join(map(str, kind.outbound))
    try:
        audio = AudioFormat.parse(text)
    except ValueError as error:
        raise ConfigError(f"{variable}: {error}; {kind.title} takes {choices}") from None
    if audio not in kind.outbound:
        raise ConfigError(f"{variable}: {kind.title} does not take {audio}, but {choices}")
    return audio


def dial_rate(kind: type[Carrier], environ: Mapping[str, str] | None = None) -> float:
    """Calls a second we may place: what the carrier grants, or ``<NAME>_DIAL_RATE`` if set.

    Raises:
        ConfigError: the variable holds no number above 0.
    """
    environ = os.environ if environ is None else environ
    variable = f"{kind.name.upper()}_DIAL_RATE"
    text = environ.get(variable, "")
    if not text:
        return kind.dial_rate
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1000:
        raise ConfigError(f"{variable}: calls a second, a number above 0, not {text!r}")
    return rate


def variable(name: str, default: str = "", environ: Mapping[str, str] | None = None) -> str:
    """A variable that a bot needs, such as a service's key; ``default`` where it is empty."""
    environ = os.environ if environ is None else environ
    return environ.get(name, "") or default
