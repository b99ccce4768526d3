"""Media tokens: what lets a carrier's socket in, once.

A token is minted when a verified webhook is answered, or when a call is placed, and says which
carrier, call and account it is for and when it expires. It is signed (HMAC-SHA-256), so that any
process with the same secret takes it; the newest secret signs, older ones still verify. That it is
used only once is kept in a ``Used`` store: in memory here, shared where several processes serve.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from ..errors import BadToken
from ..web import same

__all__ = ["MemoryUsed", "Ticket", "Tokens", "Used"]

# Keys are derived with this, so that what else a secret may sign is never taken for a token.
_PURPOSE = b"trunkline media token"


class Ticket(Struct, frozen=True, array_like=True):
    """What a token says.

    ``call_id`` is empty where only the stream will tell which call it is for; ``tag`` is what we
    called that call when we placed it.
    """

    carrier: str
    call_id: str
    account_id: str
    tag: str = ""


class _Said(Struct, frozen=True, array_like=True):
    """What is signed: as JSON in URL-safe base64."""

    ticket: Ticket
    nonce: str
    expires: float


_WRITER = msgspec.json.Encoder()
_READER = msgspec.json.Decoder(_Said)


class Used(Protocol):
    """Remembers which tokens were used."""

    async def claim(self, nonce: str, until: float) -> bool:
        """Whether ``nonce`` is used now for the first time; it is remembered until ``until``."""
        ...


class MemoryUsed:
    """``Used`` for one process. Forgets what has expired."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    async def claim(self, nonce: str, until: float) -> bool:
        now = self._clock()
        while self._until:
            oldest, expires = next(iter(self._until.items()))
            if expires > now:
                break
            del self._until[oldest]
        if nonce in self._until:
            return False
        self._until[nonce] = until
        return True


class Tokens:
    """Mints and takes tokens.

    Args:
        keys: secrets, the newest first.
        ttl: seconds a token lives.
        clock: seconds since the epoch.
        used: where used tokens are remembered.
    """

    def __init__(
        self, keys: Sequence[str], ttl: float, clock: Callable[[], float], used: Used
    ) -> None:
        self._keys = [hmac.digest(key.encode(), _PURPOSE, "sha256") for key in keys]
        self._ttl = ttl
        self._clock = clock
        self._used = used

    def mint(self, ticket: Ticket, within: float = 0.0) -> str:
        """A token for one socket; URL-safe text.

        ``within``: seconds that pass, at most, before its life begins: a call rings first.
        """
        expires = round(self._clock() + within + self._ttl, 3)
        nonce = secrets.token_urlsafe(9)
        said = (
            urlsafe_b64encode(_WRITER.encode(_Said(ticket, nonce, expires))).rstrip(b"=").decode()
        )
        return f"{said}.{_signature(self._keys[0], said)}"

    async def take(self, token: str, carrier: str) -> Ticket:
        """What the token says; it is used up by this.

        Raises:
            BadToken: forged, expired, for another carrier, or used before.
        """
        said = self._read(token, carrier)
        if self._clock() >= said.expires:
            raise BadToken("the token has expired")
        if not await self._used.claim(said.nonce, said.expires):
            raise BadToken("the token was used before")
        return said.ticket

    def look(self, token: str, carrier: str) -> Ticket:
        """What the token says, used up or not: enough only for a call that waits for its socket.

        Raises:
            BadToken: forged, or for another carrier.
        """
        return self._read(token, carrier).ticket

    def _read(self, token: str, carrier: str) -> _Said:
        if not token:
            raise BadToken("the socket came without a token")
        said, _, signature = token.rpartition(".")
        if not any(same(_signature(key, said), signature) for key in self._keys):
            raise BadToken("the token is not ours")
        ours = _READER.decode(urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        if ours.ticket.carrier != carrier:
            raise BadToken("the token is for another carrier")
        return ours


def _signature(key: bytes, said: str) -> str:
    made = hmac.digest(key, said.encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(made).rstrip(b"=").decode()
