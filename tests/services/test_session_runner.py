"""The research queue: it stores before it publishes, and every way to end a run leaves the finished steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fathom.core.errors import EndpointError, EngineDied, ModelFileError, UserError
from fathom.core.events import (
    AgentEvent,
    CallStarted,
    Notice,
    ObservationReady,
    RunFailed,
    RunFinished,
    RunStopped,
    StepFinished,
    ThoughtDelta,
    TokenDelta,
)
from fathom.core.settings import Settings
from fathom.core.types import EngineSpec, Scope, Session
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.profiles import Profile, load_profile
from fathom.services.library_service import LibraryService
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.sessions import SessionStore
from fathom.tools import open_toolbox
from fathom.tools.toolbox import SessionToolbox

QUESTION = "Who portrayed Corliss Archer in the film Kiss and Tell?"
SEARCH = (
    "I should search.\n<tool_call>\n"
    '{"name": "google_search", "arguments": {"q": "Corliss Archer Kiss and Tell film"}}\n</tool_call>'
)
READY = "The search result names her. I can answer."
ANSWER = "Shirley Temple played Corliss Archer. \\boxed{Shirley Temple}"


class Bench:
    """A real store, library and toolbox around a scripted engine."""

    def __init__(self, home: Path, engine: ScriptedEngine) -> None:
        self.home = home
        self.engine = engine
        self.profile = load_profile("qwen")
        self.store = SessionStore(open_database(home / "fathom.db"))
        self.library = LibraryService(LibraryStore(open_database(home / "library.db")), None)
        self.runner = SessionRunner(self.store, self.source, self.toolbox, Settings())
        self.seen: list[tuple[str, AgentEvent]] = []
        self.runner.subscribe(lambda session, event: self.seen.append((session, event)))

    async def source(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
        return self.engine, self.profile

    async def toolbox(self, session: Session, profile: Profile) -> SessionToolbox:
        return await open_toolbox(
            session.task,
            library=self.library,
            parser=None,
            downloads_dir=self.home / "downloads",
            session_dir=self.home / "work" / session.id,
            compact=False,
        )

    async def close(self) -> None:
        await self.runner.close()
        await self.library.close()
        self.store.close()

    async def first(self, kind: type[AgentEvent]) -> AgentEvent:
        """Wait for the first event of a kind."""
        return await self.until(lambda event: isinstance(event, kind))

    async def until(self, wanted: Callable[[AgentEvent], bool]) -> AgentEvent:
        found: asyncio.Future[AgentEvent] = asyncio.get_running_loop().create_future()

        def look(_session: str, event: AgentEvent) -> None:
            if wanted(event) and not found.done():
                found.set_result(event)

        end = self.runner.subscribe(look)
        try:
            return await asyncio.wait_for(found, 30)
        finally:
            end()


def scenario(
    home: Path, replies: list[str], body: Callable[[Bench], Coroutine[Any, Any, None]], delay_s: float = 0.0
) -> None:
    async def main() -> None:
        bench = Bench(home, ScriptedEngine(replies, delay_s=delay_s))
        await bench.library.ensure_sample()
        try:
            await body(bench)
        finally:
            await bench.close()

    asyncio.run(main())


def test_question_ends_in_a_report_with_a_citation(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        session = bench.runner.ask(QUESTION)
        await bench.first(RunFinished)
        await bench.runner.idle()
        done = bench.runner.session(session.id)
        assert done.state == "done"
        trajectory = bench.runner.trajectory(session.id)
        assert trajectory.answer == "Shirley Temple"
        assert trajectory.report is not None
        assert trajectory.report.answer_backed
        assert "Shirley Temple" in trajectory.report.citations[0].passage.text

    scenario(fathom_home, [SEARCH, READY, ANSWER], body)


def test_finished_step_is_in_the_database_when_it_is_published(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        checked = 0

        def look(session: str, event: AgentEvent) -> None:
            nonlocal checked
            if isinstance(event, StepFinished | CallStarted | ObservationReady):
                other = SessionStore(open_database(fathom_home / "fathom.db"))
                assert event in other.events(session)
                other.close()
                checked += 1

        bench.runner.subscribe(look)
        bench.runner.ask(QUESTION)
        await bench.first(RunFinished)
        assert checked >= 3

    scenario(fathom_home, [SEARCH, READY, ANSWER], body)


def test_reopened_session_makes_the_same_events(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        session = bench.runner.ask(QUESTION)
        await bench.first(RunFinished)
        await bench.runner.idle()
        from fathom.core.events import DELTAS

        live = [event for _, event in bench.seen if not isinstance(event, DELTAS)]
        assert bench.runner.events(session.id) == live

    scenario(fathom_home, [SEARCH, READY, ANSWER], body)


def test_stop_keeps_finished_steps_and_the_run_can_go_on(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        session = bench.runner.ask(QUESTION)
        await bench.until(lambda event: isinstance(event, ThoughtDelta) and event.step == 2)
        bench.runner.stop(session.id)
        await bench.runner.idle()
        assert bench.runner.session(session.id).state == "stopped"
        assert isinstance(bench.seen[-1][1], RunStopped)
        assert len(bench.runner.trajectory(session.id).steps) == 1
        bench.engine.enqueue(READY, ANSWER)
        bench.runner.go_on(session.id)
        await bench.first(RunFinished)
        await bench.runner.idle()
        steps = bench.runner.trajectory(session.id).steps
        assert [step.index for step in steps] == [1, 2]
        assert bench.runner.session(session.id).state == "done"

    scenario(fathom_home, [SEARCH, "word " * 2000], body, delay_s=0.002)


def test_finish_now_writes_the_report_from_what_there_is(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        session = bench.runner.ask(QUESTION)
        await bench.until(lambda event: isinstance(event, ThoughtDelta) and event.step == 2)
        bench.engine.enqueue(ANSWER)
        bench.runner.finish_now(session.id)
        finished = await bench.first(RunFinished)
        assert isinstance(finished, RunFinished)
        assert finished.finish_reason == "finish_now"
        assert finished.answer == "Shirley Temple"

    scenario(fathom_home, [SEARCH, "word " * 2000], body, delay_s=0.002)


def test_dead_engine_is_said_plainly_and_partial_text_is_kept(fathom_home: Path) -> None:
    class Dying(ScriptedEngine):
        async def generate(self, request):  # type: ignore[no-untyped-def]
            dies = self.remaining == 1
            async with aclosing(super().generate(request)) as events:
                async for event in events:
                    yield event
                    if dies and isinstance(event, TokenDelta):
                        raise EngineDied("gone", "Killed")

    async def main() -> None:
        bench = Bench(fathom_home, Dying([SEARCH, "half a thought that never ends"]))
        await bench.library.ensure_sample()
        session = bench.runner.ask(QUESTION)
        failed = await bench.first(RunFailed)
        assert isinstance(failed, RunFailed)
        assert failed.remedy == "restart_engine"
        assert "half" in failed.partial_text
        assert "1 finished step is saved" in failed.has
        await bench.runner.idle()
        assert bench.runner.session(session.id).state == "failed"
        await bench.close()

    asyncio.run(main())


def test_where_the_text_goes_is_said_at_the_start_and_a_refusal_is_told_whole(fathom_home: Path) -> None:
    class Refusing(ScriptedEngine):
        async def generate(self, request):  # type: ignore[no-untyped-def]
            if self.remaining == 1:
                raise EndpointError("gpu.example.org has too much to do.", has="429", do="Try again later.", status=429)
            async with aclosing(super().generate(request)) as events:
                async for event in events:
                    yield event

    async def main() -> None:
        engine = Refusing([SEARCH, READY])
        where = "The question and what is read for it go to gpu.example.org."
        engine.info = msgspec.structs.replace(engine.info, host="gpu.example.org", notices=(where,))
        bench = Bench(fathom_home, engine)
        await bench.library.ensure_sample()
        session = bench.runner.ask(QUESTION)
        await bench.first(RunFailed)
        await bench.runner.idle()
        events = bench.runner.events(session.id)
        assert isinstance(events[0], Notice) and events[0].text == where  # before anything is sent
        failed = events[-1]
        assert isinstance(failed, RunFailed) and failed.message == "gpu.example.org has too much to do."
        assert (failed.has, failed.do) == ("429. 1 finished step is saved.", "Try again later.")
        assert failed.remedy == "retry" and not failed.engine
        await bench.close()

    asyncio.run(main())


def test_second_question_waits_and_then_runs(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        first = bench.runner.ask(QUESTION)
        second = bench.runner.ask(QUESTION, Scope(sample=True))
        assert bench.runner.session(second.id).state == "waiting"
        await bench.runner.idle()
        assert [bench.runner.session(s.id).state for s in (first, second)] == ["done", "done"]

    scenario(fathom_home, [SEARCH, READY, ANSWER] * 2, body)


def test_a_question_that_waited_when_the_app_ended_starts_by_itself_the_next_time(fathom_home: Path) -> None:
    async def main() -> None:
        never = asyncio.Event()

        class NoEngine(Bench):
            async def source(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
                await never.wait()
                raise AssertionError("there is no engine")

        before = NoEngine(fathom_home, ScriptedEngine([]))
        waiting = [before.runner.ask(QUESTION) for _ in range(2)]
        await before.close()
        bench = Bench(fathom_home, ScriptedEngine([SEARCH, READY, ANSWER] * 2))
        bench.runner.take_up_waiting()
        bench.runner.take_up_waiting()
        await bench.runner.idle()
        assert [bench.runner.session(session.id).state for session in waiting] == ["done", "done"]
        ended = [session for session, event in bench.seen if isinstance(event, RunFinished)]
        assert ended == [session.id for session in waiting]
        await bench.close()

    asyncio.run(main())


def test_each_session_gets_the_engine_that_it_chose(fathom_home: Path) -> None:
    asked: list[EngineSpec] = []

    class Choosing(Bench):
        async def source(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
            asked.append(wanted)
            return await super().source(wanted)

    async def main() -> None:
        bench = Choosing(fathom_home, ScriptedEngine([SEARCH, READY, ANSWER] * 2))
        chosen = EngineSpec(backend="mlx", model="/models/some.gguf")
        first = bench.runner.ask(QUESTION, engine=chosen)
        second = bench.runner.ask(QUESTION)
        await bench.runner.idle()
        assert asked == [chosen, EngineSpec(backend="", model="")]
        # what computed it is kept with it
        assert bench.runner.session(first.id).engine == EngineSpec(backend="scripted", model=chosen.model)
        assert bench.runner.session(second.id).engine == EngineSpec(backend="scripted")
        await bench.close()

    asyncio.run(main())


def test_a_session_whose_engine_cannot_be_had_lets_the_next_one_pass(fathom_home: Path) -> None:
    gone = EngineSpec(model="/models/gone.gguf")

    class Gone(Bench):
        async def source(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
            if wanted == gone:
                raise ModelFileError("gone.gguf is not there.", do="Choose another model.")
            return await super().source(wanted)

    async def main() -> None:
        bench = Gone(fathom_home, ScriptedEngine([SEARCH, READY, ANSWER]))
        first, second = bench.runner.ask(QUESTION, engine=gone), bench.runner.ask(QUESTION)
        await bench.runner.idle()
        assert [bench.runner.session(one.id).state for one in (first, second)] == ["failed", "done"]
        (failed,) = [event for session, event in bench.seen if isinstance(event, RunFailed) and session == first.id]
        assert failed.message == "gone.gguf is not there." and "Choose another model." in failed.do
        assert "the model that you usually use" in failed.do
        bench.engine = ScriptedEngine([SEARCH, READY, ANSWER])
        bench.runner.go_on(first.id)
        await bench.runner.idle()
        assert bench.runner.session(first.id).state == "done"
        await bench.close()

    asyncio.run(main())


def test_a_session_that_is_stopped_while_its_engine_loads_lets_the_next_one_pass(fathom_home: Path) -> None:
    slow = EngineSpec(model="/models/slow.gguf")
    loading = asyncio.Event()

    class Slow(Bench):
        async def source(self, wanted: EngineSpec) -> tuple[ScriptedEngine, Profile]:
            if wanted == slow:
                loading.set()
                await asyncio.Event().wait()
            return await super().source(wanted)

    async def main() -> None:
        bench = Slow(fathom_home, ScriptedEngine([SEARCH, READY, ANSWER]))
        first, second = bench.runner.ask(QUESTION, engine=slow), bench.runner.ask(QUESTION)
        await loading.wait()
        bench.runner.stop(first.id)
        await bench.runner.idle()
        assert [bench.runner.session(one.id).state for one in (first, second)] == ["stopped", "done"]
        await bench.close()

    asyncio.run(main())


def test_empty_question_is_refused(fathom_home: Path) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(UserError):
            bench.runner.ask("  \n ")

    scenario(fathom_home, [], body)


def test_export_does_not_replace_a_file_unasked(fathom_home: Path, tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        session = bench.runner.ask(QUESTION)
        await bench.runner.idle()
        target = bench.runner.export(session.id, tmp_path / "report")
        assert target.suffix == ".md"
        text = target.read_text()
        assert "Shirley Temple" in text
        with pytest.raises(FileExistsError):
            bench.runner.export(session.id, target)
        assert bench.runner.export(session.id, target, overwrite=True) == target

    scenario(fathom_home, [SEARCH, READY, ANSWER], body)
