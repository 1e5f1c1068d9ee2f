"""The state of a run as the panes draw it: a reducer over AgentEvents, live or replayed.

``RunState.apply`` is the only way in, and a replay ends in the same state as the live run did: clocks and what only
passes by (progress, text of a call being written) take no part in comparisons. Knows nothing of Qt or of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fathom.core.events import (
    AgentEvent,
    AnswerDelta,
    AnswerStarted,
    CallDelta,
    CallStarted,
    HostContacted,
    Notice,
    ObservationReady,
    PermissionAnswered,
    PermissionAsked,
    PromptProgress,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import FinishReason, Observation, Report, Step, ToolCall, ToolChoice
from fathom.prompting.context import retained
from fathom.ui.research import timeline_words as words

Phase = Literal["reading", "thinking", "calling", "acting", "observed", "done", "cut_off"]
Ending = Literal["", "done", "partial", "stopped", "failed", "interrupted"]


@dataclass(slots=True)
class Action:
    """A call of a step. ``seconds`` is None while it runs; ``started`` is the clock's reading when it began."""

    call: ToolCall
    seconds: float | None = None
    started: float = field(default=0.0, compare=False)

    @property
    def verb(self) -> str:
        return words.running_verb(self.call.name) if self.seconds is None else words.verb(self.call.name)

    @property
    def argument(self) -> str:
        return words.main_argument(self.call.arguments)


@dataclass(slots=True)
class StepState:
    """One step. ``revision`` grows with each change, so that a view knows what to draw again."""

    number: int
    phase: Phase = "reading"
    tool_choice: ToolChoice = "auto"
    in_view: tuple[int, ...] = ()
    actions: list[Action] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    raw: str = ""
    step: Step | None = None
    read_done: int = field(default=0, compare=False)
    read_total: int = field(default=0, compare=False)
    call_text: str = field(default="", compare=False)
    revision: int = field(default=0, compare=False)
    _thought: str = ""
    _pieces: list[str] = field(default_factory=list, compare=False, repr=False)

    @property
    def thought(self) -> str:
        """The thought so far; pieces are joined when somebody looks, not when they come."""
        if self._pieces:
            self._thought += "".join(self._pieces)
            self._pieces.clear()
        return self._thought

    @thought.setter
    def thought(self, text: str) -> None:
        self._pieces.clear()
        self._thought = text

    def add(self, text: str) -> None:
        """More of the thought."""
        self._pieces.append(text)

    @property
    def is_live(self) -> bool:
        return self.phase not in ("done", "cut_off")

    def observation_of(self, call_id: str) -> Observation | None:
        """What came back from a call, if it did."""
        return next((found for found in self.observations if found.call_id == call_id), None)


@dataclass(slots=True)
class RunState:
    """A whole run. ``heard`` is the clock's reading at the last sign of life; ``changed`` the steps touched since a
    view last cleared it, ``reshaped`` whether rows came or went."""

    steps: dict[int, StepState] = field(default_factory=dict)
    in_view: tuple[int, ...] = ()
    keep: int = 5
    block: int = 0  # so many results more may be in view
    model: str = ""
    scripted: bool = False
    ending: Ending = ""
    finish_reason: FinishReason | None = None
    report: Report | None = None
    answer: str = ""
    seconds: float = 0.0
    failure: RunFailed | None = None
    ended_at: int = 0
    notices: list[Notice] = field(default_factory=list)
    hosts: list[HostContacted] = field(default_factory=list)
    asking: PermissionAsked | None = None
    answering: bool = False
    paused: bool = field(default=False, compare=False)
    heard: float = field(default=0.0, compare=False)
    changed: set[int] = field(default_factory=set, compare=False)
    reshaped: bool = field(default=True, compare=False)
    _answer_pieces: list[str] = field(default_factory=list, compare=False, repr=False)

    # --- what a view asks ---

    @property
    def live(self) -> StepState | None:
        """The step that is being made, if there is one."""
        if self.ending or not self.steps:
            return None
        last = self.steps[next(reversed(self.steps))]
        return last if last.is_live else None

    @property
    def results(self) -> list[int]:
        """Numbers of the steps that brought a result."""
        return [number for number, step in self.steps.items() if step.observations]

    @property
    def leaves_next(self) -> int:
        """The step whose result the next one pushes out of the model's view, 0 for none."""
        full = self.keep > 0 and len(self.in_view) >= self.keep + self.block
        return self.in_view[0] if full and not self.ending and not self.answering else 0

    @property
    def answer_text(self) -> str:
        """The final answer as far as it is written."""
        return "".join(self._answer_pieces)

    def newest_observation(self) -> tuple[int, int] | None:
        """Step and position of the newest observation."""
        for number in reversed(self.steps):
            if found := self.steps[number].observations:
                return number, len(found) - 1
        return None

    # --- the reducer ---

    def apply(self, event: AgentEvent, now: float = 0.0) -> None:
        """Take one event; ``now`` is a monotonic clock in seconds, of which only differences count."""
        self.heard = now
        match event:
            case ThoughtDelta(step=number, text=text):
                self._live_step(number, "thinking").add(text)
            case PromptProgress(step=number, done=done, total=total):
                if number in self.steps:
                    step = self._live_step(number, "reading")
                    step.read_done, step.read_total = done, total
            case CallDelta(step=number, text=text):
                self._live_step(number, "calling").call_text += text
            case StepStarted():
                self._start(event)
            case CallStarted():
                self._call(event, now)
            case ObservationReady(step=number, observation=observation):
                self._observe(number, observation)
            case StepFinished(step=finished):
                self._finish_step(finished)
            case AnswerDelta(text=text):
                self._answer_pieces.append(text)
                self.answering = True
                self.changed.add(0)
            case AnswerStarted(reason=reason):
                self.finish_reason = reason
                self._begin_answer()
            case RunStarted():
                self._run_started(event)
            case Notice():
                if event not in self.notices:
                    self.notices.append(event)
                    self.reshaped = True
            case PermissionAsked():
                self.asking = event
                self.reshaped = True
            case PermissionAnswered():
                self._answered(event)
            case HostContacted():
                self.hosts.append(event)
            case RunPaused():
                self._pause(True)
            case RunResumed():
                self._pause(False)
            case RunFinished():
                self._finish(event)
            case RunStopped(step=number):
                self._end("stopped", number)
                self.finish_reason = "stopped"
            case RunFailed():
                self.failure = event
                live = self.live
                if live is not None and event.partial_text and not live.thought and not live.actions:
                    live.thought = event.partial_text
                self._end("failed", live.number if live else 0)
                self.finish_reason = "failed"
            case RunInterrupted(step=number, thought=thought):
                if number and thought and not self._step(number).thought:
                    self._step(number).thought = thought
                self._end("interrupted", number)

    def _run_started(self, event: RunStarted) -> None:
        self.keep, self.model, self.scripted = event.keep, event.model, event.scripted
        self.ending, self.answering, self.paused = "", False, False
        self.finish_reason, self.report, self.failure, self.answer, self.ended_at = None, None, None, "", 0
        self._answer_pieces.clear()
        for number in [number for number in self.steps if number >= event.first_step]:
            del self.steps[number]  # a cut-off step is written again
        self.reshaped = True

    def _start(self, event: StepStarted) -> None:
        self.in_view, self.block = event.in_view, event.block
        step = StepState(
            number=event.step,
            tool_choice=event.tool_choice,
            in_view=event.in_view,
            read_total=event.prompt_tokens,
        )
        previous = self.steps.get(event.step)
        if previous is not None:
            step.revision = previous.revision + 1
        self.steps[event.step] = step
        self.reshaped = True
        self.changed.add(event.step)

    def _call(self, event: CallStarted, now: float) -> None:
        step = self._live_step(event.step, "acting")
        if event.thought:
            step.thought = event.thought
        step.call_text = ""
        if all(action.call.id != event.call_id for action in step.actions):
            call = ToolCall(id=event.call_id, name=event.name, arguments=dict(event.arguments))
            step.actions.append(Action(call=call, started=now))

    def _observe(self, number: int, observation: Observation) -> None:
        step = self._live_step(number, "observed")
        for action in step.actions:
            if action.call.id == observation.call_id:
                action.seconds = observation.seconds
        step.observations = [old for old in step.observations if old.call_id != observation.call_id] + [observation]

    def _finish_step(self, finished: Step) -> None:
        step = self._step(finished.index)
        took = {observation.call_id: observation.seconds for observation in finished.observations}
        step.thought, step.raw, step.tool_choice = finished.thought, finished.raw, finished.tool_choice
        step.actions = [Action(call=call, seconds=took.get(call.id, 0.0)) for call in finished.calls]
        step.observations = list(finished.observations)
        step.step, step.phase, step.call_text = finished, "done", ""
        step.revision += 1
        self.changed.add(finished.index)

    def _answered(self, event: PermissionAnswered) -> None:
        asked, self.asking = self.asking, None
        if asked is None or asked.id != event.id:
            return
        self.notices.append(Notice(text=words.answered(asked, event), step=event.step))
        self.reshaped = True

    def _begin_answer(self) -> None:
        last = max(self.steps, default=0)
        if last and self.steps[last].observations and last not in self.in_view:
            self.in_view = retained(last + 1, self.keep, self.block)
        self.answering = True
        self.reshaped = True

    def _pause(self, paused: bool) -> None:
        self.paused = paused
        self.reshaped = True
        if (live := self.live) is not None:
            self._touch(live)

    def _finish(self, event: RunFinished) -> None:
        self.report, self.answer, self.seconds = event.report, event.answer, event.seconds
        self.finish_reason = event.finish_reason
        complete = event.finish_reason == "answered"
        self._end("done" if complete else "partial", max(self.steps, default=0))

    def _end(self, ending: Ending, number: int) -> None:
        live = self.live
        if live is not None:
            live.phase = "cut_off"
            self._touch(live)
        elif ending == "interrupted" and number in self.steps:
            self.steps[number].phase = "cut_off"
            self._touch(self.steps[number])
        self.ending, self.ended_at, self.asking = ending, number, None
        self.answering, self.paused, self.reshaped = False, False, True
        self._answer_pieces.clear()

    def _step(self, number: int) -> StepState:
        if number not in self.steps:
            self.steps[number] = StepState(number=number)
            self.reshaped = True
        return self.steps[number]

    def _live_step(self, number: int, phase: Phase) -> StepState:
        step = self._step(number)
        step.phase = phase
        self._touch(step)
        return step

    def _touch(self, step: StepState) -> None:
        step.revision += 1
        self.changed.add(step.number)
