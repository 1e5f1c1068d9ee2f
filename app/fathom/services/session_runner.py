"""Runs research sessions one after the other: store each event, then publish it.

Composes engine, tools, loop and store. Knows nothing of widgets. What the model can mend never arrives here; whatever
else goes wrong ends the run as a ``RunFailed`` that says what is safe and what to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec

from fathom.agent import loop
from fathom.agent.control import RunControl
from fathom.agent.report import build_report
from fathom.core.errors import EndpointError, EngineDied, EngineError, FathomError, UserError
from fathom.core.events import (
    DELTAS,
    AgentEvent,
    AnswerDelta,
    CallDelta,
    HostContacted,
    Notice,
    ObservationReady,
    PermissionAnswered,
    PermissionAsked,
    RunFailed,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.protocols import Engine, Exporter, Supervisor, Wanted
from fathom.core.redaction import redact, redacted
from fathom.core.registry import load
from fathom.core.settings import Settings
from fathom.core.types import (
    EngineInfo,
    EngineSpec,
    PermissionAnswer,
    PermissionKind,
    Report,
    Scope,
    Session,
    SessionState,
    Task,
    Trajectory,
)
from fathom.export import EXPORTERS
from fathom.export.files import write_atomically
from fathom.prompting.profiles import Profile
from fathom.services.engine_choice import wanted_by
from fathom.store.sessions import SessionStore
from fathom.tools.toolbox import SessionToolbox
from fathom.weights import embedded

log = logging.getLogger(__name__)

EventCallback = Callable[[str, AgentEvent], None]
SessionCallback = Callable[[Session], None]
ToolboxFactory = Callable[[Session, Profile], Awaitable[SessionToolbox]]
EngineSource = Callable[[EngineSpec], Awaitable[tuple[Engine, Profile]]]
"""Gives the engine that a session chose."""


LONG_CONTEXT = 32_768
LONG_RUN = 50
"""From this context in tokens, and for more than so many calls, "auto" means fast memory."""


class SessionRunner:
    """The research queue. All methods belong to the event loop's thread."""

    def __init__(
        self, store: SessionStore, engine: EngineSource, open_toolbox: ToolboxFactory, settings: Settings
    ) -> None:
        self._store = store
        self._engine = engine
        self._open_toolbox = open_toolbox
        self._settings = settings
        self._queue: deque[str] = deque()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._active: _Active | None = None
        self._getting: tuple[str, asyncio.Future[tuple[Engine, Profile]]] | None = None  # the engine of the next one
        self._event_callbacks: list[EventCallback] = []
        self._session_callbacks: list[SessionCallback] = []
        self._questions: dict[tuple[str, str], asyncio.Future[PermissionAnswer]] = {}
        self.attended = False
        """Whether somebody can answer when leave is asked for: set by the window. Otherwise it is refused at once."""

    # --- what is there --------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> Session:
        """One session. Raises LookupError when there is none."""
        return self._store.get(session_id)

    def sessions(self, query: str = "") -> list[Session]:
        """All sessions, newest first; with a query, those whose text holds its words."""
        return self._store.list(query)

    def contacts(self) -> list[tuple[str, HostContacted]]:
        """The hosts that sessions contacted, newest first, each with its session's title."""
        return self._store.contacts()

    def trajectory(self, session_id: str) -> Trajectory:
        """The finished steps, and the answer when there is one."""
        return self._store.trajectory(session_id)

    def events(self, session_id: str) -> list[AgentEvent]:
        """The session's events from the store; the same ones that were published live, without deltas."""
        return self._store.events(session_id)

    def subscribe(self, callback: EventCallback) -> Callable[[], None]:
        """Call ``callback(session_id, event)`` for every event of every run; returns the way to end it."""
        self._event_callbacks.append(callback)
        return lambda: self._event_callbacks.remove(callback)

    def subscribe_sessions(self, callback: SessionCallback) -> Callable[[], None]:
        """Call ``callback(session)`` when a session is made or its state changes."""
        self._session_callbacks.append(callback)
        return lambda: self._session_callbacks.remove(callback)

    # --- commands -------------------------------------------------------------------------------------------------

    def ask(
        self,
        question: str,
        scope: Scope | None = None,
        attachments: Sequence[str] = (),
        engine: EngineSpec | None = None,
    ) -> Session:
        """Make a session and put it in the queue; it starts by itself when its engine is ready.

        ``engine`` is what answers it, None what the settings choose now; it stays with the session.
        Raises UserError when the question is empty.
        """
        question = redact(" ".join(question.split()))
        if not question:
            raise UserError("There is no question yet.", needs="a question", do="Write one, then ask.")
        task = Task(
            question=question,
            scope=scope if scope is not None else self._settings.scope,
            attachments=tuple(attachments),
            today=date.today().isoformat(),
        )
        session = Session(
            id=uuid.uuid4().hex[:12],
            title=_title(question),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            task=task,
            engine=engine or wanted_by(self._settings),
        )
        self._store.create(session)
        self._session_changed(session.id)
        self._enqueue(session.id)
        return session

    def is_running(self) -> bool:
        """Whether a run is on."""
        return self._active is not None

    def go_on(self, session_id: str) -> None:
        """Take a failed, interrupted or stopped session up again after its last finished step."""
        session = self._store.get(session_id)
        if session.state not in ("failed", "interrupted", "stopped") or session_id in self._queue:
            return
        self._store.discard_open_step(session_id)
        self._set_state(session_id, "waiting")
        self._enqueue(session_id)

    def take_up_waiting(self) -> None:
        """Queue what waited when the app ended, oldest first: it starts by itself, as it was promised."""
        for session_id in self._store.adopt_waiting():
            if session_id not in self._queue:
                self._enqueue(session_id)

    def pause(self, session_id: str) -> None:
        """Hold the run at its next boundary."""
        if active := self._running(session_id):
            active.control.pause()

    @property
    def busy(self) -> bool:
        """Whether a session runs or is paused."""
        return self._active is not None

    def pause_with(self, reason: str) -> None:
        """Hold the running session at its next boundary and tell why; without effect when none runs."""
        active = self._active
        if active is not None and not active.control.paused:
            self._publish(active.session_id, Notice(text=reason, level="warning", step=active.step))
            active.control.pause()

    def resume(self, session_id: str) -> None:
        """Let a paused run go on."""
        if active := self._running(session_id):
            active.control.resume()

    def finish_now(self, session_id: str) -> None:
        """Write the report from what there is."""
        if active := self._running(session_id):
            active.control.finish()

    def answer(self, session_id: str, question_id: str, answer: PermissionAnswer) -> None:
        """Answer a PermissionAsked; one that is answered already, or whose run has ended, is left alone."""
        question = self._questions.get((session_id, question_id))
        if question is not None and not question.done():
            question.set_result(answer)

    def supervisor(self, session_id: str) -> Supervisor:
        """Who watches over the tools of the session's run."""
        return _Supervisor(self, session_id)

    def stop(self, session_id: str) -> None:
        """End the run without a report; its finished steps stay. A waiting session leaves the queue."""
        if active := self._running(session_id):
            active.stop_requested = True
            active.task.cancel()
        elif session_id in self._queue:
            self._leave_queue(session_id)
            self._publish(session_id, RunStopped(step=0))
            self._set_state(session_id, "stopped")

    def delete(self, session_id: str) -> None:
        """Remove a session that does not run."""
        if self._running(session_id):
            raise UserError("This session is still running.", do="Stop it first.")
        if session_id in self._queue:
            self._leave_queue(session_id)
        self._store.delete(session_id)

    def report(self, session_id: str) -> Report:
        """The session's report; for a run without one, what its finished steps hold."""
        trajectory = self._store.trajectory(session_id)
        return trajectory.report or build_report(trajectory, "")

    def export(self, session_id: str, path: Path, format: str = "markdown", overwrite: bool = False) -> Path:  # noqa: A002
        """Write the report to ``path`` (the format's suffix is added when it has none); returns the path written.

        Raises FileExistsError when the file is there and ``overwrite`` is not said, ExportError when it
        cannot be written.
        """
        exporter = load(EXPORTERS, format, "format")()
        target = path if path.suffix else path.with_suffix(exporter.suffix)
        write_atomically(target, self.render(session_id, format), overwrite=overwrite)
        return target

    def render(self, session_id: str, format: str = "markdown") -> bytes:  # noqa: A002
        """The file that :meth:`export` would write. Raises LookupError when there is no such session or format."""
        exporter: Exporter = load(EXPORTERS, format, "format")()
        session, trajectory = self._store.get(session_id), self._store.trajectory(session_id)
        return exporter.render(session, trajectory, trajectory.report or build_report(trajectory, ""))

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits."""
        while self._queue or self._active is not None:
            assert self._pump is not None
            self._settled.clear()
            await self._settled.wait()

    async def close(self) -> None:
        """End the running session; it can be taken up again from its last finished step."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _leave_queue(self, session_id: str) -> None:
        """Wait no longer, neither in the queue nor for an engine."""
        self._queue.remove(session_id)
        if self._getting is not None and self._getting[0] == session_id:
            self._getting[1].cancel()

    def _running(self, session_id: str) -> _Active | None:
        return self._active if self._active is not None and self._active.session_id == session_id else None

    def _enqueue(self, session_id: str) -> None:
        self._queue.append(session_id)
        self._wake.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work(), name="sessions")

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            session_id = self._queue[0]
            try:
                engine, profile = await self._engine_of(session_id)
            except _NotWanted:
                continue
            except FathomError as error:
                self._queue.popleft()
                self._without_engine(session_id, error)
                self._settled.set()
                continue
            self._queue.popleft()
            active = _Active(session_id, RunControl())
            active.task = asyncio.create_task(self._run(active, engine, profile), name=f"run {session_id}")
            self._active = active
            try:
                await asyncio.wait({active.task})
            finally:
                if not active.task.done():  # the app closes
                    active.task.cancel()
                    await asyncio.wait({active.task})
                self._active = None
                self._settled.set()

    def _without_engine(self, session_id: str, error: FathomError) -> None:
        """Its engine cannot be had: it fails, and is answered by the usual one when the person lets it go on."""
        failure = _failure(error, _Active(session_id, RunControl()))
        usual = wanted_by(self._settings)
        if self._store.get(session_id).engine != usual:
            self._store.set_engine(session_id, usual)
            do = f"{failure.do} Or go on: the model that you usually use answers then.".strip()
            failure = msgspec.structs.replace(failure, do=do, remedy="retry", engine=False)
        self._publish(session_id, failure)
        self._set_state(session_id, "failed")

    async def _engine_of(self, session_id: str) -> tuple[Engine, Profile]:
        """The engine that the session chose. Raises _NotWanted when the session was stopped meanwhile."""
        getting = asyncio.ensure_future(self._engine(self._store.get(session_id).engine))
        self._getting = session_id, getting
        try:
            await asyncio.wait({getting})
        finally:
            getting.cancel()
            self._getting = None
        if getting.cancelled() or not self._queue or self._queue[0] != session_id:
            raise _NotWanted
        return getting.result()

    async def _run(self, active: _Active, engine: Engine, profile: Profile) -> None:
        session_id = active.session_id
        state: SessionState
        try:
            state = await self._drive(active, engine, profile)
        except asyncio.CancelledError:
            if active.stop_requested:
                self._publish(session_id, RunStopped(step=active.step))
                state = "stopped"
            else:
                state = "interrupted"  # reopens at its last finished step, the cut-off one marked
        except Exception as error:
            state = "failed"
            self._publish(session_id, _failure(error, active))
        self._set_state(session_id, state, active)

    async def _drive(self, active: _Active, engine: Engine, profile: Profile) -> SessionState:
        session = self._store.get(active.session_id)
        self._store.set_model(session.id, engine.info.model)
        instead = _instead(session.engine, engine.info)
        if instead is not None:
            self._publish(session.id, Notice(text=f"{engine.info.model} answers: you chose it instead."))
        self._store.set_engine(
            session.id, instead or msgspec.structs.replace(session.engine, backend=engine.info.backend)
        )
        toolbox = await self._open_toolbox(session, profile)
        answer: RunFinished | None = None
        try:
            history = self._store.trajectory(session.id).steps
            for text in (*engine.info.notices, *toolbox.notices()):
                self._publish(session.id, Notice(text=text))
            async for event in loop.run(
                session.task,
                engine,
                toolbox,
                profile,
                control=active.control,
                keep=self._settings.keep,
                max_calls=self._settings.max_calls,
                max_time_s=self._settings.max_time_s,
                history=history,
                fast_memory=self._fast_memory(engine),
            ):
                active.see(event)
                self._publish(session.id, event)
                if isinstance(event, RunStarted | RunResumed | StepFinished):
                    self._set_state(session.id, "running", active)
                elif isinstance(event, RunPaused):
                    self._set_state(session.id, "paused", active)
                elif isinstance(event, RunFinished):
                    answer = event
        finally:
            await toolbox.close()
        return "done" if answer is not None and answer.answer else "partial"

    def _fast_memory(self, engine: Engine) -> bool:
        """Whether results leave the view in blocks: as was chosen, else for a long run on a long context.

        Never where they are cut out of the KV cache, which is done one by one.
        """
        chosen = self._settings.memory
        if self._settings.shift_memory and engine.info.backend == "llamacpp":
            return False
        if chosen == "auto":
            return engine.info.context_tokens >= LONG_CONTEXT and self._settings.max_calls > LONG_RUN
        return chosen == "fast"

    def _publish(self, session_id: str, event: AgentEvent) -> None:
        """Store first, then publish. When the store cannot take a failure's notice, people still see it."""
        if not isinstance(event, DELTAS):
            event = redacted(event)
            try:
                self._store.record(session_id, event)
            except FathomError:
                if not isinstance(event, RunFailed):
                    raise
                log.exception("the failure could not be stored")
        for callback in list(self._event_callbacks):
            callback(session_id, event)

    def _set_state(self, session_id: str, state: SessionState, active: _Active | None = None) -> None:
        try:
            self._store.set_state(session_id, state, seconds=active.take_seconds() if active is not None else 0.0)
        except FathomError:
            log.exception("the state of session %s could not be stored", session_id)
        self._session_changed(session_id)

    def _session_changed(self, session_id: str) -> None:
        session = self._store.get(session_id)
        for callback in list(self._session_callbacks):
            callback(session)


class _NotWanted(Exception):
    """The session was stopped while it waited for its engine."""


def _instead(wanted: EngineSpec, found: EngineInfo) -> EngineSpec | None:
    """What answers, when it is not what the session chose: the person chose another while that could not be had."""
    if (wanted.backend == "endpoint") != (found.backend == "endpoint"):
        return EngineSpec(backend=found.backend, model=found.path or found.model)
    chosen = Path(wanted.model) if wanted.model else embedded.locate()
    if found.backend == "endpoint" or not found.path or chosen == Path(found.path):
        return None
    return EngineSpec(backend=found.backend, model=found.path)


class _Active:
    """The running session: its control, and what is needed to tell how far it was when it fails."""

    task: asyncio.Task[None]

    def __init__(self, session_id: str, control: RunControl) -> None:
        self.session_id = session_id
        self.control = control
        self.stop_requested = False
        self.step = 0
        self.steps_done = 0
        self.partial = ""
        self._since = time.monotonic()

    def see(self, event: AgentEvent) -> None:
        """Keep the running step's number and partial text."""
        if isinstance(event, StepStarted):
            self.step, self.partial = event.step, ""
        elif isinstance(event, ThoughtDelta | CallDelta | AnswerDelta):
            self.partial += event.text
        elif isinstance(event, ObservationReady):
            self.partial = ""
        elif isinstance(event, StepFinished):
            self.steps_done = event.step.index
            self.partial = ""

    def take_seconds(self) -> float:
        """Seconds since the last call, to be added to the session's running time."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        return seconds


class _Supervisor:
    """Implements ``core.protocols.Supervisor``: what the tools ask and tell becomes events of the session."""

    def __init__(self, runner: SessionRunner, session_id: str) -> None:
        self._runner = runner
        self._session_id = session_id
        events = runner.events(session_id)
        self._hosts = {(event.host, event.kind) for event in events if isinstance(event, HostContacted)}

    @property
    def _step(self) -> int:
        active = self._runner._running(self._session_id)
        return active.step if active is not None else 0

    def _publish(self, event: AgentEvent) -> None:
        self._runner._publish(self._session_id, event)

    async def ask(self, wanted: Wanted) -> PermissionAnswer:
        """Ask the person and wait; silence is a no."""
        runner, question_id, step = self._runner, uuid.uuid4().hex[:8], self._step
        wait_s = runner._settings.permission_wait_s if runner.attended else 0.0
        self._publish(
            PermissionAsked(
                step=step,
                id=question_id,
                kind=wanted.kind,
                host=wanted.host,
                address=wanted.address,
                why=wanted.why,
                was_shown=wanted.was_shown,
                wait_s=wait_s,
            )
        )
        question: asyncio.Future[PermissionAnswer] = asyncio.get_running_loop().create_future()
        runner._questions[self._session_id, question_id] = question
        answer: PermissionAnswer = "refuse"
        by: Literal["person", "silence", "headless", "end"] = "end"
        try:
            if not runner.attended:
                by = "headless"
            else:
                async with asyncio.timeout(wait_s):
                    answer = await question
                by = "person"
        except TimeoutError:
            by = "silence"
        finally:
            del runner._questions[self._session_id, question_id]
            self._publish(PermissionAnswered(step=step, id=question_id, answer=answer, by=by))
        return answer

    def tell(self, text: str) -> None:
        """A notice beside the step."""
        self._publish(Notice(text=text, level="warning", step=self._step))

    def contacted(self, host: str, kind: PermissionKind) -> None:
        """Recorded once a session."""
        if (host, kind) not in self._hosts:
            self._hosts.add((host, kind))
            self._publish(HostContacted(step=self._step, host=host, kind=kind))


def _failure(error: Exception, active: _Active) -> RunFailed:
    kept = f"{active.steps_done} finished steps are saved." if active.steps_done != 1 else "1 finished step is saved."
    if isinstance(error, EngineDied):
        return RunFailed(
            message="The engine stopped. Your session is safe.",
            has=f"{kept} Only the text that it was writing is lost.",
            do="Start the engine again and go on from the last finished step.",
            remedy="restart_engine",
            detail=f"{error}\n{error.stderr_tail}".strip(),
            engine=True,
            partial_text=active.partial,
        )
    if isinstance(error, EndpointError):
        return RunFailed(
            message=error.message,
            needs=error.needs,
            has=f"{error.has}. {kept}" if error.has else kept,
            do=error.do,
            remedy="retry",
            detail=str(error),
            partial_text=active.partial,
        )
    if isinstance(error, EngineError):
        return RunFailed(
            message="The engine could not go on.",
            has=kept,
            do=f"{error} Go on from the last finished step, or choose another model.",
            remedy="restart_engine",
            detail=str(error),
            engine=True,
            partial_text=active.partial,
        )
    if isinstance(error, UserError):
        return RunFailed(
            message=error.message, needs=error.needs, has=error.has or kept, do=error.do, remedy=error.remedy
        )
    log.error("a run failed", exc_info=error)
    return RunFailed(
        message="Something in Fathom went wrong. Your session is safe.",
        has=kept,
        do="Go on from the last finished step. The details are in the log.",
        remedy="retry",
        detail="".join(traceback.format_exception(error)),
        partial_text=active.partial,
    )


def _title(question: str, limit: int = 80) -> str:
    """The question itself, or its first words when it is long."""
    if len(question) <= limit:
        return question
    cut = question[:limit].rsplit(" ", 1)[0]
    return f"{cut or question[:limit]}…"


def as_json(event: AgentEvent) -> bytes:
    """One JSON object without a line break, with ``type`` naming the event."""
    return msgspec.json.encode(event)
