"""What the model is asked for, and what it owes.

The service makes one response at a time: by itself when the caller has spoken, and when asked to.
What is asked for while another is under way, or while the caller speaks, waits; what fails is asked
for again. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import UNSET

from ...errors import TrunklineError
from .link import Link
from .voice import CUT
from .wire import Cancel, CreateResponse, ResponseOver, ResponseParams

__all__ = ["OWED_S", "Failed", "Responses"]

OWED_S = 15.0
"""How long the service may say nothing while it owes a response."""
FAILURES = 3
"""So many responses that failed in a row, and we give up."""

_HOPELESS = ("insufficient_quota", "invalid_api_key", "model_not_found")


class Failed(TrunklineError):
    """The service does not do its part. The message has its own word for why."""


class Responses:
    """The responses of one call. ``instructions`` are those of the session."""

    def __init__(self, instructions: str) -> None:
        self.voiced = False
        """Whether anything came of the one under way, or to come."""
        self.counts = dict.fromkeys(("responses", "failures", "tokens_in", "tokens_out"), 0)
        self._instructions = instructions
        self._wanted: CreateResponse | None = None  # to be asked for, when that is possible
        self._asked: CreateResponse | None = None  # asked for, and not had yet
        self._expecting = False
        self._active = ""
        self._dropped: set[str] = set()  # nobody wants these any more
        self._owed_at = 0.0
        self._failures = 0
        self._retry_at: float | None = None

    @property
    def owed(self) -> bool:
        """Whether the service is to say something."""
        return self._expecting or bool(self._active)

    @property
    def coming(self) -> bool:
        """Whether it is, or will be asked to."""
        return self.owed or self._wanted is not None or self._retry_at is not None

    def ask(self, instructions: str = "") -> None:
        """Have the model speak as soon as it can, with further instructions for this once."""
        both = f"{self._instructions}\n\n{instructions}" if instructions else UNSET
        self._wanted = CreateResponse(ResponseParams(both))

    def go_on(self, link: Link, now: float) -> None:
        """Nobody speaks: send what is wanted, if nothing else is under way."""
        if self._wanted is not None and not self.owed:
            link.say(self._wanted)
            self._asked, self._wanted = self._wanted, None
            self._expect(now)

    def alarms(self, stalled: Callable[[], None]) -> Iterator[tuple[float, Callable[[], None]]]:
        """What is to happen when; ``stalled`` when the service does not give what it owes."""
        if self.owed:
            yield self._owed_at + OWED_S, stalled
        if self._retry_at is not None:
            yield self._retry_at, self._retry

    # What happens.

    def alive(self, now: float) -> None:
        """The service said something."""
        self._owed_at = now

    def caller_spoke(self, now: float) -> None:
        """The caller has spoken: the service responds by itself, to all that it was told."""
        self._asked = self._wanted = self._retry_at = None
        self._expect(now)

    def created(self, response_id: str) -> None:
        """A response has begun."""
        self._expecting = False
        self._active = response_id
        self.counts["responses"] += 1

    def done(self, response: ResponseOver, now: float) -> None:
        """A response is over.

        Raises:
            Failed: it failed, and so did those before it.
        """
        if usage := response.usage:
            self.counts["tokens_in"] += usage.input_tokens
            self.counts["tokens_out"] += usage.output_tokens
        if response.id != self._active:
            return
        self._active = ""
        wanted = response.id not in self._dropped
        self._dropped.discard(response.id)
        if response.status == "completed" or (self.voiced and response.status == "incomplete"):
            self._failures = 0
            self._asked = None
        elif wanted and response.status in ("failed", "incomplete"):
            self._fail(response, now)

    def busy(self) -> None:
        """What was asked for was refused, since another response is under way."""
        self._wanted, self._asked = self._wanted or self._asked, None
        self._expecting = False

    def drop(self, link: Link | None, *, cancel: bool) -> None:
        """Nobody wants to hear the rest of the one under way."""
        if not self._active:
            return
        self._dropped.add(self._active)
        if cancel and link is not None:
            link.say(Cancel(event_id=f"{CUT}response", response_id=self._active))

    def is_wanted(self, response_id: str) -> bool:
        """Whether anybody wants to hear it."""
        return response_id not in self._dropped

    def lost(self) -> bool:
        """The session is gone. What was asked for and not had is wanted again.

        Returns:
            Whether a response was owed of which nothing came, and that nobody asked for but the
            caller.
        """
        silent = self.owed and not self.voiced
        if silent:
            self._wanted = self._wanted or self._asked
        self._expecting = False
        self._active = ""
        self._asked = None
        return silent and self._wanted is None

    def _expect(self, now: float) -> None:
        self._expecting = True
        self.voiced = False
        self._owed_at = now

    def _fail(self, response: ResponseOver, now: float) -> None:
        details = response.status_details
        error = details.error.code if details and details.error else None
        why = error or (details.reason if details else None) or response.status
        self._failures += 1
        self.counts["failures"] += 1
        if self._failures >= FAILURES or why in _HOPELESS:
            raise Failed(f"the service gives no response: {why}")
        self._retry_at = now + self._failures

    def _retry(self) -> None:
        self._retry_at = None
        self._wanted = self._wanted or self._asked or CreateResponse(ResponseParams())
