"""Virtual time: order, threads, real sockets, and what happens when nothing can."""

import asyncio
import socket
import threading
import time

import pytest

from trunkline.sim.clock import Stuck, VirtualTimeLoop, run_virtual


def test_an_hour_of_sleep_takes_no_time_and_is_exactly_an_hour():
    async def main():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(3600):
            await asyncio.sleep(1)
        return loop.time() - begun

    real = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600, abs=1e-6)
    assert time.monotonic() - real < 60  # the bound is for a hang, not a measurement


def test_timers_fire_in_the_order_of_their_times():
    async def main():
        seen = []

        async def after(delay):
            await asyncio.sleep(delay)
            seen.append((delay, asyncio.get_running_loop().time() - 1000))

        await asyncio.gather(*(after(d) for d in (3.0, 0.02, 86_400.0 * 3, 1.5)))
        return seen

    seen = run_virtual(main())
    assert [delay for delay, _ in seen] == [0.02, 1.5, 3.0, 86_400.0 * 3]
    for delay, at in seen:
        assert at == pytest.approx(delay, abs=1e-6)


def test_timeouts_are_virtual():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(1500)


@pytest.mark.parametrize("way", ["executor", "to_thread"])
def test_time_stands_still_while_a_thread_works(way):
    async def main():
        loop = asyncio.get_running_loop()
        fired = []
        loop.call_later(0.001, fired.append, "timer")
        gate = threading.Event()

        def work():
            gate.wait(10)
            return loop.time(), list(fired)

        loop.call_soon(gate.set)
        if way == "executor":
            at, before = await loop.run_in_executor(None, work)
        else:
            at, before = await asyncio.to_thread(work)
        assert (at, before) == (1000.0, [])
        await asyncio.sleep(0.002)
        return fired, loop.time()

    fired, now = run_virtual(main())
    assert fired == ["timer"]
    assert now == pytest.approx(1000.002)


def test_a_thread_that_fails_or_whose_wait_is_cancelled_lets_time_go_on():
    async def main():
        loop = asyncio.get_running_loop()

        def fail():
            raise KeyError("no")

        with pytest.raises(KeyError):
            await loop.run_in_executor(None, fail)
        gate = threading.Event()
        waiting = loop.run_in_executor(None, gate.wait, 10)
        waiting.cancel()
        await asyncio.sleep(5)
        gate.set()
        return loop.time()

    assert run_virtual(main()) == pytest.approx(1005)


def test_a_thread_may_wake_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set_result, 7))
        thread.start()
        result = await done  # no timer is set: the loop waits for the unknown thread
        thread.join()
        return result, loop.time()

    assert run_virtual(main()) == (7, 1000.0)


def test_a_real_connection_works_and_a_timer_beside_it_still_fires():
    async def main():
        async def shout(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(shout, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            async with asyncio.timeout(20):
                line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.01)
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(1000)
        return line, asyncio.get_running_loop().time() - begun

    line, passed = run_virtual(main())
    assert line == b"HELLO\n"
    assert passed == pytest.approx(1000)


def test_real_time_flows_while_a_socket_is_open():
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            loop.add_writer(right, lambda: loop.remove_writer(right))
            loop.add_reader(right, lambda: None)
            waiting = asyncio.ensure_future(loop.sock_recv(left, 1))
            await asyncio.sleep(0)
            real, begun = time.monotonic(), loop.time()
            await asyncio.sleep(0.05)
            passed = time.monotonic() - real, loop.time() - begun
            loop.remove_reader(right)
            right.send(b"x")
            assert await waiting == b"x"
            return passed

    real, virtual = run_virtual(main())
    assert real >= 0.045  # it did not jump
    assert virtual >= 0.05


def test_a_wait_nothing_can_end_is_an_error_that_names_the_task():
    async def wait_for_godot():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="wait_for_godot"):
        run_virtual(wait_for_godot())


def test_the_loop_closes_clean():
    loop = VirtualTimeLoop()
    assert loop.time() == 1000.0
    assert loop.run_until_complete(asyncio.sleep(1, "done")) == "done"
    loop.close()
    assert loop.is_closed()


def test_the_executors_threads_are_waited_for_at_the_end_however_late_virtual_time_is():
    async def main():
        await asyncio.to_thread(int)
        await asyncio.sleep(3600)

    run_virtual(main())  # a warning that they were not would be an error
