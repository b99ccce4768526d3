"""What was said, and how much of it was heard: words held against milliseconds of audio.

Exact where the voice tells when its words end (``Timing``). Elsewhere a sentence's words are taken
to share its time by their length, which is exact at the end of each sentence and a word or two off
within one. Knows nothing of calls and clocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from .speech import Timing

__all__ = ["WORD_MS", "Sentence", "heard_text"]

WORD_MS = 330.0
"""About how long a word takes to say, for a sentence that is still being made."""


class Sentence:
    """A sentence on its way to the caller's ear.

    ``ms`` is how long its audio is: as far as it has been made, and ``complete`` when that is all.
    """

    def __init__(self, text: str, ms: float = 0.0, *, complete: bool = False) -> None:
        self.words = text.split()
        self.ms = ms
        self.complete = complete
        self._ends: list[tuple[int, float]] = []  # so many words, the ms at which they end
        self._reach = list(accumulate(_letters(word) for word in self.words))
        self._told = 0  # letters of the words whose end is known

    def time(self, timing: Timing) -> None:
        """Told by the voice: when its next words end.

        They are matched by their letters, since a voice may join words or cut them.
        """
        count = self._ends[-1][0] if self._ends else 0
        for word, end in timing.words:
            self._told += _letters(word)
            while count < len(self.words) and self._reach[count] <= self._told:
                count += 1
            self._ends.append((count, end))

    def heard(self, ms: float) -> int:
        """How many of its words are heard in its first ``ms``."""
        if self.complete and ms >= self.ms:
            return len(self.words)
        count, since = 0, 0.0
        for words, end in self._ends:
            if end > ms:
                return count
            count, since = words, end
        return count + self._estimate(len(self.words) - count, ms - since, since)

    def _estimate(self, words: int, ms: float, since: float) -> int:
        """Of the last ``words``, which begin at ``since``: how many are heard in ``ms``."""
        span = self.ms - since if self.complete else max(self.ms - since, words * WORD_MS)
        if span <= 0:
            return words if ms >= 0 else 0
        return int(words * min(1.0, max(0.0, ms / span)))


def heard_text(said: Iterable[Sentence], heard_ms: float) -> str:
    """The whole words heard of what was said, one after the other, after ``heard_ms`` of it."""
    words: list[str] = []
    for sentence in said:
        words += sentence.words[: sentence.heard(heard_ms)]
        heard_ms -= sentence.ms
    return " ".join(words)


def _letters(word: str) -> int:
    return sum(letter.isalnum() for letter in word)
