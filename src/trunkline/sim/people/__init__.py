"""Recorded people: human speech as a telephone carries it, for a simulated caller to say.

Five sentences of one reading, ready as G.711 µ-law at 8 kHz, with what is said in them; where
they come from stands in ``README.md`` beside them. This module reads files of its own package
and knows nothing of calls.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from msgspec import Struct

from ...media.formats import PCMU_8K, AudioFormat

__all__ = ["Clip", "clips"]


class Clip(Struct, frozen=True):
    """One recorded sentence.

    ``audio`` is in ``format`` and begins and ends with a tenth of a second or so of the
    room's own quiet; ``text`` is what is said, in lower case and without punctuation.
    """

    name: str
    text: str
    audio: bytes
    format: AudioFormat = PCMU_8K

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.format.ms_in(len(self.audio)) / 1000


@cache
def clips() -> tuple[Clip, ...]:
    """All recorded sentences, in the order of the book; 2.7 to 6.7 s long, 23 s together."""
    here = files(__name__)
    lines = (here / "clips.tsv").read_text("utf-8").splitlines()
    named = (line.split("\t") for line in lines)
    return tuple(
        Clip(name=name, text=text, audio=(here / f"{name}.ulaw").read_bytes())
        for name, text in named
    )
