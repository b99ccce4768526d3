"""Bots: programs that are given a ``Call`` and hold it.

``echo`` and ``parrot`` are whole bots; ``conversation`` is the turn-taking that a bot of your own
can stand on, ``replies`` and ``chat`` (a language model) decide what it says, ``speech`` has the
two interfaces it hears and speaks through. The offline engines behind those (``vad``, ``whisper``,
``hibari``) are imported when first used and need the ``demo`` extra. Nothing below this package
imports it.
"""

from __future__ import annotations

__all__: list[str] = []
