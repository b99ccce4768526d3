"""``trunkline services`` as a process: it speaks, and understands what it said."""

import asyncio
import json
import re
import sys
from base64 import b64decode

import pytest

from trunkline.websocket import connect

HEADERS = {"X-API-Key": "any", "Cartesia-Version": "2026-03-01"}
SAID = "What a lovely day it is."
REQUEST = {
    "model_id": "sonic-3.5",
    "transcript": SAID,
    "voice": {"mode": "id", "id": "any"},
    "context_id": "c1",
    "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
}


async def spoken(url):
    socket = await connect(f"{url}/tts/websocket", HEADERS)
    await socket.send(json.dumps(REQUEST))
    audio = b""
    while (told := json.loads(await socket.receive()))["type"] != "done":
        audio += b64decode(told["data"])
    await socket.close()
    return audio


async def understood(url, audio):
    query = "model=ink-2&encoding=pcm_mulaw&sample_rate=8000"
    socket = await connect(f"{url}/stt/websocket?{query}", HEADERS)
    await socket.send(audio)
    await socket.send("finalize")
    text = json.loads(await socket.receive())["text"]
    await socket.close()
    return text


@pytest.mark.speech
@pytest.mark.process
def test_it_speaks_and_understands():
    async def main():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline", "services"),
            *("--port", "0", "--realtime-port", "0", "--latency", "1"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(90):
                line = (await process.stdout.readline()).decode()
                url = re.search(r"CARTESIA_URL=(\S+) ", line)[1]
                text = await understood(url, await spoken(url))
        finally:
            process.terminate()
            await process.communicate()
        assert text.lower().strip(" .") == SAID.lower().strip(" .")

    asyncio.run(main())
