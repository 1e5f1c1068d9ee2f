"""The reducer and the rows: what the timeline knows and says, without a window."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_runs import ending, in_view, observation, one_step, report, run, started

from fathom.core.events import (
    AgentEvent,
    AnswerDelta,
    AnswerStarted,
    CallDelta,
    CallStarted,
    Notice,
    ObservationReady,
    PromptProgress,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import Step, Task
from fathom.ui.research import timeline_words as words
from fathom.ui.research.timeline_rows import accessible_text, activity, build_rows, is_backed
from fathom.ui.research.timeline_state import RunState


def reduced(events: list[AgentEvent], now: float = 0.0) -> RunState:
    state = RunState()
    for event in events:
        state.apply(event, now)
    return state


def keys(state: RunState, fold_open: bool = False) -> list[str]:
    return [row.key for row in build_rows(state, fold_open)]


def test_replay_ends_in_the_same_state_as_the_live_run() -> None:
    live = reduced(run(13, live=True) + ending(live=True), now=7.0)
    stored = reduced(run(13) + ending())
    assert live == stored
    assert build_rows(live) == build_rows(stored)


@given(st.lists(st.text(max_size=20), max_size=12))
def test_a_thought_is_the_sum_of_its_deltas(pieces: list[str]) -> None:
    state = reduced([started(), StepStarted(step=1)])
    for piece in pieces:
        state.apply(ThoughtDelta(step=1, text=piece))
        assert state.steps[1].phase == "thinking"
    assert state.steps[1].thought == "".join(pieces)


def test_steps_lie_in_three_groups_in_their_order() -> None:
    state = reduced([*run(13), StepStarted(step=14, in_view=in_view(14))])
    assert keys(state) == [
        "saved", "fold", "step 8", "view", "step 9", "step 10", "step 11", "step 12", "step 13", "step 14",
    ]  # fmt: skip
    rows = {row.key: row for row in build_rows(state)}
    assert rows["saved"].text == "Saved, out of view  ·  8 results"
    assert rows["fold"].text == "Steps 1–7:"
    assert rows["fold"].detail == "7 searches"
    assert rows["view"].text == "In the model’s view  ·  5 of 13 results"
    assert [row.number for row in rows.values() if row.leaves_next] == [9]
    assert [row.key for row in rows.values() if row.last] == ["step 8", "step 13"]


def test_an_open_fold_shows_every_older_step() -> None:
    state = reduced([*run(13), StepStarted(step=14, in_view=in_view(14))])
    assert keys(state, fold_open=True)[:10] == ["saved", "fold", *(f"step {number}" for number in range(1, 9))]


def test_nothing_leaves_while_there_is_room() -> None:
    state = reduced([*run(3), StepStarted(step=4, in_view=(1, 2, 3))])
    assert state.leaves_next == 0
    assert keys(state) == ["view", "step 1", "step 2", "step 3", "step 4"]


def test_fold_tells_failures_in_words() -> None:
    events: list[AgentEvent] = [started(), *one_step(1), *one_step(2, error=True)]
    for number in range(3, 10):
        events += one_step(number)
    rows = {row.key: row for row in build_rows(reduced([*events, StepStarted(step=10, in_view=in_view(10))]))}
    assert rows["fold"].detail == "3 searches, 1 failed"


@pytest.mark.parametrize(
    ("tool", "verb"),
    [
        ("google_search", "Searched"),
        ("scrape_and_extract_info", "Opened a page"),
        ("run_python_code", "Calculated"),
        ("run_command", "Ran a command"),
        ("create_sandbox", "Made a workspace"),
        ("upload_file_from_local_to_sandbox", "Copied a file in"),
        ("download_file_from_internet_to_sandbox", "Fetched a file"),
        ("download_file_from_sandbox_to_local", "Saved a file"),
        ("something_else", "Used"),
    ],
)
def test_each_tool_has_a_plain_verb(tool: str, verb: str) -> None:
    assert words.verb(tool) == verb


def test_the_telling_argument_is_shown_on_one_line() -> None:
    assert words.main_argument({"num": 3, "q": "two\n words"}) == "two words"
    assert words.main_argument({"info_to_extract": "x", "url": "library:a"}) == "library:a"
    assert words.main_argument({"unheard_of": "a value"}) == "a value"
    assert words.main_argument({"count": 4}) == "count 4"
    assert words.main_argument({}) == ""


def test_activity_says_what_the_model_does() -> None:
    state = reduced([started(), StepStarted(step=1, prompt_tokens=8000)], now=10.0)

    def now_doing(at: float = 11.0) -> str:
        return activity(state, state.steps[1], at)

    assert now_doing() == "Reading 8,000 tokens"
    state.apply(PromptProgress(step=1, done=3200, total=8000), 10.0)
    assert now_doing() == "Reading 3,200 of 8,000 tokens"
    assert now_doing(16.0) == "Reading 3,200 of 8,000 tokens  ·  6 s"
    state.apply(ThoughtDelta(step=1, text="Hm"), 20.0)
    assert now_doing(21.0) == "Thinking"
    assert now_doing(26.0) == "Waiting for the model’s next word  ·  6 s"
    state.apply(CallDelta(step=1, text="{"), 30.0)
    assert now_doing(30.0) == "Writing the call"
    state.apply(CallStarted(step=1, call_id="1.0", name="google_search", arguments={"q": "x"}), 40.0)
    assert now_doing(41.0) == "Waiting for the tool"
    assert now_doing(46.0) == "Waiting for the tool  ·  6 s"
    state.apply(RunPaused(step=1), 47.0)
    assert now_doing(47.0) == "It goes on when you press Resume"
    state.apply(RunResumed(step=1), 48.0)
    assert not state.paused


def test_a_stop_cuts_the_open_step_off_and_keeps_the_others() -> None:
    state = reduced([*run(2), StepStarted(step=3, in_view=(1, 2)), ThoughtDelta(step=3, text="I was")])
    state.apply(RunStopped(step=3))
    assert [step.phase for step in state.steps.values()] == ["done", "done", "cut_off"]
    assert state.steps[3].thought == "I was"
    last = build_rows(state)[-1]
    assert (last.kind, last.text) == ("ending", "Stopped by you")
    assert last.detail == "2 finished steps are saved. No report was written."


def test_a_failure_says_what_is_safe() -> None:
    state = reduced([*run(1), StepStarted(step=2, in_view=(1,))])
    failed = RunFailed(message="The engine stopped.", needs="a running engine", do="start it again", partial_text="I")
    state.apply(failed)
    last = build_rows(state)[-1]
    assert last.text == "Ended by an error in step 2"
    assert last.detail == "1 finished step is saved."
    assert state.steps[2].thought == "I"


def test_an_interrupted_step_is_cut_off_and_written_again_when_the_run_goes_on() -> None:
    state = reduced([*run(2), StepStarted(step=3, in_view=(1, 2))])
    state.apply(RunInterrupted(step=3, thought="Half a"))
    assert state.steps[3].phase == "cut_off"
    assert state.steps[3].thought == "Half a"
    state.apply(RunStarted(task=Task(question="q"), keep=5, first_step=3))
    assert list(state.steps) == [1, 2]
    assert state.ending == ""
    for event in one_step(3):
        state.apply(event)
    assert state.steps[3].phase == "done"


def test_an_interruption_in_the_report_cuts_off_no_step() -> None:
    state = reduced([*run(2), AnswerStarted(reason="answered"), RunInterrupted(step=0)])
    assert list(state.steps) == [1, 2]
    assert {step.phase for step in state.steps.values()} == {"done"}
    assert [row.text for row in build_rows(state)][-1] == "Interrupted"


def test_a_required_call_is_told() -> None:
    state = reduced([started(), *one_step(1, choice="required")])
    assert state.steps[1].tool_choice == "required"
    assert "Had to use a tool." in accessible_text(build_rows(state)[0], state)


def test_an_observation_replaces_the_same_call_only_once() -> None:
    state = reduced([started(), StepStarted(step=1)])
    state.apply(CallStarted(step=1, call_id="1.0", name="google_search", arguments={"q": "x"}))
    state.apply(ObservationReady(step=1, observation=observation(1)))
    state.apply(ObservationReady(step=1, observation=observation(1)))
    assert len(state.steps[1].observations) == 1
    assert state.steps[1].actions[0].seconds == 0.8


def test_notices_stand_after_their_step_and_only_once() -> None:
    notice = Notice(text="The sandbox is off.", level="warning")
    later = Notice(text="A page did not open.", step=2)
    state = reduced([started(), notice, notice, *one_step(1), *one_step(2), later])
    assert [row.text for row in build_rows(state) if row.kind == "notice"] == [notice.text, later.text]
    order = [row.kind if row.kind == "notice" else row.key for row in build_rows(state)]
    assert order == ["notice", "view", "step 1", "step 2", "notice"]


def test_the_answer_row_lasts_while_the_report_is_written() -> None:
    state = reduced([*run(6), AnswerStarted(reason="finish_now"), AnswerDelta(text="It was ")])
    state.apply(AnswerDelta(text="she."))
    last = build_rows(state)[-1]
    assert (last.kind, last.text) == ("answer", "Writing the report from what there is")
    assert state.answer_text == "It was she."
    assert state.in_view == (2, 3, 4, 5, 6)
    for event in ending():
        state.apply(event)
    rows = build_rows(state)
    assert "answer" not in [row.kind for row in rows]
    assert rows[-1].text == "Done in 61 s"
    assert "In the model’s view at the end  ·  5 of 6 results" in [row.text for row in rows]


def test_a_row_reads_as_one_sentence_each() -> None:
    state = reduced(run(2))
    spoken = accessible_text(build_rows(state)[-1], state)
    assert spoken == (
        "Step 2. Thought: Thought of step 2: look for document 2. "
        "Action: Searched, google_search, document 2, 0.8 s. "
        "Observation: Document 2. The best sentence of step 2 stands here."
    )


def test_a_step_without_a_call_has_its_thought_only() -> None:
    from fathom.core.events import StepFinished

    state = reduced([started(), StepStarted(step=1), StepFinished(step=Step(index=1, thought="I know it."))])
    assert accessible_text(build_rows(state)[0], state) == "Step 1. Thought: I know it."


@pytest.mark.parametrize(
    ("answer", "backed", "title", "green"),
    [
        ("Chief of Protocol", True, "Done in 61 s", True),
        ("Governor", False, "Done in 61 s. No saved passage contains the short answer", False),
        ("", False, "Ended without a short answer after 61 s", False),
    ],
)
def test_a_run_ends_in_green_only_when_a_passage_holds_its_answer(
    answer: str, backed: bool, title: str, green: bool
) -> None:
    made = msgspec.structs.replace(report(backed=backed), answer=answer)
    state = reduced([*run(3), *ending(made)])
    assert build_rows(state)[-1].text == title
    assert is_backed(state) == green


def test_times_are_short_and_what_was_not_run_has_none() -> None:
    assert [words.seconds(value) for value in (0.0, 0.004, 0.4, 12.2, 200)] == [
        "", "< 0.1 s", "0.4 s", "12 s", "3 min 20 s",
    ]  # fmt: skip


def test_a_cut_off_call_is_told_as_begun_and_without_a_time() -> None:
    call = CallStarted(step=3, call_id="3.0", name="google_search", arguments={"q": "x"})
    state = reduced([*run(2), StepStarted(step=3, in_view=(1, 2)), call, RunInterrupted(step=3)])
    spoken = accessible_text(next(row for row in build_rows(state) if row.key == "step 3"), state)
    assert spoken.endswith("Cut off. Thought: none. Action: Searching, google_search, x.")
