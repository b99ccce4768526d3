"""Virtual time: an asyncio event loop whose clock jumps instead of waiting.

A call of three minutes then takes as long as its computation. ``loop.time()`` is virtual, and so
is everything asyncio builds on it (``sleep``, ``timeout``, ``call_later``). The clock moves only

- to the next timer, when no callback is ready and nothing real is under way; or
- as fast as real time, while a real socket or pipe is open, since nobody can know what is about
  to arrive on it.

It stands still while work handed to ``run_in_executor`` (or ``asyncio.to_thread``) runs, so that a
speech model's inference takes no time at all but is waited for. What this module cannot see is a
thread started by other means: its work may find that hours have passed.

When no callback, timer, thread or socket is left that could ever wake a task, the loop raises
``Stuck`` instead of hanging: a forgotten wait is a failed test, at once.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar, TypeVarTuple, Unpack

__all__ = ["Stuck", "VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Where virtual time begins. Not zero, so that code which mistakes 0.0 for "never" is not lucky.
_BEGINNING = 1000.0
# How long, in real seconds, a thread unknown to the loop may take to wake it when nothing else can.
_PATIENCE = 2.0


class Stuck(RuntimeError):
    """Every task waits, and nothing is left that could wake one. The message lists the tasks."""


class _VirtualSelector(selectors.BaseSelector):
    """Asks the real selector without waiting, and moves the clock instead of sleeping."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = _BEGINNING
        self.outstanding = 0
        self.own = 0  # registrations that are the loop's own: its wake-up pipe

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Ready files; moves the clock by ``timeout`` s, or waits for real (see the module)."""
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if self.outstanding:
            return self._real.select(None)
        if len(self._real.get_map()) > self.own:
            return self._wait_for_real(timeout)
        if timeout is None:
            ready = self._real.select(_PATIENCE)
            if not ready:
                raise Stuck(_tale())
            return ready
        self.now += timeout
        return ready

    def _wait_for_real(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        before = time.monotonic()
        ready = self._real.select(timeout)
        passed = time.monotonic() - before
        # The timer that bounded the wait must be due afterwards, however early select returned.
        self.now += passed if ready or timeout is None else max(passed, timeout)
        return ready


def _tale() -> str:
    tasks = sorted(str(task.get_coro()) for task in asyncio.all_tasks(asyncio.get_running_loop()))
    return "nothing is left that could wake any of these tasks:\n  " + "\n  ".join(tasks)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 1000 s."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        self._virtual.own = len(self._virtual.get_map())

    def time(self) -> float:
        """Virtual seconds, monotonic."""
        return self._virtual.now

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` on a thread; virtual time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.outstanding += 1
        future.add_done_callback(self._finished)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
    ) -> None:
        """Wait for the executor's threads, in real time and however long (3.12 has a timeout)."""
        self._virtual.outstanding += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.outstanding -= 1

    def _finished(self, _: asyncio.Future[Any]) -> None:
        self._virtual.outstanding -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in virtual time and return what it returns, like ``asyncio.run``.

    Raises:
        Stuck: no task could ever go on.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
