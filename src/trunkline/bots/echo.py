"""The echo: sends back what it hears, as it hears it.

The smallest bot there is, the one to measure a line with. Where a carrier's two directions have
one encoding, what is sent back are the very bytes that came in.
"""

from __future__ import annotations

from ..call import Call

__all__ = ["bot"]


async def bot(call: Call) -> None:
    """Return the caller's audio to them until the call ends."""
    call.listen(call.utterance(call.audio_in, live=True).write)
    await call.wait()
