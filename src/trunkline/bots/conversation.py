"""Conversation: taking turns with a caller.

A ``Listener`` hears, a reply decides what to say, a ``Speaker`` says it. In between is what every
phone bot needs and is easily got wrong:

- a reply that comes in pieces is spoken from its first sentence on (``response``);
- who speaks while the bot does interrupts it at once (except in its last words), and the bot
  knows which words were heard before that (``said``);
- who goes on speaking before the answer began is answered once, to all they said;
- silence is asked about, counted from what was *heard*, and after a second time the call ends;
- every engine has a deadline; if one fails, the caller hears an apology from a recording, and the
  error goes to whoever runs the bot;
- last words are heard to their end before the call is hung up.

Knows no engine and no carrier, and logs nothing: ``on_turn`` is told who said what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from ..call import Call, CallEvent
from ..errors import CallEnded
from ..events import Digit, Who
from .recording import APOLOGY, Recording, load
from .response import ENGINE_S, Response, Source
from .speech import Heard, Listener, Speaker, SpeechEnded, SpeechStarted, Transcript
from .turns import Answer, Reply, Turn, TurnState

__all__ = ["CLOSE_S", "Conversation"]

CLOSE_S = 5.0
"""How long an engine may take to let go of a call that is over."""


class _Over(Struct):
    """The call has ended."""


class _Done(Struct):
    response: Response


class _Broken(Struct):
    error: Exception


_Event = Heard | CallEvent | _Over | _Done | _Broken


class Conversation:
    """Talks with the caller of one call until either side ends it.

    Args:
        call: who to talk with.
        listener: hears them; closed at the end.
        speaker: our voice; closed at the end.
        reply: what to say to what they said, whole or piece by piece. Closed when they interrupt.
        greeting: our first words, spoken at once.
        keyed: what to say to keys pressed, likewise; given all since the last answer heard to its
            end. Without it keys are ignored.
        silences: what to say to ``silence_s`` of silence, the first time, the second …; what
            the caller says or presses in between starts the count again.
        apology: what the caller hears when an engine fails.
        on_turn: told of each turn: ours when it begins and when it is over, the caller's when
            understood.
    """

    def __init__(
        self,
        call: Call,
        listener: Listener,
        speaker: Speaker,
        reply: Answer,
        *,
        greeting: Recording | str = "",
        keyed: Answer | None = None,
        silences: Sequence[Reply | str] = (
            "Are you still there?",
            Reply("I cannot hear you. Goodbye!", hang_up=True),
        ),
        silence_s: float = 15.0,
        apology: Recording | None = None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> None:
        self.call = call
        self.history: list[Turn] = []
        self._listener = listener
        self._speaker = speaker
        self._reply = reply
        self._greeting = greeting
        self._keyed = keyed
        self._silences = silences
        self._silence_s = silence_s
        self._apology = apology
        self._on_turn = on_turn
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[_Event] = asyncio.Queue()
        self._response: Response | None = None
        self._responding: set[asyncio.Task[None]] = set()  # with those that are being stopped
        self._caller_speaks = False
        self._unwritten = 0  # stretches of speech whose transcript has not come
        self._words: list[str] = []  # understood, not answered yet
        self._interrupted = False
        self._keys = ""
        self._silent_times = 0
        self._silent_since = 0.0
        self._waiting_since = 0.0  # for a transcript

    async def run(self) -> None:
        """Talk. Returns when the call is over, or is to be hung up.

        Raises:
            Exception: whatever an engine failed with, after the caller heard the apology.
        """
        # First the listener: it is given what the caller said before we got here.
        stop = self.call.listen(self._listener.push, self._listener.format)
        unwatch = self.call.on(self._inbox.put_nowait)
        feeds = [
            self._loop.create_task(self._wait()),
            self._loop.create_task(self._listen()),
        ]
        try:
            await self._talk()
        except CallEnded:
            self._stop()
        except Exception:
            self._stop()
            await self._apologise()
            raise
        finally:
            stop()
            unwatch()
            try:
                await _put_away([*feeds, *self._responding])
            finally:
                await _close(self._listener, self._speaker)

    async def _wait(self) -> None:
        await self.call.wait()
        self._inbox.put_nowait(_Over())

    async def _listen(self) -> None:
        """Put all that the listener tells into the one inbox."""
        try:
            async for event in self._listener:
                self._inbox.put_nowait(event)
        except Exception as error:  # raised again by _talk
            self._inbox.put_nowait(_Broken(error))

    async def _talk(self) -> None:
        self._silent_since = self._loop.time()
        if self._greeting:
            self._respond(self._greeting)
        while True:
            event = await self._next()
            if isinstance(event, _Over):
                self._stop()
                return
            if isinstance(event, _Broken):
                raise event.error
            if isinstance(event, _Done):
                if event.response is self._response and self._finish(event.response):
                    return
            else:
                self._happened(event)
            self._go_on()

    async def _next(self) -> _Event:
        """The next event; until there is one, answers silence."""
        while True:
            try:
                async with asyncio.timeout_at(self._patience()):
                    return await self._inbox.get()
            except TimeoutError:
                if self._unwritten:
                    raise TimeoutError(f"no transcript in {ENGINE_S:.0f} s") from None
                self._break_silence()

    def _patience(self) -> float | None:
        """When to stop waiting for something to happen."""
        if self._unwritten:
            return self._waiting_since + ENGINE_S
        if self._caller_speaks or self._response or self._silent_times >= len(self._silences):
            return None
        return self._silent_since + self._silence_s

    def _break_silence(self) -> None:
        words = self._silences[self._silent_times]
        self._silent_times += 1
        self._respond(words)

    # What happens.

    def _happened(self, event: Heard | CallEvent) -> None:
        if isinstance(event, SpeechStarted):
            self._caller_speaks = True
            self._interrupt()
        elif isinstance(event, SpeechEnded):
            self._caller_speaks = False
            if not self._unwritten:
                self._waiting_since = self._loop.time()
            self._unwritten += 1
        elif isinstance(event, Transcript):
            self._unwritten -= 1
            self._waiting_since = self._loop.time()
            self._understood(event.text)
        elif isinstance(event, Digit) and self._keyed and not self._is_leaving:
            self._interrupt()
            self._interrupted = False
            self._attended()
            self._keys += event.digit
            self._respond(partial(self._keyed, self._keys, tuple(self.history)))

    def _understood(self, text: str) -> None:
        if not text or self._is_leaving:
            return
        self._attended()
        self._words.append(text)
        self._record(Turn(Who.CALLER, text, heard=text))

    def _attended(self) -> None:
        self._silent_times = 0
        self._silent_since = self._loop.time()

    def _go_on(self) -> None:
        """Answer, if it is our turn and there is something to answer."""
        if self._caller_speaks or self._unwritten or self._response:
            return
        if self._words or self._interrupted:
            words = " ".join(self._words)
            self._words.clear()
            self._interrupted = False
            self._keys = ""
            self._respond(partial(self._reply, words, tuple(self.history)), words)

    @property
    def _is_leaving(self) -> bool:
        return self._response is not None and self._response.hang_up

    # Our turn.

    def _respond(self, source: Source, words: str = "") -> None:
        response = Response(
            self.call,
            self._speaker,
            begun=lambda response: self._tell(Turn(Who.BOT, response.text, TurnState.BEGUN)),
            louder=self._listener.expect_echo,
            words=words,
        )
        self._response = response
        response.task = self._loop.create_task(self._run(response, source))
        self._responding.add(response.task)
        response.task.add_done_callback(self._responding.discard)

    async def _run(self, response: Response, source: Source) -> None:
        try:
            await response.run(source)
            self._inbox.put_nowait(_Done(response))
        except Exception as error:  # raised again by _talk
            self._inbox.put_nowait(_Broken(error))

    # The end of our turn.

    def _finish(self, response: Response) -> bool:
        """It came to its end; whether that was our last word."""
        self._response = None
        self._keys = ""
        self._silent_since = self._loop.time()
        self._settle(response)
        return response.hang_up

    def _interrupt(self) -> None:
        """The caller has something to say: stop, unless we are saying goodbye."""
        response = self._response
        if response is None or self._is_leaving:
            return
        heard = self._stop()
        if response.words and not heard:
            # They go on before our first word reached them: answer all of it.
            self._words.insert(0, response.words)
        else:
            self._interrupted = response.utterance is not None

    def _stop(self) -> str:
        """Say no more; returns what was heard of what was being said."""
        response, self._response = self._response, None
        if response is None:
            return ""
        response.task.cancel()
        if response.utterance is not None:
            self.call.clear()
        return self._settle(response)

    def _settle(self, response: Response) -> str:
        """Keep what was heard; what nobody heard a word of was not said."""
        if response.utterance is None:
            return ""
        self._listener.expect_echo(None)
        heard, text = response.heard, response.text
        state = TurnState.DONE if response.played else TurnState.CUT
        turn = Turn(Who.BOT, text, state, heard)
        if heard:
            self.history.append(turn)
        self._tell(turn)
        return heard

    async def _apologise(self) -> None:
        apology = self._apology or load(APOLOGY)
        try:
            await self.call.play(apology.audio, apology.format).wait()
        except CallEnded:
            return

    def _record(self, turn: Turn) -> None:
        self.history.append(turn)
        self._tell(turn)

    def _tell(self, turn: Turn) -> None:
        if self._on_turn is not None:
            self._on_turn(turn)


async def _put_away(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(CLOSE_S):
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(*engines: Listener | Speaker) -> None:
    """Close them all, whatever becomes of one."""
    async with asyncio.timeout(CLOSE_S):
        closed = await asyncio.gather(*[e.close() for e in engines], return_exceptions=True)
    for error in closed:
        if isinstance(error, BaseException):
            raise error
