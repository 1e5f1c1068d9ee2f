"""Battery: a quiet mode that leaves half the cores alone, and a pause below 20 %; only when asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from fathom.core.settings import Settings
from fathom.services.engine_service import EngineService
from fathom.services.machine import Battery, battery
from fathom.services.session_runner import SessionRunner

LOW_PERCENT = 20.0
LOOK_EVERY_S = 30.0


def quiet_now(settings: Settings, found: Battery | None) -> bool:
    """Whether to compute with half the cores."""
    on_battery = found is not None and not found.plugged_in
    return settings.quiet == "always" or (settings.quiet == "on_battery" and on_battery)


def threads(settings: Settings, found: Battery | None, cores: int | None = None) -> int:
    """Threads for the engine: 0, one a core, or half of the cores in the quiet mode."""
    cores = cores or os.cpu_count() or 1
    return max(1, cores // 2) if quiet_now(settings, found) else 0


class PowerWatch:
    """Looks at the battery every half minute and acts as the settings say."""

    def __init__(
        self,
        settings: Settings,
        engine: EngineService,
        sessions: SessionRunner,
        look: Callable[[], Battery | None] = battery,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._sessions = sessions
        self._look = look
        self._low = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="battery")

    async def close(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(LOOK_EVERY_S)

    async def check(self) -> None:
        """One look: pause once when the battery falls below 20 %, and change the threads, without a reload."""
        found = self._look()
        low = found is not None and not found.plugged_in and found.percent < LOW_PERCENT
        if low and not self._low and self._settings.pause_on_low_battery:
            assert found is not None
            self._sessions.pause_with(
                f"The battery is at {found.percent:.0f} %. The session is paused; everything is saved. "
                "Plug the computer in, or resume when you like."
            )
        self._low = low and self._settings.pause_on_low_battery
        wanted = threads(self._settings, found)
        if wanted != self._engine.threads:
            self._engine.use_threads(wanted)
