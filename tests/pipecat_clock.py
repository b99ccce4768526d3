"""What in Pipecat reads the machine's clock, for calls in virtual time, where that clock tells
nothing: on a fast machine a call's minute is a second of it, on a busy one a second is a minute.
"""

import asyncio
import math
from functools import partial

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketOutputTransport,
    FastAPIWebsocketTransport,
)

FORGETS_S = 2.0


class Silero(SileroVADAnalyzer):
    """Pipecat's. Lest silence deafen it (seven seconds do), older ones let it forget every five
    seconds of the machine's clock; here by the audio and while nobody speaks, as newer ones do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._heard_s = 0.0

    def voice_confidence(self, buffer):
        self._heard_s += len(buffer) / 2 / self.sample_rate
        due = self._heard_s >= FORGETS_S and self._vad_state is VADState.QUIET
        if due:
            self._heard_s = 0.0
        self._last_reset_time = -math.inf if due else math.inf
        return super().voice_confidence(buffer)


class OnTheLoopsClock(FastAPIWebsocketOutputTransport):
    """Pipecat's output, but for the clock that paces it: the machine's stands still in virtual
    time."""

    async def _write_audio_sleep(self):
        now = asyncio.get_running_loop().time()
        self._next_send_time = max(self._next_send_time, now)
        await asyncio.sleep(self._next_send_time - now)
        self._next_send_time += self._send_interval


class PipecatsTransport(FastAPIWebsocketTransport):
    """Pipecat's, in virtual time."""

    def __init__(self, websocket, params):
        super().__init__(websocket, params)
        self._output = OnTheLoopsClock(self, self._client, params, name=self._output_name)


# A caller's speech ends where no audio came for a second, which is one in which an engine thought.
UserParams = partial(LLMUserAggregatorParams, audio_idle_timeout=0)

BY_THE_CALLS_CLOCK = {
    "SileroVADAnalyzer": Silero,
    "LLMUserAggregatorParams": UserParams,
    "FastAPIWebsocketTransport": PipecatsTransport,
}
"""By the names that a bot imports them under."""
