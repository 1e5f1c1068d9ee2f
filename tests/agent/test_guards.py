"""Guards: what counts as the same call, when a run goes in circles, when a text repeats itself."""

from __future__ import annotations

import pytest

from fathom.agent import guards
from fathom.core.types import Observation, Passage, Sampling, Step, ToolCall


def step(index: int, name: str, *, error: bool = False, interrupted: bool = False, **arguments: object) -> Step:
    call = ToolCall(id=f"{index}.0", name=name, arguments=dict(arguments))
    passage = Passage(uri="library://x/1", title="T", text="A result.", end=9)
    observation = Observation(
        call_id=call.id,
        tool=name,
        text="A result.",
        title="A title",
        passages=(passage,),
        is_error=error,
        interrupted=interrupted,
    )
    return Step(index=index, thought="", calls=(call,), observations=(observation,))


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(id="9.0", name=name, arguments=dict(arguments))


def test_the_same_search_is_the_same_whatever_else_it_asks_for() -> None:
    steps = [step(1, "google_search", q="kiss and tell", gl="us")]
    assert guards.same_call(call("google_search", q="kiss and tell"), steps) is steps[0]
    assert guards.same_call(call("google_search", q="kiss and tell", page=2), steps) is None
    assert guards.same_call(call("google_search", q="other"), steps) is None


def test_a_call_that_failed_or_was_interrupted_may_be_made_again() -> None:
    wanted = call("google_search", q="a")
    assert guards.same_call(wanted, [step(1, "google_search", q="a", error=True)]) is None
    assert guards.same_call(wanted, [step(1, "google_search", q="a", interrupted=True)]) is None


def test_code_may_run_again_since_its_world_has_changed() -> None:
    assert guards.same_call(call("run_command", command="ls"), [step(1, "run_command", command="ls")]) is None


def test_a_repeated_call_out_of_view_brings_its_saved_result_back() -> None:
    earlier = step(3, "google_search", q="a")
    out = guards.duplicate(call("google_search", q="a"), earlier, in_view=False)
    assert "A result." in out.text
    assert out.passages == earlier.observations[0].passages
    seen = guards.duplicate(call("google_search", q="a"), earlier, in_view=True)
    assert "A result." not in seen.text
    assert not seen.passages


@pytest.mark.parametrize(
    ("steps", "circles"),
    [
        ([step(1, "google_search", q="a")] + [step(n, "google_search", q="a") for n in (2, 3)], False),
        ([step(1, "google_search", q="a")] + [step(n, "google_search", q="a") for n in (2, 3, 4)], True),
        ([step(n, "broken", q=str(n), error=True) for n in range(1, 5)], False),
        ([step(n, "broken", q=str(n), error=True) for n in range(1, 6)], True),
        ([step(n, "run_command", command="ls" if n % 2 else "pwd") for n in range(1, 7)], True),
        ([step(n, "run_command", command=f"echo {n}") for n in range(1, 20)], False),
    ],
)
def test_circles(steps: list[Step], circles: bool) -> None:
    assert guards.goes_in_circles(steps) is circles


def test_useful_calls_are_those_that_neither_failed_nor_repeated() -> None:
    steps = [
        step(1, "google_search", q="a"),
        step(2, "google_search", q="a"),
        step(3, "google_search", q="b", error=True),
        step(4, "google_search", q="b"),
    ]
    assert guards.useful_calls(steps) == 2


def test_the_repeated_tool_is_withheld_until_another_call_is_made() -> None:
    steps = [step(1, "google_search", q="a"), step(2, "google_search", q="a")]
    assert guards.withheld(steps) == {"google_search"}
    assert guards.withheld([*steps, step(3, "scrape_and_extract_info", url="u", info_to_extract="i")]) == frozenset()
    assert guards.withheld([]) == frozenset()


def test_sampling_gets_livelier_with_each_repeat() -> None:
    calm = Sampling(temperature=0.3)
    assert guards.livelier(calm, 0) == calm
    assert calm.temperature < guards.livelier(calm, 1).temperature <= guards.livelier(calm, 2).temperature


def test_repetition_is_the_same_tail_five_times() -> None:
    unit = "and then the model says the very same thing again, "
    assert guards.repeats_itself("Once. " + unit * 8)
    assert not guards.repeats_itself("Once. " + unit * 2 + "but not here.")
    assert not guards.repeats_itself("")
    kept = guards.without_repetition("Once. " + unit * 30)
    assert kept.startswith("Once.")
    assert len(kept) < len(unit) * 8
    assert guards.without_repetition("A plain text.") == "A plain text."
