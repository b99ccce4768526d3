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
from collections.abc import Callable, Generator, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Generic, Literal, TypeVar
from xml.etree.ElementTree import Element

import msgspec
from msgspec import Struct

from .errors import ConfigError, RemoteProtocolError, Unsupported
from .events import (
    CallInfo,
    CallState,
    EndReason,
    Extra,
    FromCaller,
    Notice,
    Started,
    ToCaller,
)
from .media.formats import AudioFormat
from .web import Flow, Request, Response, read_xml, safe_id

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

In = TypeVar("In")
Out = TypeVar("Out")

# --- wire ------------------------------------------------------------------------------------


class Stream(ABC, Generic[In, Out]):
    """One end of a media socket's protocol, without the socket.

    ``In`` is what the other end tells us, ``Out`` what we tell it. A ``str`` message is a
    WebSocket text frame, ``bytes`` a binary one.
    """

    def __init__(self) -> None:
        self._queue: list[str | bytes] = []

    @abstractmethod
    def receive(self, message: str | bytes) -> Sequence[In]:
        """Read one message.

        A reply that the protocol owes is queued, not returned: drain ``outgoing`` afterwards.

        Raises:
            RemoteProtocolError: the message breaks the protocol; nothing else, on any input.
        """

    @abstractmethod
    def send(self, event: Out) -> None:
        """Queue the message or messages that say ``event``.

        Raises:
            LocalProtocolError: this end cannot say it, or not yet.
        """

    def put(self, message: object) -> None:
        """Queue a message as JSON text: a struct, or a mapping."""
        self._queue.append(msgspec.json.encode(message).decode())

    def outgoing(self) -> list[str | bytes]:
        """Hand out, once, the messages queued for the other end."""
        queue = self._queue
        if queue:
            self._queue = []
        return queue


Shape = TypeVar("Shape", bound=Struct)


class Shapes(Generic[Shape]):
    """Reads JSON text messages of a declared set of shapes (tagged ``msgspec`` structs).

    A message with a tag that is not declared becomes ``Extra``; anything else that does not fit
    is the peer's protocol error.
    """

    def __init__(self, union: Any, tag: str) -> None:
        self._decoder: msgspec.json.Decoder[Shape] = msgspec.json.Decoder(union, strict=False)
        self._tag = tag
        members: tuple[type[Struct], ...] = getattr(union, "__args__", (union,))
        self._known = {member.__struct_config__.tag for member in members}

    def read(self, message: str | bytes) -> Shape | Extra:
        """Decode one text message.

        Raises:
            RemoteProtocolError: it is binary, no JSON object, or a known shape malformed.
        """
        if not isinstance(message, str):
            raise RemoteProtocolError("a binary message, where the protocol has only text")
        try:
            return self._decoder.decode(message)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._unknown(message, error)

    def _unknown(self, message: str, error: Exception) -> Extra:
        try:
            fields = msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise RemoteProtocolError(f"unreadable message: {error}") from None
        kind = fields.pop(self._tag, None)
        if not isinstance(kind, str) or kind in self._known:
            raise RemoteProtocolError(f"malformed message: {error}") from None
        return Extra(kind, fields)


# --- facts -----------------------------------------------------------------------------------


class Marks(StrEnum):
    """What becomes of a mark."""

    NONE = "none"
    """The protocol has no marks: what was heard is estimated by the clock."""
    RETURNED = "returned"
    """Every mark comes back; after a clear, the cleared ones too (flushed, not played)."""
    DROPPED = "dropped"
    """Only marks that were reached come back; cleared ones never do."""


class Level(StrEnum):
    """How well a carrier's module is known to be right."""

    DOCUMENTED = "documented"
    """Written from the carrier's documentation and code; tested against the simulator."""
    CAPTURED = "captured"
    """… and against messages captured from real calls."""
    LIVE = "live"
    """… and on live calls."""


class FrameRule(Struct, frozen=True):
    """How audio towards the carrier is cut into messages.

    ``ms`` is the length of a full message in milliseconds. With ``whole``, each message is
    exactly that long and the last of an utterance is padded with silence; without, the tail goes
    out as it is. ``max_lead_ms`` bounds how much audio may be sent ahead of its playout.
    """

    ms: int = 20
    whole: bool = False
    max_lead_ms: int = 200


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


# --- answer ----------------------------------------------------------------------------------


class Purpose(StrEnum):
    """What one of our webhook URLs is for; the last segment of its path."""

    ANSWER = "answer"
    AFTER = "after"
    STATUS = "status"
    DIGITS = "digits"


class Hooks(Struct, frozen=True):
    """Our public webhook URLs for one carrier. ``base`` is ``https://host/…/{carrier}``."""

    base: str

    def url(self, purpose: Purpose) -> str:
        """The full URL for ``purpose``."""
        return f"{self.base}/{purpose.value}"


class Offer(Struct, frozen=True, kw_only=True):
    """What a call is offered when it is answered: a media socket, and where else to ask.

    ``stream_url`` is the ``wss`` URL without the token; the carrier decides whether the token
    rides in its path (``{stream_url}/{token}``) or elsewhere. ``audio`` is the encoding wanted
    for our audio; ``parameters`` are custom ones, given back in ``Started``.
    """

    stream_url: str
    token: str
    hooks: Hooks
    audio: AudioFormat
    parameters: Mapping[str, str] = {}

    @property
    def token_url(self) -> str:
        """The media URL with the token as its last path segment."""
        return f"{self.stream_url}/{self.token}"


class Answer(Struct, frozen=True):
    """How a webhook is answered: a response at once, and perhaps REST calls right after."""

    response: Response
    flow: Callable[[], Flow[None]] | None = None


class Dismissal(StrEnum):
    """Why a call that asks for instructions gets none but to end."""

    BUSY = "busy"
    REJECTED = "rejected"
    DONE = "done"


class OpenStream(Struct, frozen=True, kw_only=True):
    """An answer's instruction: open a media socket; then go on at once, or wait for its end."""

    url: str
    blocking: bool = True
    headers: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}
    audio: AudioFormat | None = None


class AwaitStream(Struct, frozen=True):
    """An answer's instruction: go on when the media socket that is open already has closed."""


class CollectDigits(Struct, frozen=True):
    """An answer's instruction: from now on, tell each key by webhook; with no URL, no more."""

    url: str


class Redirect(Struct, frozen=True):
    """An answer's instruction: ask this URL how to go on."""

    url: str
    method: str = "POST"


class Hangup(Struct, frozen=True):
    """An answer's instruction: end the call."""


class Reject(Struct, frozen=True):
    """An answer's instruction: do not take the call."""

    reason: str = "busy"


class Pause(Struct, frozen=True):
    """An answer's instruction: stay on the line in silence.

    ``seconds`` is ``math.inf`` where a carrier that is driven by REST waits for its next order.
    """

    seconds: float


class TransferTo(Struct, frozen=True, kw_only=True):
    """An answer's instruction: connect the caller with ``to``; ask ``then_url`` when that ends."""

    to: str
    from_: str = ""
    then_url: str = ""


class SendTones(Struct, frozen=True):
    """An answer's instruction: play these keys to the caller."""

    digits: str


Step = (
    OpenStream
    | AwaitStream
    | CollectDigits
    | Redirect
    | Hangup
    | Reject
    | Pause
    | TransferTo
    | SendTones
)
"""What an answer document asks for, step after step; after the last, the call ends."""


def read_steps(document: bytes, verbs: Mapping[str, Callable[[Element], Step]]) -> list[Step]:
    """The steps of an XML document whose root is ``Response``, by a reader for each verb.

    Raises:
        RemoteProtocolError: it is no such document, or holds a verb that has no reader.
    """
    root = read_xml(document)
    if root.tag != "Response":
        raise RemoteProtocolError(f"a document begins with <Response>, not <{root.tag}>")
    try:
        return [verbs[verb.tag](verb) for verb in root]
    except (KeyError, ValueError) as error:
        raise RemoteProtocolError(f"a verb that is unknown, or malformed: {error}") from None


# --- control ---------------------------------------------------------------------------------


class Control(StrEnum):
    """What can be asked of a call over REST; each is the method of that name."""

    HANG_UP = "hang_up"
    STATE = "state"
    DIAL = "dial"
    TRANSFER = "transfer"
    SEND_DIGITS = "send_digits"


class Dial(Struct, frozen=True, kw_only=True):
    """A call to be placed. Numbers are E.164 with ``+``; times in seconds.

    ``key`` identifies the wish, not the attempt: it rides along as the carrier's tag where there
    is one, so that an attempt whose answer was lost can be found again.
    """

    to: str
    from_: str
    offer: Offer
    ring_timeout: int = 30
    max_duration: int = 14400
    detect_machine: bool = False
    key: str = ""


class Leg(Struct, frozen=True, kw_only=True):
    """A call as the simulated carrier sees it."""

    call: CallInfo
    state: CallState
    reason: EndReason | None = None
    tag: str = ""
    duration_s: float = 0.0


class Find(Struct, frozen=True):
    """Platform asks the simulator: which call is this? Answered with its ``Leg`` or ``None``."""

    call_id: str


class HangUpLeg(Struct, frozen=True):
    """Platform tells the simulator to end a call."""

    call_id: str


class Instruct(Struct, frozen=True):
    """Platform tells the simulator what the call does next, in place of what it does now.

    The media socket is closed first, unless ``keep_stream``.
    """

    call_id: str
    steps: Sequence[Step]
    keep_stream: bool = False


class Fetch(Struct, frozen=True):
    """Platform tells the simulator to ask a webhook what the call does next."""

    call_id: str
    url: str
    method: str = "POST"


class Place(Struct, frozen=True, kw_only=True):
    """Platform tells the simulator to place a call. Answered with its ``Leg``.

    Once answered, the call asks ``answer_url``, or follows ``steps`` where the request had them.
    """

    to: str
    from_: str
    answer_url: str = ""
    status_url: str = ""
    steps: Sequence[Step] = ()
    ring_timeout: float = 30.0
    detect_machine: bool = False
    tag: str = ""


class Press(Struct, frozen=True):
    """Platform tells the simulator to press keys towards the caller, out of band."""

    call_id: str
    digits: str


Command = Find | HangUpLeg | Instruct | Fetch | Place | Press
Platform = Generator[Command, Leg | None, Response]
"""A carrier's REST API without I/O: yields commands, is sent legs, returns the HTTP answer."""


# --- the carrier -----------------------------------------------------------------------------


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
    digits_by_webhook: ClassVar[bool] = False
    """Whether the caller's keys come by webhook rather than on the socket."""
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

    @abstractmethod
    def platform(self, request: Request) -> Platform:
        """Answer a REST request as the carrier would: the mirror of the flows above.

        Raises:
            RemoteProtocolError, ValueError: it cannot be read (HTTP 400).
        """
