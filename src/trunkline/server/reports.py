"""A call as it is told of over HTTP, and what may be asked of one there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..events import Direction, EndReason, Who, Why
from ..session import Session
from .dialled import Dialled, DialState

__all__ = [
    "Ending",
    "HangUp",
    "Keys",
    "NewCall",
    "Report",
    "Transfer",
    "of_dialled",
    "of_session",
]

Number = Annotated[
    str,
    Field(pattern=r"^\+[1-9][0-9]{6,14}$", examples=["+12025550123"], description="E.164 with +"),
]


class NewCall(BaseModel):
    """A call to be placed."""

    model_config = ConfigDict(extra="forbid")

    to: Number
    from_: Annotated[Number, Field(alias="from", description="one of your numbers, E.164 with +")]
    carrier: str = Field(default="", description="may be left out where only one is switched on")
    parameters: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="what the bot finds in call.parameters"
    )
    ring_timeout: int = Field(default=30, ge=5, le=120, description="seconds it may ring")
    max_duration: int = Field(default=14_400, ge=60, le=14_400, description="seconds it may last")
    detect_machine: bool = Field(
        default=False, description="ask the carrier whether a machine answered"
    )


class HangUp(BaseModel):
    """How to hang up."""

    model_config = ConfigDict(extra="forbid")

    after_playback: bool = Field(default=False, description="let what is being said be heard first")


class Transfer(BaseModel):
    """Whom to connect the other party with."""

    model_config = ConfigDict(extra="forbid")

    to: Number
    from_: Annotated[str, Field(alias="from", pattern=r"^(\+[1-9][0-9]{6,14})?$")] = ""


class Keys(BaseModel):
    """Which keys to press."""

    model_config = ConfigDict(extra="forbid")

    digits: str = Field(pattern=r"^[0-9A-D*#wW,]{1,64}$", examples=["1w2#"])


class Ending(BaseModel):
    """Why a call is over, and by whom."""

    why: Why
    by: Who
    raw: str = Field(description="the carrier's own word, or more of the reason")


class Report(BaseModel):
    """A call, wherever it stands."""

    id: str = Field(
        description="names the call here: of one that was dialled, its own; of one that came in, "
        "the carrier's"
    )
    call_id: str = Field(description="the carrier's id, empty until it is known")
    carrier: str
    direction: Direction
    state: DialState
    to: str
    from_: str = Field(serialization_alias="from")
    key: str = Field(default="", description="the idempotency key")
    machine: str = Field(default="", description="human, machine, fax or unknown, once detected")
    tries: int = Field(default=0, description="how often the carrier was asked to place it")
    reason: Ending | None = Field(default=None, description="set once it is over")
    error: str = Field(default="", description="why it could not be placed")
    queued_at: datetime | None = None
    placed_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None


def _time(dialled: Dialled, *states: DialState) -> datetime | None:
    times = [dialled.times[state] for state in states if state in dialled.times]
    return datetime.fromtimestamp(min(times), UTC) if times else None


def _ending(reason: EndReason | None) -> Ending | None:
    return Ending(why=reason.why, by=reason.who, raw=reason.raw) if reason else None


def of_dialled(dialled: Dialled) -> Report:
    """A call that was dialled, wherever it stands."""
    return Report(
        id=dialled.id,
        call_id=dialled.info.call_id,
        carrier=dialled.wish.carrier,
        direction=Direction.OUTBOUND,
        state=dialled.state,
        to=dialled.wish.to,
        from_=dialled.wish.from_,
        key=dialled.key,
        machine=dialled.machine,
        tries=dialled.tries,
        reason=_ending(dialled.reason),
        error=dialled.error,
        queued_at=_time(dialled, DialState.QUEUED),
        placed_at=_time(dialled, DialState.PLACED, DialState.RINGING, DialState.ANSWERED),
        answered_at=_time(dialled, DialState.ANSWERED),
        ended_at=_time(dialled, DialState.ENDED, DialState.FAILED),
    )


def of_session(session: Session) -> Report:
    """A call that came in."""
    call = session.call
    return Report(
        id=call.id,
        call_id=call.id,
        carrier=call.carrier,
        direction=call.direction,
        state=DialState.ENDED if call.ended else DialState.ANSWERED,
        to=call.to,
        from_=call.from_,
        reason=_ending(call.ended),
    )
