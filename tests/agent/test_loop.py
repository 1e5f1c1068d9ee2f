"""The loop over a scripted engine and a toolbox of three tools: what it asks, what it records, how it ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from fathom.agent.control import RunControl
from fathom.agent.loop import run
from fathom.core.events import (
    AgentEvent,
    CallStarted,
    Notice,
    ObservationReady,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import Observation, Passage, Step, Task, ToolCall, ToolSpec
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.context import OMITTED
from fathom.prompting.profiles import Profile

TASK = Task(question="Who portrayed Corliss Archer?")
TEXT = "Kiss and Tell is a film starring Shirley Temple as Corliss Archer."
READY = "I have read it. I am ready to answer."
ANSWER = "It was Shirley Temple. \\boxed{Shirley Temple}"
OPEN = Profile(name="open", constrained=False)


def calls(name: str, thought: str = "I look.", **arguments: str) -> str:
    body = msgspec.json.encode({"name": name, "arguments": arguments}).decode()
    return f"{thought}\n<tool_call>\n{body}\n</tool_call>"


def search(q: str) -> str:
    return calls("google_search", q=q)


class Tools:
    """Answers every call at once; ``broken`` fails, ``slow`` waits until it is cancelled."""

    def __init__(self) -> None:
        self.made: list[ToolCall] = []
        self.cancelled = 0

    def specs(self) -> tuple[ToolSpec, ...]:
        text = {"type": "string", "maxLength": 60}
        schema = {"type": "object", "properties": {"q": text}, "required": ["q"], "additionalProperties": False}
        return tuple(
            ToolSpec(name=name, description="A tool.", parameters=schema)
            for name in ("google_search", "broken", "slow")
        )

    def all_specs(self) -> tuple[ToolSpec, ...]:
        return self.specs()

    async def call(self, call: ToolCall) -> Observation:
        self.made.append(call)
        if call.name == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1
        passage = Passage(uri="library://x/1", title="Kiss and Tell", text=TEXT, end=len(TEXT))
        failed = call.name == "broken"
        return Observation(
            call_id=call.id,
            tool=call.name,
            text="Error: it is broken" if failed else f"{call.arguments['q']}: {TEXT}",
            title="Kiss and Tell",
            passages=() if failed else (passage,),
            is_error=failed,
        )


def drive(
    replies: Sequence[str],
    *,
    profile: Profile = OPEN,
    on_event: Callable[[AgentEvent, RunControl], None] | None = None,
    engine: ScriptedEngine | None = None,
    tools: Tools | None = None,
    **options: Any,
) -> list[AgentEvent]:
    async def main() -> list[AgentEvent]:
        control, events = RunControl(), []
        async for event in run(
            TASK, engine or ScriptedEngine(replies), tools or Tools(), profile, control=control, **options
        ):
            events.append(event)
            if on_event is not None:
                on_event(event, control)
        return events

    return asyncio.run(main())


def of(events: Sequence[AgentEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def last(events: Sequence[AgentEvent]) -> RunFinished:
    assert isinstance(events[-1], RunFinished)
    return events[-1]


def test_a_turn_is_thought_call_observation_and_a_turn_without_a_call_ends_it() -> None:
    events = drive([search("kiss and tell"), READY, ANSWER])
    kinds = [type(event).__name__ for event in events if not isinstance(event, ThoughtDelta)]
    assert kinds[0] == "RunStarted"
    assert [kind for kind in kinds if kind in ("CallStarted", "ObservationReady", "StepFinished")] == [
        "CallStarted",
        "ObservationReady",
        "StepFinished",
        "StepFinished",
    ]
    call = of(events, CallStarted)[0]
    assert (call.name, call.arguments, call.thought) == ("google_search", {"q": "kiss and tell"}, "I look.")
    first, second = (event.step for event in of(events, StepFinished))
    assert first.thought == "I look."
    assert first.observations[0].text == f"kiss and tell: {TEXT}"
    assert second.calls == ()
    end = last(events)
    assert (end.finish_reason, end.answer, end.report.answer_backed) == ("answered", "Shirley Temple", True)
    assert "".join(event.text for event in of(events, ThoughtDelta) if event.step == 1).strip() == "I look."


def test_the_model_sees_the_last_k_results_and_every_thought_and_call() -> None:
    engine = ScriptedEngine([*(search(f"number {n}") for n in range(1, 5)), READY, ANSWER])
    events = drive([], engine=engine, keep=2)
    assert [event.in_view for event in of(events, StepStarted)] == [(), (1,), (1, 2), (2, 3), (3, 4)]
    fifth = "\n".join(message.content for message in engine.requests[4].messages)
    assert fifth.count(OMITTED) == 2
    for n in range(1, 5):
        assert f'"q":"number {n}"' in fifth
        assert (f"number {n}: {TEXT}" in fifth) == (n > 2)


@pytest.mark.parametrize(
    ("options", "reason", "steps"),
    [({"max_calls": 2}, "max_calls", 2), ({"max_time_s": 1e-9}, "max_time", 0), ({"max_calls": 10_000}, "answered", 4)],
)
def test_budgets_end_in_a_report(options: dict[str, Any], reason: str, steps: int) -> None:
    replies = [*(search(f"n{n}") for n in range(3)), READY, ANSWER]
    events = drive([*replies[:steps], ANSWER] if reason != "answered" else replies, **options)
    assert last(events).finish_reason == reason
    assert len(of(events, StepFinished)) == steps
    assert of(events, RunStarted)[0].max_calls <= 600


def test_a_full_context_goes_to_the_report_before_the_turn_that_would_not_fit() -> None:
    engine = ScriptedEngine([*(search(f"{n} " + "w" * 50) for n in range(60)), ANSWER], context_tokens=1200)
    small = Profile(name="small", constrained=False, answer_tokens=64)
    events = drive([], engine=engine, profile=small, keep=-1)
    assert last(events).finish_reason in ("context_full", "answered")
    assert last(events).finish_reason == "context_full"
    for event in of(events, StepStarted):
        assert event.prompt_tokens + int(1200 * 0.12) <= 1200


def test_failed_tool_becomes_an_observation_and_five_in_a_row_end_the_run() -> None:
    events = drive([*(calls("broken", q=str(n)) for n in range(5)), ANSWER])
    assert [event.observation.is_error for event in of(events, ObservationReady)] == [True] * 5
    assert last(events).finish_reason == "repetition"


def test_repeated_call_is_not_run_again_and_says_where_its_result_stands() -> None:
    tools = Tools()
    events = drive([search("same"), search("same"), READY, ANSWER], tools=tools)
    assert len(tools.made) == 1
    repeated = of(events, ObservationReady)[1].observation
    assert "in step 1 already" in repeated.text
    assert not repeated.is_error


def test_call_that_cannot_be_read_is_told_to_the_model() -> None:
    events = drive(['Go.\n<tool_call>\n{"name": "google_search", "arguments": [1]}\n</tool_call>', READY, ANSWER])
    observation = of(events, ObservationReady)[0].observation
    assert observation.is_error
    assert "Write the call again" in observation.text


def test_pause_holds_before_the_next_turn_until_it_is_resumed() -> None:
    def steer(event: AgentEvent, control: RunControl) -> None:
        if isinstance(event, CallStarted):
            control.pause()
        elif isinstance(event, RunPaused):
            assert control.paused
            control.resume()

    events = drive([search("a"), READY, ANSWER], on_event=steer)
    kinds = [type(event) for event in events]
    assert kinds.index(StepFinished) < kinds.index(RunPaused) < kinds.index(RunResumed)
    assert last(events).finish_reason == "answered"


def test_finish_now_interrupts_a_tool_and_writes_the_report_from_what_there_is() -> None:
    tools = Tools()

    def steer(event: AgentEvent, control: RunControl) -> None:
        if isinstance(event, CallStarted) and event.name == "slow":
            control.finish()

    events = drive([search("a"), calls("slow", q="b"), ANSWER], on_event=steer, tools=tools)
    assert tools.cancelled == 1
    assert of(events, ObservationReady)[1].observation.interrupted
    assert (last(events).finish_reason, last(events).answer) == ("finish_now", "Shirley Temple")


def test_finish_now_in_a_thought_keeps_the_thought_and_ends_a_pause() -> None:
    engine = ScriptedEngine([search("a"), "word " * 400, ANSWER])

    def steer(event: AgentEvent, control: RunControl) -> None:
        if isinstance(event, ThoughtDelta) and event.step == 2 and not control.finish_requested:
            control.pause()
            control.finish()

    events = drive([], engine=engine, on_event=steer)
    assert engine.cancelled == 1
    assert of(events, StepFinished)[1].step.thought.startswith("word")
    assert last(events).finish_reason == "finish_now"


def test_cancelling_the_run_stops_the_generation_and_propagates() -> None:
    async def main() -> None:
        engine = ScriptedEngine(["word " * 4000], delay_s=0.001)
        seen = asyncio.Event()

        async def consume() -> None:
            async for event in run(TASK, engine, Tools(), OPEN):
                if isinstance(event, ThoughtDelta):
                    seen.set()

        task = asyncio.create_task(consume())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.cancelled == 1

    asyncio.run(main())


def test_a_run_goes_on_from_its_history() -> None:
    events = drive([search("a"), search("b"), ANSWER], max_calls=2)
    history = [event.step for event in of(events, StepFinished)]
    engine = ScriptedEngine([search("c"), READY, ANSWER])
    more = drive([], engine=engine, history=history)
    assert of(more, RunStarted)[0].first_step == 3
    assert [event.step.index for event in of(more, StepFinished)] == [3, 4]
    assert '"q":"a"' in "\n".join(message.content for message in engine.requests[0].messages)


def test_history_that_was_ready_to_answer_goes_straight_to_the_report() -> None:
    events = drive([ANSWER], history=[Step(index=1, thought=READY)])
    assert of(events, StepStarted) == []
    assert last(events).finish_reason == "answered"


def test_a_call_is_required_until_enough_of_them_brought_something() -> None:
    profile = Profile(name="p", constrained=False, required_calls=2)
    replies = [search("a"), search("a"), search("b"), READY, ANSWER]
    events = drive(replies, profile=profile)
    assert [event.tool_choice for event in of(events, StepStarted)] == ["required", "required", "required", "auto"]
    assert [event.step.tool_choice for event in of(events, StepFinished)][-1] == "auto"


def test_the_repeated_tool_is_left_out_once_where_the_profile_says_so() -> None:
    replies = [search("a"), search("a"), calls("broken", q="x"), READY, ANSWER]
    for withheld in (False, True):
        engine = ScriptedEngine(replies)
        drive([], engine=engine, profile=Profile(name="p", withhold_repeated=withheld))
        offered = ["google_search" in request.grammar for request in engine.requests[:4]]
        assert offered == [True, True, not withheld, True]


def test_bare_call_under_constraint_is_written_again_in_its_tags() -> None:
    bare = 'I look.\n{"name": "google_search", "arguments": {"q": "x"}}'
    tagged = '<tool_call>\n{"name": "google_search", "arguments": {"q": "held"}}\n</tool_call>'
    engine = ScriptedEngine([bare, tagged, READY, ANSWER])
    events = drive([], engine=engine, profile=Profile(name="p"))
    assert of(events, CallStarted)[0].arguments == {"q": "held"}
    assert of(events, CallStarted)[0].thought == "I look."
    again = engine.requests[1]
    assert again.prefill == "I look.\n"
    assert again.grammar


def test_thought_that_runs_into_its_limit_still_gets_its_call() -> None:
    engine = ScriptedEngine(["word " * 2000, '<tool_call>\n{"name": "broken", "arguments": {"q": "x"}}\n</tool_call>'])
    engine.enqueue(READY, ANSWER)
    events = drive([], engine=engine, profile=Profile(name="p"))
    assert of(events, CallStarted)[0].name == "broken"
    assert of(events, Notice) == []


def test_small_models_answer_from_the_passages_alone() -> None:
    engine = ScriptedEngine([search("a"), READY, 'The answer is "Shirley Temple". She was in the film.'])
    events = drive([], engine=engine, profile=Profile(name="p", answer_from="passages"))
    request = engine.requests[-1]
    assert [message.role for message in request.messages] == ["system", "user"]
    assert TEXT in request.messages[1].content
    assert TASK.question in request.messages[1].content
    assert request.grammar.startswith('start: "The answer is')
    assert (last(events).answer, last(events).report.answer_backed) == ("Shirley Temple", True)


def test_without_passages_they_answer_from_the_conversation() -> None:
    engine = ScriptedEngine([calls("broken", q="x"), READY, ANSWER])
    drive([], engine=engine, profile=Profile(name="p", answer_from="passages"))
    assert len(engine.requests[-1].messages) > 2


def test_a_long_result_is_cut_to_the_observation_cap_and_told() -> None:
    class Long(Tools):
        async def call(self, call: ToolCall) -> Observation:
            return msgspec.structs.replace(await super().call(call), text="A sentence of a page. " * 5000)

    events = drive([search("a"), READY, ANSWER], tools=Long())
    observation = of(events, ObservationReady)[0].observation
    assert observation.cut_chars > 50_000
    assert len(observation.text) // 4 + 1 <= int(8192 * 0.06)
    assert "more characters are saved but not shown" in observation.text


def test_fast_memory_keeps_more_for_a_while_and_never_less_than_k() -> None:
    engine = ScriptedEngine([*(search(f"number {n}") for n in range(12)), READY, ANSWER], context_tokens=32_768)
    events = drive([], engine=engine, keep=2, fast_memory=True)
    starts = of(events, StepStarted)
    assert starts[-1].block > 0
    for event in starts:
        assert set(range(max(1, event.step - 2), event.step)) <= set(event.in_view)
        assert len(event.in_view) <= 2 + event.block
    changes = [1 for a, b in itertools.pairwise(starts) if not set(a.in_view) <= set(b.in_view)]
    assert len(changes) < len(starts[4:]) / 2


def test_fast_memory_gives_way_when_its_room_is_needed() -> None:
    class Long(Tools):
        async def call(self, call: ToolCall) -> Observation:
            return msgspec.structs.replace(await super().call(call), text="word " * 300)

    events = {}
    for fast in (False, True):
        engine = ScriptedEngine([*(search(f"number {n}") for n in range(30)), ANSWER], context_tokens=4096)
        events[fast] = drive([], engine=engine, keep=2, fast_memory=fast, tools=Long(), max_calls=30)
    steps = {fast: len(of(events[fast], StepFinished)) for fast in events}
    assert steps[True] == steps[False]


def test_an_engine_that_knows_no_grammar_gets_none_and_is_asked_again_for_a_call_that_is_required() -> None:
    engine = ScriptedEngine(
        ["I should look.", '{"name": "google_search", "arguments": {"q": "kiss"}}', "Now I know.", ANSWER]
    )
    engine.info = msgspec.structs.replace(engine.info, constrained=False, schemas=True)
    events = drive([], engine=engine, profile=Profile(name="held", required_calls=1))
    step = of(events, StepFinished)[0].step
    assert (step.thought, step.calls[0].name) == ("I should look.", "google_search")
    first, again, second, answer = engine.requests
    assert not any(request.grammar for request in engine.requests)
    assert first.stop == ("</tool_call>",) and not first.json_schema and not first.tools
    assert again.prefill == "I should look.\n"
    names = [one["properties"]["name"]["const"] for one in again.json_schema["anyOf"]]
    assert names == ["google_search", "broken", "slow"]
    assert not second.json_schema and not answer.json_schema
    assert last(events).answer == "Shirley Temple"


def test_an_engine_with_native_tools_is_told_of_them() -> None:
    engine = ScriptedEngine([search("kiss"), READY, ANSWER])
    engine.info = msgspec.structs.replace(engine.info, constrained=False, native_tools=True)
    drive([], engine=engine, profile=Profile(name="held", required_calls=1))
    assert [spec.name for spec in engine.requests[0].tools] == ["google_search", "broken", "slow"]
    assert [request.tool_choice for request in engine.requests[:2]] == ["required", "auto"]
