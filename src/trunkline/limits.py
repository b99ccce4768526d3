"""What ends a call by itself: how long it may last, and how long it may be silent.

Pure: told what happens and when, says which limit has been reached. Ending the call is for the
session.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from .events import Audio
from .media.formats import AudioFormat
from .media.level import rms

__all__ = ["Limits", "Watch"]

VOICE_RMS = 200.0
"""Level (of 16-bit samples) above which the caller counts as not silent: about -44 dBFS."""
LISTEN_EVERY_S = 0.2
"""Between two looks at the caller's audio: enough to notice speech, at a tenth of the price."""


class Limits(Struct, frozen=True, kw_only=True):
    """What ends a call by itself. Seconds; 0 switches a limit off.

    ``max_duration`` counts from the first socket, ``no_media`` from the last message that came,
    ``silence`` from when either side was last heard to speak. ``write`` is how long the carrier
    may leave what we send unread, ``reattach`` how long a lost socket may take to be replaced.
    """

    max_duration: float = 4 * 3600.0
    no_media: float = 20.0
    silence: float = 600.0
    write: float = 2.0
    reattach: float = 3.0


class Watch:
    """Watches one call's limits. ``away`` is whether the caller talks with somebody else.

    Args:
        limits: the limits.
        now: when the call began; seconds, monotonic, as all times here.
    """

    __slots__ = ("_began", "_voice_at", "away", "limits", "listen_at", "message_at")

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.away = False
        self.message_at = now
        self.listen_at = now if limits.silence else inf
        """When the caller's audio is to be looked at next; before that, it need not be told."""
        self._began = now
        self._voice_at = now

    def joined(self, now: float) -> None:
        """A socket is there: what was missed meanwhile does not count."""
        self.message_at = self._voice_at = now

    def heard(self, event: Audio, audio: AudioFormat, now: float) -> None:
        """The caller's audio came, and it is time to look: is it speech?"""
        self.listen_at = now + LISTEN_EVERY_S
        if rms(event.payload, audio) > VOICE_RMS:
            self._voice_at = now

    def speaking(self, now: float) -> None:
        """The caller hears us at this moment."""
        self._voice_at = now

    def reached(self, now: float, *, connected: bool) -> str:
        """The name of the limit that has been reached; empty while none has."""
        return next((name for name, at in self._ends(connected) if now >= at), "")

    def next(self, *, connected: bool) -> float:
        """When the next limit is reached, if nothing happens until then; infinity: never."""
        return min((at for _, at in self._ends(connected)), default=inf)

    def _ends(self, connected: bool) -> list[tuple[str, float]]:
        limits = self.limits
        ends: list[tuple[str, float]] = []
        if limits.max_duration:
            ends.append(("max_duration", self._began + limits.max_duration))
        if limits.silence and not self.away:
            ends.append(("silence", self._voice_at + limits.silence))
        if limits.no_media and connected:
            ends.append(("no_media", self.message_at + limits.no_media))
        return ends
