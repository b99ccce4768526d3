"""Media tokens: what lets a carrier's socket in, once.

A token is minted when a verified webhook is answered, or when a call is placed, and says which
carrier, call and account it is for and when it expires. It is signed (``itsdangerous``), so that
any process with the same secret takes it; the newest secret signs, older ones still verify. That it
is used only once is kept in a ``Used`` store: in memory here, shared where several processes serve.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from itsdangerous import BadSignature as Forged
from itsdangerous import URLSafeSerializer
from msgspec import Struct

from ..errors import BadToken

__all__ = ["MemoryUsed", "Ticket", "Tokens", "Used"]

_SALT = "trunkline media token"


class Ticket(Struct, frozen=True):
    """What a token says.

    ``call_id`` is empty where only the stream will tell which call it is for; ``tag`` is what we
    called that call when we placed it.
    """

    carrier: str
    call_id: str
    account_id: str
    tag: str = ""


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
        # itsdangerous signs with the last key of a list and verifies with any.
        self._serializer = URLSafeSerializer(list(reversed(keys)), salt=_SALT)
        self._ttl = ttl
        self._clock = clock
        self._used = used

    def mint(self, ticket: Ticket, within: float = 0.0) -> str:
        """A token for one socket; URL-safe text.

        ``within``: seconds that pass, at most, before its life begins: a call rings first.
        """
        expires = round(self._clock() + within + self._ttl, 3)
        nonce = secrets.token_urlsafe(9)
        fields = [ticket.carrier, ticket.call_id, ticket.account_id, ticket.tag, nonce, expires]
        return str(self._serializer.dumps(fields))

    async def take(self, token: str, carrier: str) -> Ticket:
        """What the token says; it is used up by this.

        Raises:
            BadToken: forged, expired, for another carrier, or used before.
        """
        ticket, nonce, expires = self._read(token, carrier)
        if self._clock() >= expires:
            raise BadToken("the token has expired")
        if not await self._used.claim(nonce, expires):
            raise BadToken("the token was used before")
        return ticket

    def look(self, token: str, carrier: str) -> Ticket:
        """What the token says, used up or not: enough only for a call that waits for its socket.

        Raises:
            BadToken: forged, or for another carrier.
        """
        return self._read(token, carrier)[0]

    def _read(self, token: str, carrier: str) -> tuple[Ticket, str, float]:
        if not token:
            raise BadToken("the socket came without a token")
        try:
            fields = self._serializer.loads(token)
        except (Forged, UnicodeEncodeError):
            raise BadToken("the token is not ours") from None
        for_carrier, call_id, account_id, tag, nonce, expires = fields
        if for_carrier != carrier:
            raise BadToken("the token is for another carrier")
        return Ticket(for_carrier, call_id, account_id, tag), nonce, expires
