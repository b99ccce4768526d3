"""What can go wrong between a carrier and a server, on demand and repeatable.

``Faults`` says what shall go wrong on a call; ``Gremlin`` decides each single case from a seed, so
that a call that failed once fails again. Pure: it decides, others do. Times are in seconds since
the media socket opened, delays in milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

__all__ = ["Faults", "Gremlin", "Way", "forged"]

T = TypeVar("T")

# The last part of a media URL this long is a token and no word. (A guess that errs to our side: the
# simulator must not know where a carrier's tokens ride.)
_TOKEN_LENGTH = 20


class Faults(Struct, frozen=True, kw_only=True):
    """What goes wrong on a call. By default nothing does. ``probability`` fields are 0 to 1."""

    seed: int = 0

    # The connection.
    drop_after: float | None = None
    """Tear off the media socket so many seconds after it opened …"""
    drop_code: int = 0
    """… or close it orderly with this code. 0 tears."""
    drops: int = 1
    """How many media sockets of the call are dropped, one after the other."""
    stall_after: float | None = None
    """Stop reading what the server sends, and keep the socket open."""
    mute_after: float | None = None
    """Stop sending, and keep the socket open: a half-open connection."""
    delay_ms: float = 0.0
    """Everything takes so long, each way: media, webhooks, REST."""
    jitter_ms: float = 0.0
    """… and up to so much longer. Messages of a socket stay in order."""

    # Messages on the socket.
    duplicate: float = 0.0
    """Probability that an audio message is sent twice."""
    reorder: float = 0.0
    """Probability that an audio message is overtaken by the next."""
    lose: float = 0.0
    """Probability that an audio message is not sent at all."""
    lose_marks: float = 0.0
    """Probability that a mark never comes back."""
    repeat_start: bool = False
    """The stream's first messages are sent twice."""

    # Webhooks and REST.
    repeat_webhook: int = 1
    """How many times each webhook is sent, at once."""
    rest_refused: float = 0.0
    """Probability that a REST request is answered 503 and not carried out."""
    rest_lost: float = 0.0
    """Probability that a REST request is carried out and its answer lost."""
    rest_limited: float = 0.0
    """Probability that a REST request is answered 429, with a second to wait, and not carried
    out."""
    rest_error: float = 0.0
    """Probability that a REST request is answered 500 and not carried out …"""
    rest_error_done: float = 0.0
    """… or carried out all the same: the server's fault came after."""

    # Lies.
    forged_token: bool = False
    """The media socket comes with another token than the answer gave."""
    forged_call_id: str = ""
    """The stream says that it belongs to this call."""
    forged_signature: bool = False
    """Webhooks and upgrades are signed by somebody who does not know the secrets."""


class Gremlin:
    """Decides what goes wrong in one place; ``place`` tells equal seeds apart."""

    def __init__(self, faults: Faults, place: str = "") -> None:
        self.faults = faults
        self.place = place
        self._random = random.Random(f"{faults.seed}/{place}")
        self._held: object | None = None

    def strikes(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self._random.random() < probability

    def delay(self) -> float:
        """Seconds that the next thing takes on its way."""
        faults = self.faults
        if not faults.delay_ms and not faults.jitter_ms:
            return 0.0
        return (faults.delay_ms + faults.jitter_ms * self._random.random()) / 1000

    def media(self, message: T) -> list[T]:
        """What really leaves, in order, where one audio message should."""
        faults = self.faults
        if self.strikes(faults.lose):
            return []
        out = [message, message] if self.strikes(faults.duplicate) else [message]
        held, self._held = self._held, None
        if held is not None:
            return [*out, held]  # type: ignore[list-item]
        if self.strikes(faults.reorder):
            self._held = message
            return out[1:]
        return out

    def token(self, url: str, parameters: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """The media URL and parameters to present: the ones given, or forged."""
        if not self.faults.forged_token:
            return url, parameters
        parts = urlsplit(url)
        stem, slash, last = parts.path.rpartition("/")
        if len(last) >= _TOKEN_LENGTH:
            last = last[::-1]
        query = parts.query[::-1] if len(parts.query) >= _TOKEN_LENGTH else parts.query
        forged = urlunsplit(parts._replace(path=stem + slash + last, query=query))
        return forged, {name: value[::-1] for name, value in parameters.items()}


class Way:
    """One direction of a connection, on which everything takes its time and keeps its order.

    What leaves at one instant arrives together, as it does in one packet.
    """

    def __init__(self, gremlin: Gremlin) -> None:
        self._gremlin = gremlin
        self._left = -1.0
        self._arrival = 0.0

    def arrival(self, now: float) -> float:
        """When something arrives that leaves ``now``, in seconds on the same clock."""
        if now != self._left:
            self._left = now
            self._arrival = max(self._arrival, now + self._gremlin.delay())
        return self._arrival


def forged(credentials: Mapping[str, str], secret: set[str]) -> dict[str, str]:
    """Credentials of somebody who knows all that is public: those named in ``secret`` are wrong."""
    return {
        name: value[::-1] + "x" if name in secret and value else value
        for name, value in credentials.items()
    }
