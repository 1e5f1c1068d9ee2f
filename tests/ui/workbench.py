"""What the window's tests stand on: real services in a temporary folder, around an engine that follows a script.

Only the model is scripted; store, library, tools, loop and queue are the ones that the app runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import keyring.backends.fail
import qasync
from PySide6.QtWidgets import QApplication

from fathom.core.events import (
    AgentEvent,
    CallStarted,
    EngineStatus,
    ObservationReady,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from fathom.core.settings import Settings
from fathom.core.types import (
    Citation,
    EngineSpec,
    Observation,
    Passage,
    Report,
    Scope,
    Session,
    SessionState,
    Step,
    Task,
    ToolCall,
)
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.profiles import Profile, load_profile
from fathom.services.application import Services
from fathom.services.engine_service import EngineService
from fathom.services.keys import Keys
from fathom.services.library_service import LibraryService
from fathom.services.mcp_service import McpService
from fathom.services.model_library import ModelLibrary
from fathom.services.power import PowerWatch
from fathom.services.search_service import SearchService
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.sessions import SessionStore
from fathom.tools import open_toolbox
from fathom.tools.toolbox import SessionToolbox

T = TypeVar("T")

READY = EngineStatus(state="ready", message="Model ready", model="Scripted", embedded=True)
QUESTION = "Who portrayed Corliss Archer in the film Kiss and Tell?"
SEARCH = (
    "I should search.\n<tool_call>\n"
    '{"name": "google_search", "arguments": {"q": "Corliss Archer Kiss and Tell film"}}\n</tool_call>'
)
ENOUGH = "The search result names her. I can answer."
ANSWER = "Shirley Temple played Corliss Archer. \\boxed{Shirley Temple}"


def run_qt(app: QApplication, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop that is Qt's."""
    with asyncio.Runner(loop_factory=lambda: qasync.QEventLoop(app, already_running=False)) as runner:
        return runner.run(main)


async def until(seen: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait, with the window alive, until ``seen()`` is true."""
    end = time.monotonic() + timeout_s
    while not seen():
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.01)


class Workbench:
    """Real services; ``gate`` holds the engine back until it is set."""

    def __init__(self, home: Path, replies: Sequence[str] = (SEARCH, ENOUGH, ANSWER)) -> None:
        self.home = home
        self.replies = replies
        self.wanted: list[EngineSpec] = []  # by the sessions that ran, in their order
        self.gate = asyncio.Event()
        self.gate.set()
        settings = Settings()
        self.store = SessionStore(open_database(home / "fathom.db"))
        library = LibraryService(LibraryStore(open_database(home / "library.db")), None)
        search = SearchService(settings, Keys(keyring.backends.fail.Keyring()))
        runner = SessionRunner(self.store, self._engine, self._toolbox, settings)
        engine = EngineService(settings)
        engine.status = READY
        models = ModelLibrary(settings, home, engine, runner.sessions, user_home=home / "nobody")
        power = PowerWatch(settings, engine, runner)
        mcp = McpService(settings, search.keys)
        self.services = Services(settings, home, self.store, runner, engine, library, search, models, power, mcp)

    async def _engine(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
        self.wanted.append(wanted)
        await self.gate.wait()
        return ScriptedEngine(self.replies), load_profile("qwen")

    async def _toolbox(self, session: Session, profile: Profile) -> SessionToolbox:
        return await open_toolbox(
            session.task,
            library=self.services.library,
            parser=None,
            downloads_dir=self.home / "downloads",
            session_dir=self.home / "work" / session.id,
            compact=False,
            search=await self.services.search.panel() if session.task.scope.web else None,
            supervisor=self.services.sessions.supervisor(session.id),
        )

    def add_session(
        self,
        title: str,
        state: SessionState = "done",
        *,
        days_ago: float = 0.0,
        steps: int = 3,
        seconds: float = 200.0,
        sample: bool = False,
        events: Sequence[AgentEvent] | None = None,
    ) -> Session:
        """Put a session into the store as if it had run."""
        created = datetime.now(UTC) - timedelta(days=days_ago)
        session = Session(
            id=f"s{abs(hash((title, state, days_ago))):x}"[:12],
            title=title,
            created=created.isoformat(timespec="seconds"),
            task=Task(question=title, scope=Scope(), today="2026-01-01"),
            sample=sample,
        )
        self.store.create(session)
        for event in events if events is not None else recording(session.task, steps, finished=state == "done"):
            self.store.record(session.id, event)
        self.store.set_state(session.id, state, seconds=seconds)
        return self.store.get(session.id)


PAGES = (
    (
        "Kiss and Tell (1945 film)",
        "Kiss and Tell is a 1945 American comedy film starring Shirley Temple as Corliss Archer.",
    ),
    ("Shirley Temple", "Shirley Temple Black was an American actress, singer, dancer, and diplomat."),
    ("Chief of Protocol", "She was appointed Chief of Protocol of the United States in 1976."),
)


def recording(task: Task, steps: int, finished: bool = True, keep: int = 5) -> list[AgentEvent]:
    """The events of a run of ``steps`` steps: a search, then pages."""
    events: list[AgentEvent] = [RunStarted(task=task, model="Scripted", context_tokens=8192, keep=keep)]
    for number in range(1, steps + 1):
        title, text = PAGES[(number - 1) % len(PAGES)]
        in_view = tuple(range(max(1, number - keep), number))
        used = 900 + 620 * len(in_view)
        events.append(StepStarted(step=number, in_view=in_view, prompt_tokens=used, context_tokens=8192))
        name, arguments = (
            ("google_search", {"q": title}) if number % 3 == 1 else ("scrape_and_extract_info", {"url": title})
        )
        call = ToolCall(id=f"{number}.0", name=name, arguments=dict(arguments))
        thought = f"The question names a role. I look for {title} and see who is behind it."
        passage = Passage(uri=f"library://sample/{title}", title=title, text=text, start=0, end=len(text))
        observation = Observation(
            call_id=call.id, tool=name, text=text, title=title, best=text, passages=(passage,), seconds=0.4
        )
        events += [
            CallStarted(step=number, call_id=call.id, name=name, arguments=call.arguments, thought=thought),
            ObservationReady(step=number, observation=observation),
            StepFinished(
                step=Step(index=number, thought=thought, calls=(call,), observations=(observation,)),
                tokens_per_second=41.0,
            ),
        ]
    if finished:
        title, text = PAGES[2]
        report = Report(
            question=task.question,
            answer="Chief of Protocol",
            answer_backed=True,
            body="Shirley Temple played Corliss Archer; later she was **Chief of Protocol** of the United States [1].",
            citations=(
                Citation(
                    number=1,
                    step=min(3, steps),
                    passage=Passage(uri=f"library://sample/{title}", title=title, text=text, start=0, end=len(text)),
                    quote=text,
                ),
            ),
        )
        events.append(RunFinished(answer="Chief of Protocol", finish_reason="answered", report=report, seconds=200.0))
    return events
