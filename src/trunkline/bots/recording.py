"""Recordings: lines said so often, or so urgently, that no engine should be waited for.

Two come with the package, in the demo voice and as the line carries them: the parrot's greeting,
heard while models still load, and the apology of a bot whose engine has failed. ``record``
makes others, once a process.
"""

from __future__ import annotations

from importlib.resources import files

from msgspec import Struct

from ..media.formats import PCMU_8K, AudioFormat
from .speech import Speaker, Timing

__all__ = ["APOLOGY", "GREETING", "Recording", "load", "record"]

GREETING = "Hello, this is Trunkline. Say something and I will repeat it."
APOLOGY = "I am sorry, something is wrong on my side. Please call again later. Goodbye."

_FILES = {GREETING: "greeting.ulaw", APOLOGY: "apology.ulaw"}


class Recording(Struct, frozen=True):
    """A line and its audio in ``format``."""

    text: str
    audio: bytes
    format: AudioFormat


def load(text: str) -> Recording:
    """The recording of ``GREETING`` or ``APOLOGY`` that comes with the package.

    Raises:
        ValueError: of another text there is none.
    """
    if text not in _FILES:
        raise ValueError(f"no recording of {text!r} comes with the package")
    audio = (files(__package__ or "") / _FILES[text]).read_bytes()
    return Recording(text, audio, PCMU_8K)


async def record(speaker: Speaker, text: str) -> Recording:
    """Have a line spoken now, to be played later."""
    chunks = [chunk async for chunk in speaker.speak(text) if not isinstance(chunk, Timing)]
    return Recording(text, b"".join(chunks), speaker.format)
