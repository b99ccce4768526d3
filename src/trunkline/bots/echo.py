"""The echo: sends back what it hears, as it hears it.

The smallest bot there is, the one to measure a line with. Where a carrier's two directions have
one encoding, what is sent back are the very bytes that came in.
"""

from __future__ import annotations

from ..call import Call

__all__ = ["bot"]


async def bot(call: Call) -> None:
    """Return the caller's audio to them until the call ends."""
    utterance = call.utterance(call.audio_in, live=True)

    def hear(audio: bytes) -> None:
        utterance.write(audio)

    stop = call.listen(hear)
    try:
        # It is never ended by us: what settles it is the end of the call.
        await utterance.wait()
    finally:
        stop()
