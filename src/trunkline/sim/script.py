"""A call as a script: what the person does, step by step, written down.

In text, one step a line; blank lines and lines that begin with ``#`` are for people:

    wait for speech            # at most 10 s; "wait for speech 30" waits longer
    wait for silence           # 700 ms of it
    listen                     # hear the bot out, if it says anything within 3 s
    say I would like a table.  # words, if there is a speaker
    say @hello.wav             # or a 16-bit WAV
    interrupt after 800 ms: Stop, please.
    press 12#
    pause 2.5
    hang up

A comment may only stand on a line of its own: ``#`` is a key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import CallEnded
from ..media.formats import L16_8K, AudioFormat
from .caller import PhoneCall
from .deadline import Overdue

__all__ = [
    "HangUp",
    "Interrupt",
    "Listen",
    "Pause",
    "Press",
    "Say",
    "Script",
    "ScriptStep",
    "WaitForSilence",
    "WaitForSpeech",
]


class Say(Struct, frozen=True):
    """Say words, a WAV file or samples."""

    what: str | bytes | Path
    audio: AudioFormat = L16_8K


class Press(Struct, frozen=True):
    """Press keys."""

    digits: str


class WaitForSpeech(Struct, frozen=True):
    """Wait until the bot speaks, at most ``within`` seconds."""

    within: float = 10.0


class WaitForSilence(Struct, frozen=True):
    """Wait until the bot has been silent for ``ms``, at most ``within`` seconds."""

    ms: float = 700.0
    within: float = 60.0


class Listen(Struct, frozen=True):
    """Hear the bot out; one that says nothing for ``patience`` seconds is waited for no longer."""

    patience: float = 3.0
    within: float = 60.0


class Interrupt(Struct, frozen=True):
    """When the bot has been speaking for ``after_ms``, say something."""

    after_ms: float
    what: str | bytes | Path
    audio: AudioFormat = L16_8K


class Pause(Struct, frozen=True):
    """Do nothing for ``seconds``."""

    seconds: float


class HangUp(Struct, frozen=True):
    """Hang up."""


ScriptStep = Say | Press | WaitForSpeech | WaitForSilence | Listen | Interrupt | Pause | HangUp


def _words(text: str, folder: Path) -> str | Path:
    return folder / text[1:] if text.startswith("@") else text


_NUMBER = r"(\d+(?:\.\d+)?)"
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Path], ScriptStep]], ...] = (
    (re.compile(r"say (.+)"), lambda m, folder: Say(_words(m[1], folder))),
    (re.compile(r"press ([0-9*#A-D]+)"), lambda m, _: Press(m[1])),
    (
        re.compile(rf"wait for speech(?: {_NUMBER})?"),
        lambda m, _: WaitForSpeech(float(m[1] or 10)),
    ),
    (
        re.compile(rf"wait for silence(?: {_NUMBER})?"),
        lambda m, _: WaitForSilence(float(m[1] or 700)),
    ),
    (re.compile(rf"listen(?: {_NUMBER})?"), lambda m, _: Listen(float(m[1] or 3))),
    (
        re.compile(rf"interrupt after {_NUMBER} ms: (.+)"),
        lambda m, folder: Interrupt(float(m[1]), _words(m[2], folder)),
    ),
    (re.compile(rf"pause {_NUMBER}"), lambda m, _: Pause(float(m[1]))),
    (re.compile(r"hang up"), lambda _, __: HangUp()),
)


class Script(Struct, frozen=True):
    """What a person does on one call."""

    steps: Sequence[ScriptStep]

    @classmethod
    def parse(cls, text: str, folder: Path = Path()) -> Script:
        """Read a script; ``folder`` is where its WAV files lie.

        Raises:
            ValueError: a line is no step; says which.
        """
        steps: list[ScriptStep] = []
        for number, line in enumerate(text.splitlines(), start=1):
            line = line.strip()
            if line and not line.startswith("#"):
                steps.append(_step(number, line, folder))
        return cls(steps)

    async def run(self, call: PhoneCall) -> None:
        """Do it all. A bot that hangs up first ends the script, too.

        Raises:
            Overdue: something was awaited in vain.
            ValueError: there are words and no speaker, or a file is no WAV.
        """
        try:
            for step in self.steps:
                await _perform(step, call)
        except CallEnded:
            return


def _step(number: int, line: str, folder: Path) -> ScriptStep:
    for form, make in _FORMS:
        if match := form.fullmatch(line):
            return make(match, folder)
    raise ValueError(f"line {number} of the script is no step: {line!r}")


async def _perform(step: ScriptStep, call: PhoneCall) -> None:
    if isinstance(step, Say):
        await call.say(step.what, step.audio)
    elif isinstance(step, Press):
        await call.press(step.digits)
    elif isinstance(step, WaitForSpeech):
        await call.wait_for_speech(step.within)
    elif isinstance(step, WaitForSilence):
        await call.wait_for_silence(step.ms, step.within)
    elif isinstance(step, Listen):
        try:
            await call.wait_for_speech(step.patience)
        except Overdue:
            return
        await call.wait_for_silence(within=step.within)
    elif isinstance(step, Interrupt):
        onset = await call.wait_for_speech()
        await asyncio.sleep(max(0.0, onset + step.after_ms / 1000 - call.now))
        await call.say(step.what, step.audio)
    elif isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
    else:
        await call.hang_up()
