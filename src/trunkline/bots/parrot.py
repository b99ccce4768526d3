"""The parrot: an offline bot that repeats what it hears, and shows what a conversation can do.

It greets, repeats, names the keys pressed, can be interrupted (best while it tells a story), goes
on with the story when asked to, asks whether anybody is there, and says goodbye. What it says is a
handful of rules; everything else is ``conversation`` and engines that can be swapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ..call import Call
from ..events import Who
from . import replies
from .conversation import Conversation
from .ears import Ears
from .hibari import Hibari
from .recording import GREETING, Recording, load
from .replies import SORRY
from .speech import HEARING, Speaker, Transcriber
from .turns import History, Reply, Turn, TurnState
from .vad import SileroStream, silero
from .whisper import Whisper

__all__ = ["GIVE_UP", "SORRY", "STORY", "Parrot", "bot", "key_rules", "rules"]

# The opening of Alice's Adventures in Wonderland (Lewis Carroll, 1865), shortened to 20 s.
STORY = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do. Once or twice she had peeped into the book her sister was reading, but it had "
    "no pictures or conversations in it. And what is the use of a book, thought Alice, without "
    "pictures or conversations? So she was considering, in her own mind, what to do next. "
    "Suddenly, a white rabbit with pink eyes ran close by her."
)

GIVE_UP = "I cannot understand you on this line. Please call again. Goodbye!"

_KEY_NAMES = {"*": "star", "#": "pound"}


def _not_understood(text: str, history: History) -> Reply:
    return Reply(GIVE_UP, hang_up=True) if _misheard(history) >= 2 else Reply(SORRY)


def _go_on(text: str, history: History) -> str | None:
    return _unheard(history) or None


rules = replies.rules(
    (r"^$", _not_understood),
    (r"\b(good ?bye|bye|hang up)\b", Reply("Goodbye!", hang_up=True)),
    (r"\bstory\b", STORY),
    (r"^(please )?(go on|continue|carry on)( please)?$", _go_on),
)
"""What the parrot says; what no rule fits it repeats."""


def key_rules(keys: str, history: History) -> Reply:
    """What the parrot says to keys; ``history`` makes no difference to it."""
    return Reply(f"You pressed {', '.join(_KEY_NAMES.get(key, key) for key in keys)}.")


def _misheard(history: History) -> int:
    """How often we have said so since we last understood something."""
    count = 0
    for turn in reversed(history):
        if turn.who is Who.CALLER:
            break
        count += turn.text == SORRY
    return count


def _unheard(history: History) -> str:
    """What the caller has not heard of the turn they interrupted last, and not since."""
    said: set[str] = set()
    for turn in reversed(history):
        if turn.who is Who.BOT and turn.state is TurnState.CUT:
            rest = " ".join(turn.text.split()[len(turn.heard.split()) :])
            return "" if rest in said else rest
        said.add(turn.text)
    return ""


class Parrot:
    """The bot. The models of one parrot are shared by all its calls.

    Args:
        transcriber: hears; by default ``Whisper()``.
        speaker: speaks; by default ``Hibari()``.
        greeting: its first words; by default the recording that comes with the package.
        silence_s: how much silence it asks about, and after as much again ends the call.
        on_turn: told of each turn of each call.
    """

    def __init__(
        self,
        *,
        transcriber: Transcriber | None = None,
        speaker: Speaker | None = None,
        greeting: Recording | str | None = None,
        silence_s: float = 15.0,
        on_turn: Callable[[Call, Turn], None] | None = None,
    ) -> None:
        self._transcriber = transcriber or Whisper()
        self._speaker = speaker or Hibari()
        self._greeting = load(GREETING) if greeting is None else greeting
        self._silence_s = silence_s
        self._on_turn = on_turn

    async def warm_up(self) -> None:
        """Load all models now, so that the first caller need not wait for any: 1 to 3 s.

        Raises:
            ConfigError: an engine is not installed.
        """
        await asyncio.gather(
            asyncio.get_running_loop().run_in_executor(HEARING, silero),
            self._transcriber.warm_up(),
            self._speaker.warm_up(),
        )

    async def __call__(self, call: Call) -> None:
        """Talk with one caller; a ``Bot``."""
        await Conversation(
            call,
            Ears(_rating, self._transcriber),
            self._speaker,
            rules,
            greeting=self._greeting,
            keyed=key_rules,
            silence_s=self._silence_s,
            on_turn=self._on_turn and partial(self._on_turn, call),
        ).run()


def _rating() -> SileroStream:
    return silero().stream()


bot = Parrot()
