"""Replies that need no model: an echo, and rules by pattern.

A reply is what a ``Conversation`` asks for its next words: a function of what the caller said and
the turns before. These are the ones to begin with, to test with, and to build a small bot of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar, overload

from .turns import History, Reply

__all__ = ["SORRY", "Rule", "Words", "echo", "rules"]

SORRY = "Sorry, I did not catch that."

Words = str | Reply | Callable[[str, History], str | Reply | None]
"""What a rule says: known words, or a function of what the caller said; ``None`` passes it on."""
Rule = tuple[str, Words]
"""A regular expression, and what to say to text in which it is found."""


_T = TypeVar("_T")


def echo(text: str, history: History) -> Reply:
    """Says what it heard; ``history`` makes no difference to it."""
    return Reply(f"You said: {text}" if text else SORRY)


@overload
def rules(*found: Rule) -> Callable[[str, History], Reply]: ...


@overload
def rules(
    *found: Rule, otherwise: Callable[[str, History], _T]
) -> Callable[[str, History], Reply | _T]: ...


def rules(
    *found: Rule, otherwise: Callable[[str, History], object] = echo
) -> Callable[[str, History], object]:
    r"""A reply by the first rule that fits.

    Args:
        found: each a pattern and an answer. Patterns are searched for in lower-case words with
            single spaces between and nothing else: ``I'd like TEA, please!`` is ``i'd like tea
            please``. Write ``\btea\b`` for the word and ``^tea$`` for nothing but it. Speech that
            could not be understood is the empty text, which ``^$`` finds.
        otherwise: the reply where no rule fits; a language model's, say.
    """
    compiled = [(re.compile(pattern), words) for pattern, words in found]

    def reply(text: str, history: History) -> object:
        plain = " ".join(re.findall(r"[\w']+", text.lower()))
        for pattern, words in compiled:
            if pattern.search(plain):
                said = words(text, history) if callable(words) else words
                if said is not None:
                    return Reply(said) if isinstance(said, str) else said
        return otherwise(text, history)

    return reply
