"""Everything Trunkline raises on purpose, in one tree.

    TrunklineError
    ├── ProtocolError                the wire was used against its rules
    │   ├── RemoteProtocolError      … by the peer: the only error a stream's ``receive`` raises
    │   └── LocalProtocolError       … by us: an event sent that the stream cannot say now
    ├── Unsupported                  this carrier has no way to express what was asked
    ├── ConfigError                  a setting or credential is missing or unusable; says which
    ├── Refused                      a peer was turned away; ``status`` is the HTTP answer
    │   ├── BadSignature             … its webhook or upgrade is not signed by the carrier
    │   ├── BadToken                 … its media token is forged, expired, used or someone else's
    │   └── Unknown                  … it asked for something that is not here
    ├── CarrierError                 a carrier's REST API said no; knows whether to try again
    │   └── OutcomeUnknown           … or nothing at all, to a request that must not be repeated
    ├── CallEnded                    the call was over when this was asked of it
    └── Busy                         no more can be taken on now; knows when to ask again

Nothing else is raised across a public boundary except the built-in ``ValueError`` and
``TypeError`` for arguments that could never be right.
"""

from __future__ import annotations

__all__ = [
    "BadSignature",
    "BadToken",
    "Busy",
    "CallEnded",
    "CarrierError",
    "ConfigError",
    "LocalProtocolError",
    "OutcomeUnknown",
    "ProtocolError",
    "Refused",
    "RemoteProtocolError",
    "TrunklineError",
    "Unknown",
    "Unsupported",
]


class TrunklineError(Exception):
    """Base of every error Trunkline raises."""


class ProtocolError(TrunklineError):
    """The wire protocol was violated; see the two subclasses for by whom."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something its own protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """We tried to send an event that the stream cannot say, or cannot say yet."""


class Unsupported(TrunklineError):
    """The carrier cannot express what was asked. The message is a sentence for people."""


class ConfigError(TrunklineError):
    """A setting or credential is missing or unusable. The message says what to set."""


class Refused(TrunklineError):
    """A peer was turned away. ``status`` is the HTTP status it is answered with."""

    status = 403


class BadSignature(Refused):
    """A webhook or WebSocket upgrade did not prove that the carrier sent it.

    ``challenge`` is the value of a ``WWW-Authenticate`` header to answer with, for carriers
    that authenticate by HTTP Basic and may wait to be asked.
    """

    status = 401

    def __init__(self, message: str, *, challenge: str | None = None) -> None:
        super().__init__(message)
        self.challenge = challenge


class BadToken(Refused):
    """A media socket came without a token that a verified webhook minted for this call."""


class Unknown(Refused):
    """There is nothing where the peer knocked."""

    status = 404


class CarrierError(TrunklineError):
    """A carrier's REST API answered with an error.

    Args:
        message: what was asked and what the carrier said, without secrets.
        status: the HTTP status, or ``None`` when no answer came.
        code: the carrier's own error code, as text.
        retryable: whether the same request may succeed later.
        retry_after: seconds to wait first, where the carrier said so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after


class OutcomeUnknown(CarrierError):
    """No answer came to a request that may have been carried out and must not be repeated."""


class CallEnded(TrunklineError):
    """The call was already over."""


class Busy(TrunklineError):
    """No more calls are taken on now.

    ``retry_after`` is in how many seconds to ask again; ``None`` where that is of no use, since
    the server stops.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
