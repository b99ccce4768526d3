"""What servers of ours do with a call in benchmarks: ``trunkline serve benchmarks._bots:echo``."""

from __future__ import annotations

from trunkline import Call, Digit
from trunkline.media.formats import L16_8K, L16_16K

__all__ = ["echo", "speak", "wide"]

SPEECH = b"\x00\x20\x00\xe0" * (4000 * 60)


async def echo(call: Call) -> None:
    """Return what is heard."""
    call.listen(call.utterance(call.audio_in, live=True).write)
    await call.wait()


async def wide(call: Call) -> None:
    """The same, to a bot that works at 16 kHz."""
    call.listen(call.utterance(L16_16K, live=True).write, L16_16K)
    await call.wait()


async def speak(call: Call) -> None:
    """Speak for a minute; a key takes back what was not heard, and another minute begins."""
    call.utterance(L16_8K).write(SPEECH)
    async for event in call:
        if isinstance(event, Digit):
            call.clear()
            call.utterance(L16_8K).write(SPEECH)
