"""Bots: programs that are given a ``Call`` and hold it.

``echo`` and ``parrot`` are whole bots; ``conversation`` is the turn-taking that a bot of your own
can stand on, and ``speech`` the two interfaces it hears and speaks through. The offline engines
behind those (``vad``, ``whisper``, ``hibari``) are imported when first used and need the ``demo``
extra. Nothing outside this package imports it except the command line.
"""

from __future__ import annotations

__all__: list[str] = []
