"""A ``Listener`` by Cartesia's turns endpoint: the service says when the caller begins and ends.

``turn.start`` is the barge-in, ``turn.end`` brings the transcript. A turn is never left open: one
that a lost socket cut in two is put together again, or ended with what was understood of it when
nothing more comes; to a caller whose line sends nothing any more, silence is added.

From docs.cartesia.ai, ``api-reference/stt/turns/websocket`` and ``use-the-api/stt/turns``, API
version 2026-03-01, read 2026-11. All transcripts are cumulative within a turn, and final.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ...media.formats import AudioFormat
from ...websocket import Connect
from ..speech import Heard, SpeechEnded, SpeechStarted, Transcript
from .hearing import Hearing, joined
from .wire import Account, Answer, failure, passing, read, stt_url

__all__ = ["TurnsListener"]

# What the service has not written down yet when it sends a transcript, at the most.
_LAG_MS = 500.0
# After a socket was lost in a turn: how long the next one may take to notice that it goes on.
_RESUME_S = 1.5
# The service ends a turn by itself after 5.6 s of silence; in one that goes on it sends updates.
_TURN_S = 12.0
_LOOK_S = 0.25
_FRAMES_STOPPED_S = 0.25


class TurnsListener:
    """A ``Listener``. Make it in a running event loop; its socket is opened at once.

    Args:
        account: who asks.
        audio: what ``push`` takes.
        connect: opens a socket.
        model: which one listens.
        eager: believe the service when it thinks that the caller may be done, which is sooner;
            what they say after all is one more turn, to the same answer if it has not begun.
        call: whose call it is, for log lines.
    """

    def __init__(
        self,
        account: Account,
        audio: AudioFormat,
        connect: Connect,
        *,
        model: str = "ink-2",
        eager: bool = False,
        call: str = "",
    ) -> None:
        self._audio = audio
        self._eager = eager
        self._heard: asyncio.Queue[Heard | Exception | None] = asyncio.Queue()
        self._in_turn = False
        self._began = 0
        self._text = ""  # of this turn on this socket
        self._before = ""  # of this turn on sockets that were lost
        self._given = 0  # words of this turn that were told already
        self._told_at = 0.0
        self._resume_by: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._hearing = Hearing(
            account,
            stt_url(account, audio, model=model, language="", turns=True),
            audio,
            connect,
            replayed=self._replay,
            received=self._received,
            lost=self._lost,
            failed=self._heard.put_nowait,
            who={"call": call},
        )

    @property
    def format(self) -> AudioFormat:
        """See ``Listener.format``: the line's own."""
        return self._audio

    @property
    def given_up(self) -> bool:
        """Whether the service is not to be had any more."""
        return self._hearing.link.given_up

    def push(self, audio: bytes) -> None:
        """See ``Listener.push``."""
        self._hearing.push(audio)

    def expect_echo(self, loudness: float | None) -> None:
        """See ``Listener.expect_echo``. The service tells voices from their echo by itself."""

    async def __aiter__(self) -> AsyncIterator[Heard]:
        while (heard := await self._heard.get()) is not None:
            if isinstance(heard, Exception):
                raise heard
            yield heard

    async def close(self) -> None:
        """See ``Listener.close``."""
        self._in_turn = False
        if self._timer is not None:
            self._timer.cancel()
        await self._hearing.close()
        self._heard.put_nowait(None)

    # What the service says.

    def _received(self, message: str | bytes) -> None:
        answer = read(message)
        self._told_at = self._loop.time()
        if answer.type == "turn.start":
            self._resume_by = None
            self._text = ""
            self._begin()
        elif answer.type == "turn.update":
            self._understood(answer)
        elif answer.type == "turn.eager_end":
            self._understood(answer)
            if self._eager:
                self._hearing.cover(self._hearing.end)
                self._end()
        elif answer.type == "turn.resume":
            self._begin()
        elif answer.type == "turn.end":
            self._understood(answer)
            self._hearing.cover(self._hearing.end)
            self._end()
            self._before, self._text, self._given = "", "", 0
        elif answer.type == "error":
            self._failed(answer)

    def _understood(self, answer: Answer) -> None:
        self._hearing.link.worked()
        self._text = answer.transcript
        self._hearing.cover(self._hearing.end, but_ms=_LAG_MS)

    def _failed(self, answer: Answer) -> None:
        if not passing(answer):
            raise failure(answer)
        self._hearing.link.reopen()

    def _begin(self) -> None:
        if self._in_turn:
            return
        self._in_turn = True
        self._began = self._hearing.end
        self._heard.put_nowait(SpeechStarted())
        self._look_later()

    def _end(self) -> None:
        """Tell what is new of this turn, if it was not told before."""
        words = joined(self._before, self._text).split()
        new = " ".join(words[self._given :])
        if not self._in_turn:
            if not new:
                return
            self._begin()  # more was said than the service had thought
        self._in_turn = False
        self._given = len(words)
        seconds = self._hearing.ms(self._began, self._hearing.end) / 1000
        self._heard.put_nowait(SpeechEnded())
        self._heard.put_nowait(Transcript(new, seconds))

    # A socket that is lost, and its successor.

    def _lost(self) -> None:
        self._before = joined(self._before, self._text) if self._in_turn else ""
        self._text = ""
        if not self._in_turn:
            self._given = 0

    def _replay(self) -> None:
        self._hearing.replay()
        self._told_at = self._loop.time()
        if self._in_turn:
            self._resume_by = self._loop.time() + _RESUME_S

    # Turns that would not end.

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        if not self._in_turn:
            return
        now = self._loop.time()
        if self._hearing.silent_s() >= _FRAMES_STOPPED_S:
            self._hearing.push_silence(1000 * _LOOK_S)
        if self._resume_by is not None and now >= self._resume_by:
            self._resume_by = None
            self._end()
            self._before, self._given = "", 0
        elif self._hearing.link.up and now - self._told_at >= _TURN_S:
            self._told_at = now
            self._hearing.link.reopen()
        self._look_later()
