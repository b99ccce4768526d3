"""Messages in a carrier's own words, which a pipeline sends beside its frames.

They are read as the carrier would read them, by its own end of its protocol: so a message is
known for what it asks, and one that the carrier would refuse never reaches it. This knows no
carrier and no frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ... import carriers
from ...call import Call
from ...carrier import Carrier
from ...events import FromCaller, Started, ToCaller

__all__ = ["Messages", "carrier_of", "started"]


def carrier_of(call: Call) -> Carrier:
    """A call's carrier, to speak as it does; without anybody's credentials."""
    kind = carriers.get(call.carrier)
    return kind(kind.examples())


def started(call: Call) -> Started:
    """What the carrier's end says first of a call; the stream's id is here the call's."""
    return Started(
        call_id=call.id,
        stream_id=call.id,
        account_id=call.info.account_id,
        from_=call.from_,
        to=call.to,
        inbound=call.audio_in,
        outbound=call.audio_out,
        parameters=call.parameters,
    )


class Messages:
    """The carrier's end of one call's protocol."""

    def __init__(self, call: Call) -> None:
        self._end = carrier_of(call).carrier_end(call.audio_out)
        self.write(started(call))

    def read(self, message: object) -> Sequence[ToCaller]:
        """What a message asks for.

        Raises:
            RemoteProtocolError: the carrier would refuse it.
        """
        return self._end.receive(msgspec.json.encode(message).decode())

    def write(self, event: FromCaller) -> list[Any]:
        """The messages by which the carrier says ``event``, decoded."""
        self._end.send(event)
        return [msgspec.json.decode(message) for message in self._end.outgoing()]
