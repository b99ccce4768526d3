"""A bridge between Bandwidth and Cartesia as samples have it: what ours is measured beside.

FastAPI and websockets, ``json`` and ``base64``: a listening socket for each call, a speaking one
for each reply, audio passed on as it comes. It is at the better end of its kind: it has the service
tell turns apart, and when the caller begins to speak it clears what was sent and drops the rest.

    CARTESIA_URL=ws://127.0.0.1:… uvicorn benchmarks._bare_bridge:app
"""

import asyncio
import base64
import json
import os
import uuid

import websockets
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

__all__ = ["app"]

URL = os.environ.get("CARTESIA_URL", "wss://api.cartesia.ai")
HEADERS = {
    "X-API-Key": os.environ.get("CARTESIA_API_KEY", ""),
    "Cartesia-Version": "2026-03-01",
}
STT = f"{URL}/stt/turns/websocket?model=ink-2&encoding=pcm_mulaw&sample_rate=8000"
TTS = f"{URL}/tts/websocket"
GREETING = os.environ.get("GREETING", "Hello.")
REPLY = os.environ.get("REPLY", "I see.")
# What opening a socket takes on a real way to the service, and a loopback does not have: TCP, TLS.
HANDSHAKE_S = float(os.environ.get("HANDSHAKE_S", "0"))

app = FastAPI()


@app.post("/answer")
async def answer(request: Request) -> Response:
    """Bandwidth asks what to do with a call: stream it to us."""
    host = request.headers["host"]
    bxml = (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        f'<StartStream destination="wss://{host}/media" mode="bidirectional" tracks="inbound"/>'
        '<Pause duration="3600"/></Response>'
    )
    return Response(bxml, media_type="application/xml")


@app.websocket("/media")
async def media(line: WebSocket) -> None:
    await line.accept()
    await asyncio.sleep(HANDSHAKE_S)
    stt = await websockets.connect(STT, additional_headers=HEADERS)
    speaking = asyncio.create_task(say(line, GREETING))

    async def listen() -> None:
        nonlocal speaking
        async for message in stt:
            data = json.loads(message)
            if data["type"] == "turn.start":
                speaking.cancel()
                await line.send_text(json.dumps({"eventType": "clear"}))
            elif data["type"] == "turn.end" and data["transcript"]:
                speaking = asyncio.create_task(say(line, REPLY))

    listening = asyncio.create_task(listen())
    try:
        while True:
            data = json.loads(await line.receive_text())
            if data["eventType"] == "media":
                await stt.send(base64.b64decode(data["payload"]))
            elif data["eventType"] == "stop":
                break
    except WebSocketDisconnect:
        pass
    finally:
        listening.cancel()
        speaking.cancel()
        await stt.close()


async def say(line: WebSocket, text: str) -> None:
    await asyncio.sleep(HANDSHAKE_S)
    async with websockets.connect(TTS, additional_headers=HEADERS) as tts:
        wanted = {
            "context_id": str(uuid.uuid4()),
            "model_id": "sonic-3.5",
            "transcript": text,
            "voice": {"mode": "id", "id": "any"},
            "language": "en",
            "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
            "max_buffer_delay_ms": 0,
        }
        await tts.send(json.dumps(wanted))
        async for message in tts:
            data = json.loads(message)
            if data["type"] == "chunk":
                audio = base64.b64decode(data["data"])
                payload = base64.b64encode(audio).decode()
                media = {"contentType": "audio/pcmu", "payload": payload}
                await line.send_text(json.dumps({"eventType": "playAudio", "media": media}))
            elif data["type"] == "done":
                break
