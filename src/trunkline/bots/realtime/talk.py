"""One call, talked through with a model that hears and speaks.

The service hears the caller, tells when they speak, and gives the model's voice faster than it is
spoken; playout holds that back. What is left to do here:

- who speaks while the model does is heard at once: nothing more is said, and the service is told
  how much of each item reached the caller's ear;
- functions are called, with a deadline, and their results told;
- a session that is lost or about to end is followed by another that knows what was said; audio
  that was not answered is sent again;
- silence is asked about, and after a second time the call ends;
- what the service owes has a deadline; if it cannot be had, the caller hears an apology, and the
  error goes to whoever runs the bot.

All that happens is put into one queue and handled in one task. Knows no carrier, and logs counts,
never words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from msgspec import Struct

from ...call import Call, CallEvent, SpeakingStopped
from ...errors import CallEnded
from ...events import Digit, Who
from ...media.formats import L16_24K, AudioFormat
from ..recording import APOLOGY, load
from ..tools import Tool
from ..tools import run as run_tool
from ..turns import Turn
from .link import Link
from .memory import Memory, Recall
from .responses import Responses
from .session import FORMATS
from .sessions import Sessions
from .voice import CUT, Voice
from .wire import (
    AudioDelta,
    AudioDone,
    Committed,
    CreateItem,
    ErrorDetails,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    InputText,
    ItemDone,
    Message,
    OutputItem,
    RateLimits,
    ResponseCreated,
    ResponseDone,
    ResponseOver,
    ServerEvent,
    SpeechStarted,
    SpeechStopped,
    Transcribed,
    TranscriptDelta,
    TranscriptDone,
)

__all__ = ["Plan", "Talk", "spoken"]

log = logging.getLogger("trunkline.bots")

REPLAY_S = 2.0
"""How much unanswered audio another session is sent again."""
LEAD_S = 0.5
"""How long a caller may have been speaking before the service says so."""
KEPT_S = 15.0
"""How much of the caller's audio is kept while there is no session."""
KEYS_S = 1.0
"""Keys that follow each other faster than this are told together."""
LEAVE_S = 20.0
"""How long a goodbye may take."""
APOLOGY_S = 20.0

SILENT = "The caller has said nothing for a while. Ask in a few words whether they are still there."
GONE = "The caller still says nothing. Say in a few words that you cannot hear them, and goodbye."
GOODBYE = "Say goodbye to the caller in a few words."
GO_ON = "A fault cut you off. The last that the caller heard is: “{}”. Go on from there."


class Plan(Struct, frozen=True, kw_only=True):
    """What all calls of a bot have in common.

    ``open`` opens a session: in what encoding it hears, in what it speaks, who is told of its
    events, who of its loss.
    """

    instructions: str
    greeting: str
    tools: Mapping[str, Tool]
    keys: bool
    silence_s: float
    session_s: float
    on_turn: Callable[[Call, Turn], None] | None
    open: Callable[
        [
            AudioFormat,
            AudioFormat,
            Callable[[Link, ServerEvent], None],
            Callable[[Link, str], None],
        ],
        Awaitable[Link],
    ]


class Talk:
    """Talks with the caller of one call until either side ends it."""

    def __init__(self, call: Call, plan: Plan) -> None:
        self.call = call
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._hears = spoken(call.audio_in)
        says = spoken(call.audio_out)
        self._memory = Memory()
        self._voice = Voice(call, says, self._memory, self._tell)
        self._recall = Recall(self._hears.bytes_in(KEPT_S * 1000))
        self._sessions = Sessions(
            partial(plan.open, self._hears, says),
            plan.session_s,
            self._inbox.put_nowait,
            self._told,
            self._begin_session,
            self._resume,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = dict.fromkeys(("interruptions", "objections"), 0)
        self._over = False
        self._leaving_at: float | None = None
        # Their turn; positions are bytes of their audio.
        self._caller_speaks = False
        self._spoke_from = 0
        self._spoke_to = 0
        self._answered = 0  # no audio before this is of interest to another session
        self._from = 0  # where another session begins to hear
        self._last_words = ""  # the item of what the caller said last
        self._keys = ""
        self._keys_at = 0.0
        self._quiet_at = self._loop.time()
        self._silences = 0
        # Our turn.
        self._responses = Responses(plan.instructions)
        self._has_said = False  # anything since the caller's last words
        self._running = 0
        self._later: list[FunctionCall] = []  # for when all has been heard
        self._notes = 0

    async def run(self) -> None:
        """Talk. Returns when the call is over, or is to be hung up.

        Raises:
            TrunklineError: no session could be had, or no response; after the apology.
        """
        unlisten = self.call.listen(self._hear, self._hears)
        unwatch = self.call.on(lambda event: self._inbox.put_nowait(partial(self._noticed, event)))
        self._start(self._wait_for_end())
        self._sessions.open()
        try:
            if self._plan.greeting:
                self._responses.ask(self._plan.greeting)
            await self._talk()
        except CallEnded:
            pass
        except Exception:
            await self._apologise()
            raise
        finally:
            unlisten()
            unwatch()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._sessions.close()
            counts = self._counts | self._responses.counts | {"losses": self._sessions.losses}
            log.info("realtime over", extra={"call": self.call.id} | counts)

    async def _talk(self) -> None:
        while not self._over:
            happened = None
            try:
                async with asyncio.timeout_at(min((at for at, _ in self._alarms()), default=None)):
                    happened = await self._inbox.get()
            except TimeoutError:
                pass
            if happened is not None:
                happened()
            for at, ring in list(self._alarms()):
                if at <= self._loop.time():
                    ring()
            self._go_on()

    def _alarms(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What is to happen when, if nothing else does before."""
        yield from self._sessions.alarms()
        stalled = partial(self._sessions.lose, "it owes a response")
        yield from self._responses.alarms(stalled)
        if self._is_silent:
            yield self._quiet_at + self._plan.silence_s, self._break_silence
        if self._keys:
            yield self._keys_at + KEYS_S, self._tell_keys
        if self._leaving_at is not None:
            yield self._leaving_at + LEAVE_S, self._leave

    def _go_on(self) -> None:
        """Do what is possible now and was not before."""
        link = self._sessions.current
        if link is not None and not self._caller_speaks and not self._keys:
            self._responses.go_on(link, self._loop.time())
        if self._later and not self._responses.owed and not self._voice.speaking:
            later, self._later = self._later, []
            for asked in later:
                self._start(self._run(asked))
        if self._is_idle and self._leaving_at is not None:
            self._leave()
        elif self._is_idle and self._sessions.has_next:
            self._from = self._recent(LEAD_S)
            self._sessions.renew()

    @property
    def _is_idle(self) -> bool:
        """Whether nobody speaks, and nothing is under way that will make us."""
        here = self._voice.speaking or self._running or self._keys
        return not (self._caller_speaks or here or self._responses.coming)

    @property
    def _is_silent(self) -> bool:
        waits = self._plan.silence_s and self._sessions.current and self._leaving_at is None
        return bool(waits) and self._is_idle

    def _leave(self) -> None:
        self._over = True

    async def _wait_for_end(self) -> None:
        await self.call.wait()
        self._inbox.put_nowait(self._leave)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apologise(self) -> None:
        self._voice.interrupt(None)
        apology = load(APOLOGY)
        try:
            async with asyncio.timeout(APOLOGY_S):
                await self.call.play(apology.audio, apology.format).wait()
        except (CallEnded, TimeoutError):
            return

    def _tell(self, turn: Turn) -> None:
        if self._plan.on_turn is not None:
            self._plan.on_turn(self.call, turn)

    # Their turn.

    def _hear(self, audio: bytes) -> None:
        """In the call's read loop: on to the service at once, and kept for the next session."""
        self._recall.push(audio)
        if self._sessions.current is not None:
            self._sessions.current.append(audio)

    def _recent(self, seconds: float) -> int:
        """Where the last seconds of the caller's audio begin, as far as it was not answered."""
        return max(self._answered, self._recall.end - self._hears.bytes_in(seconds * 1000))

    def _noticed(self, event: CallEvent) -> None:
        if isinstance(event, SpeakingStopped):
            self._voice.heard(event)
            self._quiet_at = self._loop.time()
        elif isinstance(event, Digit) and self._plan.keys and self._leaving_at is None:
            self._interrupt(cancel=True)
            self._keys += event.digit
            self._keys_at = self._loop.time()
            self._silences = 0

    def _speech_started(self) -> None:
        self._caller_speaks = True
        self._spoke_from = self._recent(LEAD_S)
        self._silences = 0
        if self._leaving_at is None:
            self._interrupt(cancel=False)

    def _speech_stopped(self) -> None:
        self._caller_speaks = False
        self._spoke_to = self._recall.end
        self._quiet_at = self._loop.time()
        self._has_said = False
        self._last_words = ""
        self._responses.caller_spoke(self._loop.time())

    def _interrupt(self, *, cancel: bool) -> None:
        """The caller has something to say. Where they speak, the service cancels by itself."""
        link = self._sessions.current
        self._responses.drop(link, cancel=cancel)
        if self._voice.speaking:
            self._counts["interruptions"] += 1
            for event in self._voice.interrupt(link):
                if link is not None:
                    link.say(event)

    def _transcribed(self, item_id: str, text: str) -> None:
        self._memory.know(item_id, text)
        if text:
            self._tell(Turn(Who.CALLER, text, heard=text))

    def _break_silence(self) -> None:
        self._silences += 1
        if self._silences == 1:
            self._responses.ask(SILENT)
        else:
            self._say_goodbye(GONE)

    def _tell_keys(self) -> None:
        keys, self._keys = " ".join(self._keys), ""
        self._notes += 1
        text = InputText(f"(The caller pressed these keys: {keys})")
        self._note(Message(id=f"keys_{self._notes}", role="user", content=(text,)))
        self._responses.ask()

    def _note(self, item: Message | FunctionCallOutput) -> None:
        """Tell the service something, and the next session, too."""
        self._memory.add(item)
        if self._sessions.current is not None:
            self._sessions.current.say(CreateItem(item))

    # Our turn.

    def _say_goodbye(self, instructions: str) -> None:
        self._leaving_at = self._loop.time()
        self._responses.ask(instructions)

    def _answers(self) -> None:
        """Something came of what the caller said: another session need not hear it again."""
        self._responses.voiced = True
        self._answered = self._spoke_to

    def _speak(self, link: Link, delta: AudioDelta) -> None:
        if self._responses.is_wanted(delta.response_id):
            self._has_said = True
            self._answers()
            self._voice.write(link, delta)
        else:  # what came before is cut; what begins only now was not said at all
            for event in self._voice.refuse(delta.item_id):
                link.say(event)

    def _created(self, response_id: str) -> None:
        self._responses.created(response_id)
        if self._keys or self._caller_speaks:  # asked for before they had something to say
            self._responses.drop(self._sessions.current, cancel=True)

    def _done(self, response: ResponseOver) -> None:
        self._voice.response_done(response.id)
        self._quiet_at = self._loop.time()
        self._responses.done(response, self._loop.time())

    # Functions.

    def _call(self, item: OutputItem) -> None:
        asked = FunctionCall(
            id=item.id, call_id=item.call_id, name=item.name, arguments=item.arguments
        )
        self._memory.add(asked)
        self._answers()
        self._running += 1
        tool = self._plan.tools.get(asked.name)
        if tool is None:
            self._ran(asked, '{"error": "there is no such function"}', goodbye=False)
        elif tool.after_playback:
            self._later.append(asked)
        else:
            self._start(self._run(asked))

    async def _run(self, asked: FunctionCall) -> None:
        output, goodbye = await run_tool(self._plan.tools[asked.name], self.call, asked.arguments)
        self._inbox.put_nowait(partial(self._ran, asked, output, goodbye=goodbye))

    def _ran(self, asked: FunctionCall, output: str, *, goodbye: bool) -> None:
        self._running -= 1
        self._quiet_at = self._loop.time()
        self._notes += 1
        self._note(
            FunctionCallOutput(id=f"ran_{self._notes}", call_id=asked.call_id, output=output)
        )
        if goodbye and self._has_said:
            self._leaving_at = self._loop.time()
        elif goodbye:
            self._say_goodbye(GOODBYE)
        elif not self._running:
            self._responses.ask()

    # Sessions.

    def _told(self, link: Link, event: ServerEvent) -> None:
        """What the service says."""
        self._responses.alive(self._loop.time())
        match event:
            case AudioDelta():
                self._speak(link, event)
            case AudioDone():
                self._voice.done(event.item_id)
            case TranscriptDelta():
                self._memory.hear(event.item_id, event.delta)
            case TranscriptDone():
                self._memory.know(event.item_id, event.transcript)
            case SpeechStarted():
                self._speech_started()
            case SpeechStopped():
                self._speech_stopped()
            case Committed():
                self._last_words = event.item_id
                self._memory.begin(event.item_id, Who.CALLER)
            case Transcribed():
                self._transcribed(event.item_id, event.transcript)
            case ResponseCreated():
                self._created(event.response.id)
            case ItemDone():
                if event.item.type == "function_call" and event.item.status != "incomplete":
                    self._call(event.item)
            case ResponseDone():
                self._done(event.response)
            case ErrorEvent():
                self._objected(event.error)
            case RateLimits():
                left = {limit.name: limit.remaining for limit in event.rate_limits}
                log.debug("rate limits", extra={"call": self.call.id, "left": left})
            case _:
                pass

    def _objected(self, error: ErrorDetails) -> None:
        if error.code == "session_expired":
            self._sessions.lose("it expired")
        elif error.code == "conversation_already_has_active_response":
            self._responses.busy()
        elif not _is_late(error):
            self._counts["objections"] += 1
            log.warning(
                "the service objects",
                extra={"call": self.call.id, "code": error.code, "param": error.param},
            )

    def _begin_session(self, link: Link) -> None:
        """Another session: tell it what was said, and let it hear."""
        for item in self._memory.carried():
            link.say(CreateItem(item))
        link.append(self._recall.since(self._from))

    def _resume(self) -> None:
        """The session is gone. What is the next to hear again, and what is it to say?"""
        self._from = self._recent(LEAD_S)
        unheard = self._voice.break_off()
        unanswered = self._responses.lost()
        if self._caller_speaks:
            self._from = max(self._spoke_from, self._recent(REPLAY_S))
        elif unheard and self._leaving_at is None:
            self._responses.ask(GO_ON.format(unheard))
        elif unanswered and self._memory.text(self._last_words):
            self._responses.ask()
        elif unanswered:
            replay = self._spoke_to - self._hears.bytes_in(REPLAY_S * 1000)
            self._from = max(self._spoke_from, replay)
        self._caller_speaks = False
        self._quiet_at = self._loop.time()


def spoken(audio: AudioFormat) -> AudioFormat:
    """What is spoken with the service on a line of this encoding: the same, if it takes that."""
    return audio if audio in FORMATS else L16_24K


def _is_late(error: ErrorDetails) -> bool:
    """Whether it is about something that was over when we asked: cancelled, cut, deleted.

    The service names our event only sometimes, and says of audio it has less of that it "is already
    shorter", though it cuts it all the same.
    """
    named = (error.event_id or "").startswith(CUT)
    return named or error.code == "response_cancel_not_active" or "already shorter" in error.message
