"""How long something may be quiet. Knows nothing of what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

SLICES = 10
LOOK_S = 1.0

T = TypeVar("T")


async def within(work: Awaitable[T], seconds: float, alive: Callable[[], object] = lambda: None) -> T:
    """The result of ``work``. Raises TimeoutError after ``seconds`` in which ``alive()`` did not change either.

    Counted in ten slices: when this process itself was stopped or the computer asleep, one slice is lost and not the
    whole time. ``work`` is cancelled, and has ended, when this does not return its result.
    """
    task = asyncio.ensure_future(work)
    quiet, seen = 0, alive()
    try:
        while quiet < SLICES:
            done, _ = await asyncio.wait({task}, timeout=seconds / SLICES)
            if done:
                return task.result()
            now = alive()
            quiet, seen = (quiet + 1, seen) if now == seen else (0, now)
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # it was asked to end; what it says of that is of no use


@contextmanager
def watched(patience_s: Callable[[], float], alive: Callable[[], object], bark: Callable[[], None]) -> Iterator[None]:
    """While this lasts, call ``bark`` once when ``alive()`` has not changed for ``patience_s()``.

    For streams: one timer a second instead of one a token. What is said of sleep at :func:`within` holds here too.
    """
    watch = asyncio.ensure_future(_watch(patience_s, alive, bark))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(patience_s: Callable[[], float], alive: Callable[[], object], bark: Callable[[], None]) -> None:
    quiet_s, seen = 0.0, alive()
    while quiet_s < patience_s() * 0.999:
        look_s = min(patience_s() / SLICES, LOOK_S)
        await asyncio.sleep(look_s)
        now = alive()
        quiet_s, seen = (quiet_s + look_s, seen) if now == seen else (0.0, now)
    bark()
