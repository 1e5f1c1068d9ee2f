"""Watching folders for changes, with watchfiles, in a thread of its own that ends at once when it is told to.

Says which paths changed, and knows nothing of the library. Where the system cannot watch (too many folders, a network
drive) it says so, and the caller looks from time to time instead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import watchfiles

DEBOUNCE_MS = 800


class FolderWatch:
    """``changed(paths)`` and ``cannot(reason)`` are called in the event loop that ``follow`` was called in."""

    def __init__(self, changed: Callable[[set[Path]], None], cannot: Callable[[str], None]) -> None:
        self._changed = changed
        self._cannot = cannot
        self._paths: frozenset[Path] = frozenset()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def paths(self) -> frozenset[Path]:
        """What is watched."""
        return self._paths

    def follow(self, paths: Iterable[Path]) -> bool:
        """Watch these, and nothing else. Paths that are not there are left out. False when they are watched already."""
        wanted = frozenset(path for path in paths if path.exists())
        if wanted == self._paths:
            return False
        self._stop.set()
        self._paths = wanted
        self._stop = threading.Event()
        self._thread = None
        if wanted:
            arguments = (asyncio.get_running_loop(), sorted(wanted), self._stop)
            self._thread = threading.Thread(target=self._run, args=arguments, name="library-watch", daemon=True)
            self._thread.start()
        return True

    async def close(self) -> None:
        """Watch nothing more."""
        thread = self._thread
        self._stop.set()
        self._paths, self._thread = frozenset(), None
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop, paths: list[Path], stop: threading.Event) -> None:
        def tell(function: Callable[[], None]) -> None:
            if not stop.is_set() and not loop.is_closed():
                loop.call_soon_threadsafe(function)

        try:
            for changes in watchfiles.watch(
                *paths,
                watch_filter=None,
                debounce=DEBOUNCE_MS,
                stop_event=stop,
                rust_timeout=1000,
                yield_on_timeout=False,
                raise_interrupt=False,
            ):
                found = {Path(path) for _, path in changes}
                tell(lambda found=found: self._changed(found))  # type: ignore[misc]
        except OSError as error:
            reason = str(error)
            tell(lambda: self._failed(stop, reason))

    def _failed(self, stop: threading.Event, reason: str) -> None:
        if stop is self._stop:
            self._paths, self._thread = frozenset(), None  # the next ``follow`` tries again
            self._cannot(reason)
