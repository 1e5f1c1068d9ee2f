"""The one way from the services to the panes: callbacks come in, Qt signals go out. Holds no state of its own.

Everything happens in the event loop's thread. ``Tasks`` keeps what the window started, so that it is not collected and
its errors are seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from fathom.services.application import Services


class Bridge(QObject):
    """``happened(session_id, AgentEvent)``, and a signal each for a new Session, EngineStatus, Shelf, Download, and
    IndexProgress (None at its end)."""

    happened = Signal(str, object)  # not "event": QObject has a method of that name
    session_changed = Signal(object)
    engine_changed = Signal(object)
    library_changed = Signal(object)
    models_changed = Signal(object)
    download_changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ends: list[Callable[[], None]] = []

    def attach(self, services: Services) -> None:
        """Pass on what ``services`` publish from now on."""
        self.detach()
        self._ends = [
            services.sessions.subscribe(self.happened.emit),
            services.sessions.subscribe_sessions(self.session_changed.emit),
            services.engine.subscribe(self.engine_changed.emit),
            services.library.subscribe(self.library_changed.emit),
            services.models.subscribe(self.models_changed.emit),
            services.models.downloads.subscribe(self.download_changed.emit),
        ]

    def detach(self) -> None:
        """Pass on nothing more."""
        for end in self._ends:
            end()
        self._ends = []


class Tasks:
    """Coroutines that a click started. An error goes to the loop's exception handler, where every bug arrives."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a task of the window failed", "exception": error})

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
