"""How a person steers a run: pause, resume, finish now. Stop is the cancelling of the task that runs it.

Belongs to one event loop. Knows nothing of the loop that it controls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class RunControl:
    """Handed to ``agent.loop.run``."""

    def __init__(self) -> None:
        self._going = asyncio.Event()
        self._going.set()
        self._finish = asyncio.Event()

    @property
    def paused(self) -> bool:
        """A pause is asked for and not ended."""
        return not self._going.is_set()

    @property
    def finish_requested(self) -> bool:
        """The report is to be written from what there is."""
        return self._finish.is_set()

    def pause(self) -> None:
        """Hold the run at its next boundary: before a turn, a tool or the report. Without effect after ``finish``."""
        if not self._finish.is_set():
            self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    def finish(self) -> None:
        """Interrupt what runs and write the report from what there is. Also ends a pause. Cannot be taken back."""
        self._finish.set()
        self._going.set()

    async def going(self) -> None:
        """Wait until the run is not paused."""
        await self._going.wait()

    async def until_finish(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of ``work``, or None when ``finish`` came first; ``work`` is then cancelled and has ended."""
        task = asyncio.ensure_future(work)
        finish = asyncio.ensure_future(self._finish.wait())
        try:
            await asyncio.wait({task, finish}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            finish.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()  # it was asked to end; what it says of that is of no use

    async def stream_until_finish(self, stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The items of ``stream`` until it ends or ``finish`` comes; the stream is closed in either case."""
        try:
            while not self._finish.is_set():
                item = await self.until_finish(_next(stream))
                if item is None:
                    return
                yield item
        finally:
            await stream.aclose()


async def _next(stream: AsyncGenerator[T, None]) -> T | None:
    """The next item; None at the end (the streams here never yield None)."""
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
