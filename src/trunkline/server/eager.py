"""Begins a coroutine at once, without waiting for the loop to get to it.

Most of what a socket asks of its server is done without waiting for anything: a task for it would
cost more than the thing itself. (From Python 3.12 asyncio has eager tasks; this serves 3.11 too,
and makes no task of what needs none.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ["at_once", "eagerly"]

T = TypeVar("T")


def at_once(work: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
    """Run ``work`` until it has to wait: ``None`` if it is done, or a task that does the rest.

    It must not ask which task it runs in. Raises what ``work`` raises before it waits.
    """
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_finish(_Rest(work, awaited)))


def eagerly(work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
    """Run ``work`` until it has to wait: a future that is done, or a task that does the rest.

    It must not ask which task it runs in.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    try:
        awaited = work.send(None)
    except StopIteration as done:
        future.set_result(done.value)
    except Exception as error:
        future.set_exception(error)
    else:
        return loop.create_task(_finish(_Rest(work, awaited)))
    return future


class _Rest(Generic[T]):
    """A coroutine that was begun, to be awaited: first for what it waits for already."""

    def __init__(self, work: Coroutine[Any, Any, T], awaited: object) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, T]:
        awaited = self._awaited
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # such as being cancelled: the work's own to know
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, sent)
            try:
                awaited = step()
            except StopIteration as done:
                return done.value


async def _finish(rest: _Rest[T]) -> T:
    return await rest
