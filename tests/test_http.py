"""HTTP requests, many at once, to a server that counts how many it holds."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from trunkline.http import IN_A_POOL, Http

TIMEOUT = httpx.Timeout(5.0)


class Counting:
    """Answers a request when ``together`` of them are there, or when no more come."""

    def __init__(self, together):
        self.together = together
        self.most = self.held = self.connections = 0
        self.full = asyncio.Event()
        self.ends = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error):
        self.server.close()
        await asyncio.gather(*self.ends)

    async def ask(self, http, count):
        url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/"
        answers = await asyncio.gather(*(http.request("GET", url, {}, b"") for _ in range(count)))
        return [answer.text for answer in answers]

    async def serve(self, reader, writer):
        self.connections += 1
        self.ends.append(asyncio.current_task())
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.held += 1
                self.most = max(self.most, self.held)
                if self.held >= self.together:
                    self.full.set()
                await self.full.wait()
                self.held -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("most", "count", "together"), [(32, 100, 32), (64, 40, 40), (1024, 90, 90)]
)
def test_as_many_as_may_are_under_way_at_once_and_all_are_answered(most, count, together):
    async def main():
        async with Counting(together) as server:
            http = Http(TIMEOUT, trust_env=False, most=most)
            answers = await server.ask(http, count)
            await http.aclose()
        return answers, server.most

    assert asyncio.run(main()) == (["ok"] * count, together)


def test_one_after_the_other_shares_a_connection():
    async def main():
        async with Counting(1) as server:
            http = Http(TIMEOUT, trust_env=False)
            for _ in range(IN_A_POOL + 4):
                assert await server.ask(http, 1) == ["ok"]
            await http.aclose()
        return server.connections

    assert asyncio.run(main()) == 1


def test_what_fails_or_is_given_up_leaves_its_place_to_others():
    async def main():
        async with Counting(IN_A_POOL) as server:
            http = Http(TIMEOUT, trust_env=False, most=IN_A_POOL)
            for _ in range(2 * IN_A_POOL):
                with pytest.raises(httpx.ConnectError):
                    await http.request("GET", "http://127.0.0.1:1/", {}, b"")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await server.ask(http, 1)
            answers = await server.ask(http, IN_A_POOL)
            await http.aclose()
        return answers

    assert asyncio.run(main()) == ["ok"] * IN_A_POOL


FIRST_REQUEST = """
import asyncio, sys
from trunkline.rest import HttpSender, NotSent
from trunkline.web import Request

async def main():
    sender = HttpSender()
    await sender.warm_up()
    before = set(sys.modules)
    try:
        await sender("acme", Request.get("http://127.0.0.1:1/"))
    except NotSent:
        print(sorted(set(sys.modules) - before))
    await sender.close()

asyncio.run(main())
"""


def test_once_warm_the_first_request_loads_nothing():
    done = subprocess.run([sys.executable, "-c", FIRST_REQUEST], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
