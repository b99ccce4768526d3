"""Servers in processes of their own."""

import asyncio
import os
import socket
import time
from pathlib import Path

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


def gone(pid, within=30):
    """Whether a process ends in time; one that nobody has taken note of yet has ended, too."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
