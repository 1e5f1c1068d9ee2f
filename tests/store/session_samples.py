"""Sessions and events as a run makes them, for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

from fathom.core.events import (
    AgentEvent,
    AnswerStarted,
    CallStarted,
    Notice,
    ObservationReady,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from fathom.core.types import (
    Citation,
    EngineSpec,
    Observation,
    Passage,
    Report,
    Scope,
    Session,
    Step,
    Task,
    ToolCall,
    Usage,
)

TASK = Task(question="Who portrayed Corliss Archer?", scope=Scope(web=False), today="2026-11-24")
PASSAGE = Passage(uri="library://sample/d05519", title="Kiss and Tell", text="starring Shirley Temple", start=4, end=27)


def session(session_id: str = "s1", **changes: object) -> Session:
    values: dict[str, object] = {
        "id": session_id,
        "title": "Corliss Archer",
        "created": "2026-11-24T03:00:00+00:00",
        "task": TASK,
        "engine": EngineSpec(model="small.gguf"),
    }
    return Session(**{**values, **changes})  # type: ignore[arg-type]


def step(index: int, chars: int = 200) -> Step:
    return Step(
        index=index,
        thought=f"I should look for step {index}.",
        calls=(ToolCall(id=f"{index}.0", name="google_search", arguments={"q": f"corliss {index}", "num": 3}),),
        observations=(
            Observation(
                call_id=f"{index}.0",
                tool="google_search",
                text=("Kiss and Tell is a 1945 film. " * (chars // 30 + 1))[:chars],
                title="Kiss and Tell",
                passages=(PASSAGE,),
                seconds=0.25,
            ),
        ),
        raw="<tool_call>…</tool_call>",
        tool_choice="required",
        usage=Usage(prompt_tokens=900, reused_tokens=800, completion_tokens=40, decode_seconds=2.0),
    )


def step_events(index: int, chars: int = 200) -> Iterator[AgentEvent]:
    done = step(index, chars)
    yield StepStarted(step=index, tool_choice="required", in_view=tuple(range(max(1, index - 5), index)))
    for call, observation in zip(done.calls, done.observations, strict=True):
        yield CallStarted(step=index, call_id=call.id, name=call.name, arguments=call.arguments, thought=done.thought)
        yield ObservationReady(step=index, observation=observation)
    yield StepFinished(step=done, tokens_per_second=20.0)


def run_events(steps: int = 2, chars: int = 200) -> Iterator[AgentEvent]:
    yield RunStarted(task=TASK, model="SmolLM2 135M", context_tokens=8192)
    for index in range(1, steps + 1):
        yield from step_events(index, chars)
    yield Notice(text="The web is off.", step=steps)
    yield AnswerStarted(reason="answered", prompt_tokens=1200)
    yield finished()


def finished(answer: str = "Shirley Temple") -> RunFinished:
    report = Report(
        question=TASK.question,
        answer=answer,
        answer_backed=True,
        body="Shirley Temple played her [1].",
        citations=(Citation(number=1, step=1, passage=PASSAGE, quote="Shirley Temple"),),
    )
    return RunFinished(answer=answer, finish_reason="answered", report=report, seconds=12.5)
