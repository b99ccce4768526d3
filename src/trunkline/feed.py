"""A queue with one reader, which ends: how a bot that iterates waits for what happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

__all__ = ["Feed"]

T = TypeVar("T")


class Feed(Generic[T]):
    """A queue with one reader, closed at the end. ``size`` weighs items; the rest is unbounded."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._size = size
        self._held = 0
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        self._items.append(item)
        self._held += self._size(item)
        while self._held > self._limit:
            self._drop_oldest()
        self._wake()

    def _drop_oldest(self) -> None:
        index = next(i for i, item in enumerate(self._items) if self._size(item))
        self._held -= self._size(self._items[index])
        del self._items[index]

    def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = self._items.popleft()
        self._held -= self._size(item)
        return item
