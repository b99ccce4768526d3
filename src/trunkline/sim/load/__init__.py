"""Many simulated calls at once, to find out what a server carries: ``trunkline load``.

One process holds a thousand calls: media sockets on picows, one timer for all of them, no task
and no queue for a frame. Which carrier's protocol is spoken, and whose server answers, nothing in
here knows.
"""

from __future__ import annotations

__all__: list[str] = []
