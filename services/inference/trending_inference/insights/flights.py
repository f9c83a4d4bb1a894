"""The same question, asked by many at once, is asked once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Work under way by key; it goes on when those who wait for it leave."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[T]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._under_way

    def __len__(self) -> int:
        return len(self._under_way)

    async def join(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What the work under this key gives, and whether this call began it."""
        task = self._under_way.get(key)
        began = task is None
        if task is None:

            async def fly() -> T:
                return await work()

            task = self._under_way[key] = asyncio.create_task(fly())
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task), began

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # perhaps nobody is left to be told

    async def land(self) -> None:
        """Wait for all that is under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
