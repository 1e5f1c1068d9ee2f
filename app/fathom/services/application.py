"""Opens the services in their order and closes them in the reverse one. The window and every command start here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fathom.core.settings import Settings, data_dir, resource_path
from fathom.core.types import Session
from fathom.prompting.profiles import Profile
from fathom.services.engine_service import EngineService
from fathom.services.library_service import LibraryService
from fathom.services.machine import battery
from fathom.services.model_library import ModelLibrary
from fathom.services.power import PowerWatch, threads
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.sessions import SessionStore
from fathom.tools import open_toolbox
from fathom.tools.sandbox import SandboxState, self_test
from fathom.tools.toolbox import SessionToolbox
from fathom.workers.parser import ParserClient


@dataclass
class Services:
    """Everything that the window or a command works with."""

    settings: Settings
    home: Path
    store: SessionStore
    sessions: SessionRunner
    engine: EngineService
    library: LibraryService
    models: ModelLibrary
    power: PowerWatch

    async def sandbox_state(self) -> SandboxState:
        """The sandbox's self-test, run now."""
        return await self_test()

    async def close(self) -> None:
        """End the run, the engine and the database, in this order."""
        await self.power.close()
        await self.models.close()
        await self.sessions.close()
        await self.engine.close()
        await self.library.close()
        self.store.close()


def downloads_dir(settings: Settings, home: Path) -> Path:
    """Where files from the sandbox are put."""
    return Path(settings.downloads_dir) if settings.downloads_dir else home / "downloads"


async def open_services(settings: Settings | None = None, *, wait_for_engine: bool = True) -> Services:
    """Open the data folder's database and library, and prepare the engine's service (``engine.start()`` starts it).

    With ``wait_for_engine`` false a run fails at once when the engine cannot be had: for commands, where nobody can
    press a button. Raises DatabaseError.
    """
    home = data_dir()
    settings = settings if settings is not None else Settings.load()
    store = SessionStore(open_database(home / "fathom.db"))
    store.mark_interrupted()
    parser = ParserClient()
    library = LibraryService(LibraryStore(open_database(home / "library.db")), parser)
    await library.ensure_sample()
    for recording in sorted(resource_path("samples").glob("*.json")):
        store.import_recording(recording.read_bytes())
    engine = EngineService(settings)

    async def toolbox_for(session: Session, profile: Profile) -> SessionToolbox:
        return await open_toolbox(
            session.task,
            library=library,
            parser=parser,
            downloads_dir=downloads_dir(settings, home),
            session_dir=home / "work" / session.id,
            compact=profile.compact,
            observation_chars=profile.observation_chars,
            results=profile.results,
            only=profile.tools,
            history=sessions.trajectory(session.id).steps,
        )

    source = engine.ready if wait_for_engine else engine.ready_or_raise
    sessions = SessionRunner(store, source, toolbox_for, settings)
    models = ModelLibrary(settings, home, engine, sessions.sessions)
    power = PowerWatch(settings, engine, sessions)
    engine.threads = threads(settings, battery())
    return Services(settings, home, store, sessions, engine, library, models, power)
