"""A bot for Pipecat's development runner, on Pipecat's own transport, answers Wavix's calls."""

from conversation import talk
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from services import warm_up

from trunkline.pipecat import WavixFrameSerializer, parse_telephony_websocket


async def bot(runner_args) -> None:
    _, data = await parse_telephony_websocket(runner_args.websocket)
    params = FastAPIWebsocketParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_10ms_chunks=2,  # Wavix takes 20 ms a message, so
        audio_out_end_silence_secs=0,  # none of two seconds at the end
        serializer=WavixFrameSerializer(data.stream_id),
    )
    await talk(FastAPIWebsocketTransport(runner_args.websocket, params))


bot.warm_up = warm_up
