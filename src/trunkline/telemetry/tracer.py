"""One trace a call, by OpenTelemetry: from its webhook to the hang-up, with what was said between.

    call                         webhook → tidied away
      call.answer                webhook → answered
      call.connect               answered → its socket is there
      call.first_audio           socket → the caller hears the bot
      call.speak                 each thing said, from when it was heard to its end or a barge-in
      call.hang_up               asking the carrier to end it
        rest POST …              each request

The bot runs within the span ``call``, so that what it traces itself belongs to the call. Spans
hold nothing personal: carrier, reasons, times, counts, and a hash of the call's id. Only
OpenTelemetry's API is used; where spans go is for the SDK that the app has set up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256

from msgspec import Struct, field
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from .. import __version__
from ..events import CallInfo, Why
from ..media.playout import Change, ChangeKind
from .observer import CallEnd, HangUp, Observer, Reply

__all__ = ["Tracer", "hashed"]

_FAILURES = (Why.BOT_ERROR, Why.FAILED, Why.NETWORK, Why.PROTOCOL)


def hashed(call_id: str) -> str:
    """What stands in traces for a call's id: the first 16 characters of its SHA-256."""
    return sha256(call_id.encode()).hexdigest()[:16]


class _Traced(Struct):
    span: Span
    connected_at: int = 0
    speaking: dict[int, int] = field(default_factory=dict[int, int])
    """When each passage that is being heard began, by its id."""
    spoken: int = 0
    barge_ins: int = 0


class Tracer(Observer):
    """Traces calls.

    Args:
        provider: OpenTelemetry's; default the global one.
        call_ids: put in the carrier's call ids, too.
        clock: seconds since the epoch.
    """

    def __init__(
        self, provider: TracerProvider | None, *, call_ids: bool, clock: Callable[[], float]
    ) -> None:
        self._tracer = trace.get_tracer("trunkline", __version__, provider)
        self._call_ids = call_ids
        self._clock = clock
        self._calls: dict[tuple[str, str], _Traced] = {}

    def _now(self, ago: float = 0.0) -> int:
        return int((self._clock() - ago) * 1e9)

    def _of(self, call: CallInfo) -> _Traced | None:
        return self._calls.get((call.carrier, call.call_id))

    def _child(
        self, traced: _Traced, name: str, start: int, end: int, **attributes: AttributeValue
    ) -> None:
        parent = trace.set_span_in_context(traced.span)
        span = self._tracer.start_span(name, parent, start_time=start, attributes=_ours(attributes))
        span.end(max(start, end))

    def begun(self, call: CallInfo, ago: float | None) -> None:
        attributes: dict[str, AttributeValue] = {
            "carrier": call.carrier,
            "direction": call.direction.value,
            "call_hash": hashed(call.call_id),
        }
        if self._call_ids:
            attributes["call_id"] = call.call_id
        start, now = self._now(ago or 0.0), self._now()
        span = self._tracer.start_span(
            "call", kind=SpanKind.SERVER, start_time=start, attributes=_ours(attributes)
        )
        self._calls[call.carrier, call.call_id] = traced = _Traced(span)
        if ago is not None:
            self._child(traced, "call.answer", start, now)

    def abandoned(self, call: CallInfo) -> None:
        if traced := self._calls.pop((call.carrier, call.call_id), None):
            traced.span.set_attributes(_ours({"abandoned": True}))
            traced.span.end(self._now())

    @contextmanager
    def within(self, call: CallInfo) -> Generator[None]:
        traced = self._of(call)
        if traced is None:
            yield
            return
        with trace.use_span(traced.span, record_exception=False, set_status_on_exception=False):
            yield

    def joined(self, call: CallInfo, setup: float | None) -> None:
        if traced := self._of(call):
            traced.connected_at = self._now()
            if setup is not None:
                self._child(traced, "call.connect", self._now(setup), traced.connected_at)

    def first_audio(self, call: CallInfo, after: float, ago: float) -> None:
        if traced := self._of(call):
            self._child(traced, "call.first_audio", traced.connected_at, self._now(ago))

    def lost(self, call: CallInfo) -> None:
        self._event(call, "socket lost")

    def rejoined(self, call: CallInfo) -> None:
        self._event(call, "socket rejoined")

    def cleared(self, call: CallInfo, took: float) -> None:
        if traced := self._of(call):
            traced.barge_ins += 1
        self._event(call, "barge-in", stop_ms=took * 1000)

    def _event(self, call: CallInfo, name: str, **attributes: AttributeValue) -> None:
        if traced := self._of(call):
            traced.span.add_event(name, _ours(attributes), self._now())

    def changed(self, call: CallInfo, change: Change, ago: float) -> None:
        traced = self._of(call)
        if traced is None:
            return
        at, passage = self._now(ago), change.passage.id
        if change.kind is ChangeKind.STARTED:
            traced.speaking[passage] = at
            traced.spoken += 1
        elif (start := traced.speaking.pop(passage, None)) is not None:
            cleared = change.kind is ChangeKind.CLEARED
            self._child(traced, "call.speak", start, at, heard_ms=change.heard_ms, cleared=cleared)

    def _cut_off(self, traced: _Traced) -> None:
        """The call is over for the caller: so is what was being said."""
        for start in traced.speaking.values():
            self._child(traced, "call.speak", start, self._now(), cut_off=True)
        traced.speaking.clear()

    @contextmanager
    def hanging_up(self, call: CallInfo) -> Generator[None]:
        traced = self._of(call)
        if traced is not None:
            self._cut_off(traced)
        span = self._tracer.start_span(
            "call.hang_up",
            trace.set_span_in_context(traced.span) if traced else None,
            start_time=self._now(),
            attributes=_ours({"carrier": call.carrier}),
        )
        # What carriers say in errors may hold numbers: the outcome is told, the words are not.
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        finally:
            span.end(self._now())

    def hung_up(self, call: CallInfo, outcome: HangUp) -> None:
        span = trace.get_current_span()
        span.set_attributes(_ours({"outcome": outcome.value}))
        if outcome is HangUp.FAILED:
            span.set_status(Status(StatusCode.ERROR))

    def sent(self, carrier: str, method: str, reply: Reply, took: float) -> None:
        now = self._now()
        span = self._tracer.start_span(
            f"rest {method}",
            kind=SpanKind.CLIENT,
            start_time=now - int(took * 1e9),
            attributes=_ours({"carrier": carrier, "outcome": reply.value}),
        )
        if reply is not Reply.OK:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def over(self, call: CallInfo, end: CallEnd) -> None:
        traced = self._calls.pop((call.carrier, call.call_id), None)
        if traced is None:
            return
        self._cut_off(traced)
        traced.span.set_attributes(
            _ours(
                {
                    "why": end.reason.why.value,
                    "by": end.reason.who.value,
                    "confirmed": end.confirmed,
                    "utterances": traced.spoken,
                    "barge_ins": traced.barge_ins,
                }
            )
        )
        if end.reason.why in _FAILURES:
            traced.span.set_status(Status(StatusCode.ERROR))
        traced.span.end(self._now())


def _ours(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {f"trunkline.{name}": value for name, value in attributes.items()}
