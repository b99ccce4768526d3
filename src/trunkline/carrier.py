"""The seam: a carrier is one object that answers six questions.

Wire, door, answer, control, facts, credentials. Everything else in the tree is a loop over
carriers and names none. Each answer has its mirror, so that the simulator plays the carrier from
the same file and cannot drift from it:

    our side                    the carrier's side (simulator)
    bot_end()                   carrier_end()
    verify(request)             sign(request)
    read_webhook(request)       write_webhook(notice)
    answer(call, offer)         read_answer(response)
    hang_up, dial, transfer …   platform(request)

A carrier object holds its credentials, a clock and at most a cached access token. It does no I/O:
HTTP exchanges are generators (``Flow``), carried out by ``rest.py``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Literal

from msgspec import Struct

from .answers import (
    Answer,
    AwaitStream,
    CollectDigits,
    Dismissal,
    Hangup,
    Hooks,
    Offer,
    OpenStream,
    Pause,
    Purpose,
    Redirect,
    Reject,
    SendTones,
    Step,
    TransferTo,
    read_steps,
)
from .control import (
    Command,
    Control,
    Dial,
    Fetch,
    Find,
    HangUpLeg,
    Instruct,
    Leg,
    Place,
    Platform,
    Press,
)
from .errors import ConfigError, RemoteProtocolError, Unsupported
from .events import CallInfo, CallState, FromCaller, Notice, Started, ToCaller
from .media.formats import AudioFormat
from .media.framing import FrameRule, Marks
from .web import Flow, Request, Response, safe_id
from .wire import Shapes, Stream

__all__ = [
    "Answer",
    "AwaitStream",
    "Carrier",
    "CollectDigits",
    "Command",
    "Control",
    "Credential",
    "Dial",
    "Dismissal",
    "Fetch",
    "Find",
    "FrameRule",
    "HangUpLeg",
    "Hangup",
    "Hooks",
    "Instruct",
    "Leg",
    "Level",
    "Marks",
    "Offer",
    "OpenStream",
    "Pause",
    "Place",
    "Platform",
    "Press",
    "Purpose",
    "Redirect",
    "Reject",
    "SendTones",
    "Shapes",
    "Step",
    "Stream",
    "TransferTo",
    "read_steps",
]


class Level(StrEnum):
    """How well a carrier's module is known to be right."""

    DOCUMENTED = "documented"
    """Written from the carrier's documentation and code; tested against the simulator."""
    CAPTURED = "captured"
    """… and against messages captured from real calls."""
    LIVE = "live"
    """… and on live calls."""


class Credential(Struct, frozen=True):
    """One thing an operator must tell us to use the carrier.

    ``env`` is the environment variable it is read from. ``example`` is what the simulator uses
    where nothing is set.
    """

    name: str
    env: str
    help: str
    example: str = ""
    secret: bool = False
    required: bool = True


class Carrier(ABC):
    """One carrier. Subclass it in one module, and it is found.

    Args:
        credentials: values by credential name; missing optional ones are empty.
        clock: seconds since the epoch.

    Raises:
        ConfigError: a required credential is missing; names its environment variable.
    """

    # Facts. The first block has no default: every carrier must say.
    name: ClassVar[str]
    title: ClassVar[str]
    docs: ClassVar[str]
    credentials: ClassVar[tuple[Credential, ...]]
    inbound: ClassVar[tuple[AudioFormat, ...]]
    """Encodings the caller's audio may come in."""
    outbound: ClassVar[tuple[AudioFormat, ...]]
    """Encodings our audio may go out in; the first is the default."""
    hears: ClassVar[frozenset[type[Struct]]]
    """Kinds of ``FromCaller`` event that this carrier's socket can bring."""
    says: ClassVar[frozenset[type[Struct]]]
    """Kinds of ``ToCaller`` event that this carrier's socket can carry."""
    marks: ClassVar[Marks]

    one_format: ClassVar[bool] = False
    """Whether a stream has one encoding for both ways: the caller's audio then comes in ours."""
    frame: ClassVar[FrameRule] = FrameRule()
    level: ClassVar[Level] = Level.DOCUMENTED
    signs_webhooks: ClassVar[str] = ""
    """How webhooks prove their origin, in a few words; empty where they cannot."""
    signature_covers: ClassVar[frozenset[Literal["url", "body"]]] = frozenset()
    """What a signature is computed over; nothing where it is only a secret sent along."""
    signs_upgrade: ClassVar[bool] = False
    """Whether the WebSocket upgrade carries proof of its own (the token is checked anyway)."""
    reconnects: ClassVar[bool] = False
    """Whether the carrier, having lost a media socket, opens it again by itself at the same URL."""
    asks_after: ClassVar[bool] = True
    """Whether a call whose stream is over asks our ``after`` webhook how to go on. One that does
    not, and whose carrier does not reconnect by itself either, is told by REST: its answers have
    flows, and an offer ``again`` opens another stream."""
    digits_by_webhook: ClassVar[bool] = False
    """Whether the caller's keys come by webhook rather than on the socket."""
    dial_rate: ClassVar[float] = 1.0
    """Calls a second that an account may place before the carrier has said otherwise."""
    arguments: ClassVar[str] = ""
    """What people build a frame serializer for it with, where that is not ``stream_id``,
    ``call_id`` and the required credentials. A word that is none of these says what it is:
    ``=stream`` and ``=call`` are ids, ``=in`` and ``=out`` encodings of the caller's audio and of
    ours, ``=name`` is a credential. What follows ``*`` is given by name only, and may stand in
    for the secret before it."""
    limitations: ClassVar[tuple[str, ...]] = ()
    """Sentences for people: what this carrier cannot do, or does unlike others."""

    def __init__(
        self, credentials: Mapping[str, str], *, clock: Callable[[], float] = time.time
    ) -> None:
        missing = [c.env for c in self.credentials if c.required and not credentials.get(c.name)]
        if missing:
            raise ConfigError(f"{self.title} needs {', '.join(missing)}: set in the environment")
        self.given = {c.name: credentials.get(c.name, "") for c in self.credentials}
        self.clock = clock

    @classmethod
    def examples(cls) -> dict[str, str]:
        """Credentials that fit together and are nobody's; what the simulator signs with."""
        return {each.name: each.example for each in cls.credentials}

    @classmethod
    def supports(cls, control: Control) -> bool:
        """Whether ``control`` can be expressed to this carrier at all."""
        return getattr(cls, control.value) is not getattr(Carrier, control.value)

    @classmethod
    def can_play(cls, audio: AudioFormat) -> AudioFormat:
        """``audio``, if the carrier takes it from us.

        Raises:
            Unsupported: it does not.
        """
        if audio not in cls.outbound:
            known = ", ".join(str(one) for one in cls.outbound)
            raise Unsupported(f"{cls.title} takes {known}, not {audio}")
        return audio

    def own_id(self, name: str) -> str:
        """A credential that stands in URLs, quoted for it.

        Raises:
            ConfigError: it cannot.
        """
        try:
            return safe_id(self.given[name])
        except RemoteProtocolError as error:
            env = next(c.env for c in self.credentials if c.name == name)
            raise ConfigError(f"{env}: {error}") from None

    # Wire.

    @abstractmethod
    def bot_end(self, audio: AudioFormat) -> Stream[FromCaller, ToCaller]:
        """Our server's end of a media socket; ``audio`` is the encoding our audio goes out in.

        Raises:
            Unsupported: the carrier does not take that encoding.
        """

    @abstractmethod
    def carrier_end(self, audio: AudioFormat) -> Stream[ToCaller, FromCaller]:
        """The carrier's end, for the simulator. Its first ``send`` is a ``Started``."""

    # Door.

    @abstractmethod
    def verify(self, request: Request) -> None:
        """Check that the carrier made this webhook or, where it signs those, this upgrade.

        An upgrade is a ``GET`` whose URL begins with ``ws``.

        Raises:
            BadSignature: it did not, or cannot be shown to have.
        """

    @abstractmethod
    def sign(self, request: Request) -> Request:
        """``request`` as the carrier would send it: the mirror of ``verify``."""

    # Answer.

    @abstractmethod
    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        """What a verified webhook says.

        Raises:
            RemoteProtocolError: it cannot be read.
        """

    @abstractmethod
    def write_webhook(self, notice: Notice, url: str) -> Request:
        """The webhook that says ``notice``, unsigned: the mirror of ``read_webhook``.

        Raises:
            Unsupported: the carrier sends no webhook for that.
        """

    @abstractmethod
    def answer(self, call: CallInfo, offer: Offer) -> Answer:
        """Take the call and stream it to ``offer``; never leaves it open when the stream ends.

        Raises:
            Unsupported: the carrier cannot carry the offer's audio or parameters.
        """

    @abstractmethod
    def dismiss(self, call: CallInfo, why: Dismissal) -> Answer:
        """Do not take the call, or end it."""

    @abstractmethod
    def read_answer(self, response: Response) -> Sequence[Step]:
        """What an answer document asks for: the mirror of ``answer`` and ``dismiss``.

        Raises:
            RemoteProtocolError: the carrier would not understand it.
        """

    # Control. Every flow below may raise ``CarrierError`` (the carrier would not) and
    # ``RemoteProtocolError`` (its answer cannot be read, or an id could not stand in a URL); all
    # but ``hang_up`` and ``state`` may raise ``CallEnded``.

    def hang_up(self, call: CallInfo) -> Flow[None]:
        """End the call. Succeeds where it had already ended."""
        raise Unsupported(f"{self.title} has no request that ends a call")

    def state(self, call: CallInfo) -> Flow[CallState]:
        """Ask where the call stands; one that is not known any more has ended."""
        raise Unsupported(f"{self.title} has no request that tells a call's state")

    def dial(self, wish: Dial) -> Flow[str]:
        """Place a call; returns the carrier's id for it (see ``CallInfo.dial_id``)."""
        raise Unsupported(f"{self.title} has no request that places a call")

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        """Connect the caller with ``to`` and leave; what follows asks ``hooks``'s ``after``."""
        raise Unsupported(f"{self.title} has no way to transfer a call")

    def send_digits(
        self, call: CallInfo, digits: str, *, started: Started, hooks: Hooks
    ) -> Flow[None]:
        """Press keys towards the caller, out of band.

        ``started`` is what the running stream began with. Where a carrier must end that stream to
        do this, the call then asks ``hooks``'s ``after`` for a new one.

        Raises:
            ValueError: ``digits`` holds what is no key here.
        """
        raise Unsupported(f"{self.title} has no request that sends keys")

    def check(self) -> Flow[Sequence[str]]:
        """Try the credentials with a request that changes nothing and costs nothing.

        Returns:
            What the account shows that an operator would want to know, as sentences: which
            webhook a number has, say. Often none.
        """
        raise Unsupported(f"{self.title} has no harmless request to try credentials with")

    @abstractmethod
    def platform(self, request: Request) -> Platform:
        """Answer a REST request as the carrier would: the mirror of the flows above.

        Raises:
            RemoteProtocolError, ValueError: it cannot be read (HTTP 400).
        """
