"""Runs for the tests of the research panes: events as a live run publishes them, and as the store replays them."""

from __future__ import annotations

from fathom.core.events import (
    AgentEvent,
    AnswerDelta,
    AnswerStarted,
    CallDelta,
    CallStarted,
    ObservationReady,
    PromptProgress,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import Citation, Observation, Passage, Report, Step, Task, ToolCall, ToolChoice

QUESTION = "Which government position was held by the woman who portrayed Corliss Archer?"
KEEP = 5


def passage(number: int) -> Passage:
    """The passage that step ``number`` read."""
    text = f"Words before it. The best sentence of step {number} stands here. Words after it."
    return Passage(uri=f"library:doc/{number}", title=f"Document {number}", text=text, end=len(text))


def observation(number: int, *, error: bool = False, text: str = "") -> Observation:
    """What step ``number`` brought."""
    if error:
        return Observation(call_id=f"{number}.0", tool="google_search", text="Nothing was found.", is_error=True)
    read = passage(number)
    return Observation(
        call_id=f"{number}.0",
        tool="google_search",
        text=text or read.text,
        title=read.title,
        best=f"The best sentence of step {number} stands here.",
        passages=(read,),
        seconds=0.8,
    )


def in_view(number: int, keep: int = KEEP) -> tuple[int, ...]:
    """The steps whose results the model sees when step ``number`` begins."""
    return tuple(range(max(1, number - keep), number))


def started() -> RunStarted:
    """The beginning of a run."""
    return RunStarted(task=Task(question=QUESTION), model="a model", keep=KEEP, context_tokens=8192)


def one_step(
    number: int, *, live: bool = False, error: bool = False, choice: ToolChoice = "auto", thought: str = ""
) -> list[AgentEvent]:
    """A finished step with one search; with ``live`` also the deltas that a store does not keep."""
    thought = thought or f"Thought of step {number}: look for document {number}."
    call = ToolCall(id=f"{number}.0", name="google_search", arguments={"q": f"document {number}"})
    result = observation(number, error=error)
    step = Step(
        index=number, thought=thought, calls=(call,), observations=(result,), raw=f"{thought}\ncall", tool_choice=choice
    )
    deltas: list[AgentEvent] = [
        PromptProgress(step=number, done=500, total=1000),
        *(ThoughtDelta(step=number, text=word + " ") for word in thought.split()),
        CallDelta(step=number, text='{"name": "google'),
    ]
    return [
        StepStarted(step=number, tool_choice=choice, in_view=in_view(number), prompt_tokens=1000),
        *(deltas if live else []),
        CallStarted(step=number, call_id=call.id, name=call.name, arguments=dict(call.arguments), thought=thought),
        ObservationReady(step=number, observation=result),
        StepFinished(step=step),
    ]


def run(steps: int, *, live: bool = False) -> list[AgentEvent]:
    """A run of finished steps that still goes on."""
    events: list[AgentEvent] = [started()]
    for number in range(1, steps + 1):
        events += one_step(number, live=live)
    return events


def report(body: str = "", *, backed: bool = True, step: int = 2) -> Report:
    """A report with two citations."""
    citations = tuple(
        Citation(number=at, step=number, passage=passage(number), quote=f"The best sentence of step {number}")
        for at, number in enumerate((step, 1), start=1)
    )
    body = body or "**Chief of Protocol** [1]\n\nShe held that position [2].\n"
    return Report(question=QUESTION, answer="Chief of Protocol", answer_backed=backed, body=body, citations=citations)


def ending(made: Report | None = None, *, live: bool = False) -> list[AgentEvent]:
    """The answer and the end."""
    deltas: list[AgentEvent] = [AnswerDelta(text="Chief "), AnswerDelta(text="of Protocol")] if live else []
    made = made or report()
    return [
        AnswerStarted(reason="answered"),
        *deltas,
        RunFinished(answer=made.answer, finish_reason="answered", report=made, seconds=61.0),
    ]
