"""A whole session for the tests of threats: real store, tools, search service and queue; only the model is scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keyring.backends.fail

from fathom.core.events import AgentEvent
from fathom.core.settings import Settings
from fathom.core.types import EngineSpec, Scope, Session
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.profiles import Profile, load_profile
from fathom.services.keys import Keys
from fathom.services.library_service import LibraryService
from fathom.services.search_service import SearchService
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.sessions import SessionStore
from fathom.tools import open_toolbox
from fathom.tools.addresses import FetchPolicy
from fathom.tools.toolbox import SessionToolbox
from fathom.workers.parser import ParserClient

WEB = Scope(sample=False, documents=False, web=True)
ANSWER = "That is all. \\boxed{Rome}"


def call(name: str, **arguments: object) -> str:
    """A turn of the model: a thought and a call, in the Hermes format."""
    written = json.dumps({"name": name, "arguments": arguments})
    return f"I look it up.\n<tool_call>\n{written}\n</tool_call>"


class SessionBench:
    """One data folder. ``port`` is a local server's, the only one that pages may be fetched from."""

    def __init__(
        self,
        home: Path,
        replies: Sequence[str],
        *,
        port: int = 0,
        settings: Settings | None = None,
        search: SearchService | None = None,
        profile: str = "qwen",
        context_tokens: int = 8192,
    ) -> None:
        self.home = home
        self.engine = ScriptedEngine(replies, context_tokens=context_tokens)
        self.profile = load_profile(profile)
        self.settings = settings or Settings()
        self.search = search or SearchService(self.settings, Keys(keyring.backends.fail.Keyring()))
        self.store = SessionStore(open_database(home / "fathom.db"))
        self.library = LibraryService(LibraryStore(open_database(home / "library.db")), None)
        self.parser = ParserClient()
        self.policy = FetchPolicy(allow_loopback=True, ports=frozenset({port}))
        self.runner = SessionRunner(self.store, self._source, self._toolbox, self.settings)
        self.events: list[AgentEvent] = []
        self.runner.subscribe(lambda _session, event: self.events.append(event))

    async def _source(self, _wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
        return self.engine, self.profile

    async def _toolbox(self, session: Session, profile: Profile) -> SessionToolbox:
        return await open_toolbox(
            session.task,
            library=self.library,
            parser=self.parser,
            downloads_dir=self.home / "downloads",
            session_dir=self.home / "work" / session.id,
            history=self.runner.trajectory(session.id).steps,
            fetch_policy=self.policy,
            search=await self.search.panel(),
            supervisor=self.runner.supervisor(session.id),
        )

    async def ask(self, question: str, scope: Scope = WEB) -> Session:
        """Run a question to its end."""
        session = self.runner.ask(question, scope)
        await self.runner.idle()
        return self.runner.session(session.id)

    def of(self, kind: type[AgentEvent]) -> list[AgentEvent]:
        """The events of a kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def close(self) -> None:
        """End everything."""
        await self.runner.close()
        await self.parser.close()
        await self.library.close()
        self.store.close()


def run_session(
    home: Path,
    replies: Sequence[str],
    question: str = "Where?",
    scope: Scope = WEB,
    during: Callable[[SessionBench], None] | None = None,
    **options: object,
) -> tuple[SessionBench, Session]:
    """Run one question; ``during`` is called before it begins. The bench is closed when this returns."""

    async def main() -> tuple[SessionBench, Session]:
        bench = SessionBench(home, replies, **options)  # type: ignore[arg-type]
        try:
            if during is not None:
                during(bench)
            return bench, await asyncio.wait_for(bench.ask(question, scope), 60)
        finally:
            await bench.close()

    return asyncio.run(main())
