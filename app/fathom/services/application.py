"""Opens the services in their order and closes them in the reverse one. The window and every command start here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from fathom.core.settings import Settings, data_dir, resource_path
from fathom.core.types import Session
from fathom.prompting.profiles import Profile
from fathom.services.engine_service import EngineService
from fathom.services.library_service import LibraryService
from fathom.services.machine import battery
from fathom.services.mcp_service import McpOffer, McpService
from fathom.services.model_library import ModelLibrary
from fathom.services.page_extractor import EngineExtractor
from fathom.services.power import PowerWatch, threads
from fathom.services.search_service import SearchService
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.pages import PageStore
from fathom.store.sessions import SessionStore
from fathom.tools import open_toolbox
from fathom.tools.addresses import FetchPolicy
from fathom.tools.sandbox import SandboxState, self_test
from fathom.tools.toolbox import SessionToolbox
from fathom.workers.ocr import OcrReader
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
    search: SearchService
    models: ModelLibrary
    power: PowerWatch
    mcp: McpService
    pages: PageStore | None = None
    extractor: EngineExtractor | None = None

    async def sandbox_state(self, *, again: bool = False) -> SandboxState:
        """The sandbox's self-test, run once in the app's life unless ``again``."""
        return await self_test(again=again)

    async def close(self) -> None:
        """End the run, other programs' tools, the engine and the database, in this order."""
        await self.power.close()
        await self.models.close()
        await self.sessions.close()
        await self.mcp.close()
        await self.engine.close()
        if self.extractor is not None:
            await self.extractor.close()
        await self.library.close()
        if self.pages is not None:
            self.pages.database.close()
        self.store.close()


def downloads_dir(settings: Settings, home: Path) -> Path:
    """Where files from the sandbox are put."""
    return Path(settings.downloads_dir) if settings.downloads_dir else home / "downloads"


def fetch_policy(settings: Settings) -> FetchPolicy:
    """The limits of a fetch, with the ports that the person allowed."""
    usual = FetchPolicy()
    return usual._replace(ports=usual.ports | set(settings.extra_ports))


def open_page_store(settings: Settings, home: Path) -> PageStore | None:
    """The saved copies of pages, None when the person wants none. Raises DatabaseError."""
    if settings.page_cache_mb <= 0:
        return None
    return PageStore(
        open_database(home / "pages.db"),
        max_age_s=settings.page_cache_days * 86400,
        max_bytes=settings.page_cache_mb * 2**20,
    )


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
    index = await asyncio.to_thread(lambda: LibraryStore(open_database(home / "library.db")))  # it may index anew
    library = LibraryService(index, parser, OcrReader())
    await library.ensure_sample()
    for recording in sorted(resource_path("samples").glob("*.json")):
        store.import_recording(recording.read_bytes())
    search = SearchService(settings)
    engine = EngineService(settings, search.keys)
    pages = open_page_store(settings, home)
    extractor = EngineExtractor.of_model(Path(settings.extract_model)) if settings.extract_model else None
    mcp = McpService(settings, search.keys)

    async def toolbox_for(session: Session, profile: Profile) -> SessionToolbox:
        # a small model that gets few of Fathom's tools gets none of other programs
        offer = McpOffer() if profile.tools else await mcp.offer(session.task.scope, profile.context_tokens // 2)
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
            search=await search.panel() if session.task.scope.web else None,
            supervisor=sessions.supervisor(session.id),
            fetch_policy=fetch_policy(settings),
            pages=pages,
            extractor=extractor,
            command_s=settings.command_s,
            more=offer.tools,
            notices=offer.notices,
        )

    source = engine.ready if wait_for_engine else engine.ready_or_raise
    sessions = SessionRunner(store, source, toolbox_for, settings)
    engine.busy = sessions.is_running
    models = ModelLibrary(settings, home, engine, sessions.sessions)
    power = PowerWatch(settings, engine, sessions)
    engine.threads = threads(settings, battery())
    return Services(settings, home, store, sessions, engine, library, search, models, power, mcp, pages, extractor)
