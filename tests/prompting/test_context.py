"""Retention is exactly S_t(K), the stored trace stays whole, and long runs fit into a small context."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.core.events import ObservationReady, RunFinished, StepStarted
from fathom.core.types import Message, Observation, Step, Task, ToolCall, ToolSpec
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.context import OMITTED, Budget, conversation, cut, has_room, retained, view, with_request
from fathom.prompting.formats import FORMATS, load_format
from fathom.prompting.profiles import load_profile, profiles

KEEP = st.integers(min_value=-1, max_value=12)


def make_steps(count: int, text: str = "result {}") -> tuple[Step, ...]:
    return tuple(
        Step(
            index=index,
            thought=f"thought {index}",
            calls=(ToolCall(id=f"{index}.0", name="google_search", arguments={"q": f"query {index}"}),),
            observations=(Observation(call_id=f"{index}.0", tool="google_search", text=text.format(index)),),
        )
        for index in range(1, count + 1)
    )


@given(turn=st.integers(min_value=1, max_value=700), keep=KEEP)
def test_retained_is_the_formula(turn: int, keep: int) -> None:
    formula = {i for i in range(1, turn) if keep == -1 or i >= turn - keep}
    assert set(retained(turn, keep)) == formula
    assert len(retained(turn, keep)) == (turn - 1 if keep == -1 else min(keep, turn - 1))


def test_retained_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="turn"):
        retained(0, 5)
    with pytest.raises(ValueError, match="keep"):
        retained(3, -2)


@given(count=st.integers(min_value=0, max_value=20), keep=KEEP)
def test_view_blanks_old_observations_and_nothing_else(count: int, keep: int) -> None:
    steps = make_steps(count)
    before = repr(steps)
    seen = view(steps, keep)
    assert repr(steps) == before
    inside = set(retained(count + 1, keep))
    for step, shown in zip(steps, seen, strict=True):
        assert (shown.thought, shown.calls) == (step.thought, step.calls)
        expected = step.observations[0].text if step.index in inside else OMITTED
        assert shown.observations[0].text == expected


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(count=st.integers(min_value=0, max_value=15), keep=KEEP)
def test_conversation_keeps_every_thought_and_call(name: str, count: int, keep: int) -> None:
    call_format = load_format(name)
    opening = (Message(role="system", content="S"), call_format.question(Task(question="Why?")))
    messages = conversation(call_format, opening, make_steps(count), keep)
    assert messages[:2] == opening
    assert len(messages) == 2 + 2 * count
    whole = "\n".join(message.content for message in messages)
    for index in range(1, count + 1):
        assert f"thought {index}" in messages[2 * index].content
        assert f'"query {index}"' in messages[2 * index].content
        in_view = keep == -1 or index >= count + 1 - keep
        assert (OMITTED in messages[2 * index + 1].content) is not in_view
    assert whole.count(OMITTED) == count - len(retained(count + 1, keep))


def test_earlier_prompt_is_a_prefix_of_the_next_while_nothing_is_blanked() -> None:
    call_format = load_format("hermes")
    opening = (Message(role="system", content="S"), call_format.question(Task(question="Why?")))
    steps = make_steps(5)
    for count in range(5):
        shorter = conversation(call_format, opening, steps[:count], 5)
        longer = conversation(call_format, opening, steps[: count + 1], 5)
        assert longer[: len(shorter)] == shorter


def test_request_joins_the_users_last_message() -> None:
    user = (Message(role="system", content="S"), Message(role="user", content="result"))
    assert with_request(user, "Answer now.") == (user[0], Message(role="user", content="result\n\nAnswer now."))
    assistant = (*user, Message(role="assistant", content="ready"))
    assert with_request(assistant, "Answer now.")[-1] == Message(role="user", content="Answer now.")


def test_room_is_the_references_sum() -> None:
    budget = Budget(context=1000, reserve=20, output=120, observation=60)
    # 500 + 1.5 * 40 + 1.5 * 100 + 120 + 20 = 850
    assert has_room(500, 40, 100, budget)
    assert has_room(649, 40, 100, budget)
    assert not has_room(650, 40, 100, budget)


@given(prompt=st.integers(0, 9000), last=st.integers(0, 2000), more=st.integers(0, 500))
def test_more_tokens_never_make_room(prompt: int, last: int, more: int) -> None:
    budget = load_profile("default").budget(8192)
    if not has_room(prompt, last, 100, budget):
        assert not has_room(prompt + more, last, 100, budget)
        assert not has_room(prompt, last + more, 100, budget)


@given(text=st.text(max_size=600), limit=st.integers(0, 600))
def test_cut_says_what_it_left_out(text: str, limit: int) -> None:
    shown, left_out = cut(text, limit)
    if len(text) <= limit:
        assert (shown, left_out) == (text, 0)
    else:
        head = shown.rpartition("\n[")[0]
        assert text.startswith(head)
        assert len(head) <= limit
        assert left_out == len(text) - len(head)
        assert f"{left_out:,}" in shown


class LongWinded:
    """A toolbox whose every result is far longer than the context."""

    def specs(self) -> tuple[ToolSpec, ...]:
        parameters = {
            "type": "object",
            "properties": {"q": {"type": "string", "maxLength": 160}},
            "required": ["q"],
            "additionalProperties": False,
        }
        return (ToolSpec(name="google_search", description="Search.", parameters=parameters),)

    def all_specs(self) -> tuple[ToolSpec, ...]:
        return self.specs()

    async def call(self, call: ToolCall) -> Observation:
        return Observation(
            call_id=call.id, tool=call.name, text=f"{call.arguments['q']}: " + "long words here. " * 3000
        )


@pytest.mark.parametrize("name", sorted(set(profiles()) - {"mirothinker"}))
def test_ten_calls_with_long_results_fit_in_8192_tokens(name: str) -> None:
    profile = load_profile(name)
    thought = "I look for the next thing that I need to know. " * 4
    call = '<tool_call>\n{{"name": "google_search", "arguments": {{"q": "number {}"}}}}\n</tool_call>'
    replies = [f"{thought}\n{call.format(index)}" for index in range(1, 11)]

    async def main() -> None:
        from fathom.agent.loop import run

        engine = ScriptedEngine([*replies, "I am ready to answer.", "It is so. \\boxed{so}"])
        prompts, finished = [], None
        async for event in run(Task(question="What is it?"), engine, LongWinded(), profile):
            if isinstance(event, StepStarted):
                prompts.append(event.prompt_tokens)
            elif isinstance(event, ObservationReady):
                assert event.observation.cut_chars > 10_000
            elif isinstance(event, RunFinished):
                finished = event
        assert finished is not None
        assert finished.finish_reason == "answered"
        assert len(prompts) == 11
        for request in engine.requests:
            assert await engine.count_tokens(request.messages) + request.max_tokens <= 8192

    asyncio.run(main())
