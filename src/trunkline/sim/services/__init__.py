"""Speech services, simulated: what a bot's bridges connect to when there is no account or network.

``service`` is what they share: sockets in memory and on a port, and what can go wrong on them.
``tones`` is a voice and ears that need no engine. Each further module plays one service, as
strictly as the real one.
"""

from __future__ import annotations

__all__: list[str] = []
