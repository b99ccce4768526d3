"""How a carrier takes audio: cut into what messages, how far ahead, and with marks or without."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = ["FrameRule", "Marks"]


class Marks(StrEnum):
    """What becomes of a mark."""

    NONE = "none"
    """The protocol has no marks: what was heard is estimated by the clock."""
    RETURNED = "returned"
    """Every mark comes back; after a clear, the cleared ones too (flushed, not played)."""
    DROPPED = "dropped"
    """Only marks that were reached come back; cleared ones never do."""


class FrameRule(Struct, frozen=True):
    """How audio towards the carrier is cut into messages.

    ``ms`` is the length of a full message in milliseconds. With ``whole``, each message is
    exactly that long and the last of an utterance is padded with silence; without, the tail goes
    out as it is. ``max_lead_ms`` bounds how far the lead may grow on a server that stalls; audio
    that was sent is taken back by a clear, so that a carrier that can clear loses nothing by it.
    """

    ms: int = 20
    whole: bool = False
    max_lead_ms: int = 600
