"""How a call is answered: what we offer it, and what an answer document asks of the carrier.

A carrier writes an ``Offer`` as its own document and, for the simulator, reads any such document
back as ``Step``s. Nothing here knows a document's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from xml.etree.ElementTree import Element

from msgspec import Struct

from .errors import RemoteProtocolError
from .media.formats import AudioFormat
from .web import Flow, Response, read_xml

__all__ = [
    "Answer",
    "AwaitStream",
    "CollectDigits",
    "Dismissal",
    "Hangup",
    "Hooks",
    "Offer",
    "OpenStream",
    "Pause",
    "Purpose",
    "Redirect",
    "Reject",
    "SendTones",
    "Step",
    "TransferTo",
    "read_steps",
]


class Purpose(StrEnum):
    """What one of our webhook URLs is for; the last segment of its path."""

    ANSWER = "answer"
    AFTER = "after"
    STATUS = "status"
    DIGITS = "digits"


class Hooks(Struct, frozen=True):
    """Our public webhook URLs for one carrier. ``base`` is ``https://host/…/{carrier}``.

    ``query`` (encoded, without the question mark) rides in each of them: what a webhook is about,
    told in our own words.
    """

    base: str
    query: str = ""

    def url(self, purpose: Purpose) -> str:
        """The full URL for ``purpose``."""
        url = f"{self.base}/{purpose.value}"
        return f"{url}?{self.query}" if self.query else url


class Offer(Struct, frozen=True, kw_only=True):
    """What a call is offered when it is answered: a media socket, and where else to ask.

    ``stream_url`` is the ``wss`` URL without the token; the carrier decides whether the token
    rides in its path (``{stream_url}/{token}``) or elsewhere. ``audio`` is the encoding wanted
    for our audio; ``parameters`` are custom ones, given back in ``Started``. ``again``: the call
    was answered before, and had a stream that is gone.
    """

    stream_url: str
    token: str
    hooks: Hooks
    audio: AudioFormat
    parameters: Mapping[str, str] = {}
    again: bool = False

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
    name: str = ""


class AwaitStream(Struct, frozen=True):
    """An answer's instruction: go on when the media socket that is open already has closed.

    Where streams have names, the one of that name; no such one is no reason to wait.
    """

    name: str = ""


class CollectDigits(Struct, frozen=True):
    """An answer's instruction: from now on, tell each key by webhook; with no URL, no more."""

    url: str


class Redirect(Struct, frozen=True):
    """An answer's instruction: ask this URL how to go on; an empty one, the URL asked before."""

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
