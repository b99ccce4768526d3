"""Servers in processes of their own."""

import asyncio
import socket

import httpx


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def ready(url, process):
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(600):
            assert process.returncode is None, (await process.stderr.read()).decode()
            try:
                return (await client.get(f"{url}/health/ready")).json()
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    raise AssertionError("the server does not start")
