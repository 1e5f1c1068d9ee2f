"""SessionStore: what is recorded is replayed, and a run that was cut off can be taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_samples import finished, run_events, session, step, step_events

from fathom.core.errors import DatabaseError, UserError
from fathom.core.events import (
    AgentEvent,
    AnswerDelta,
    AnswerStarted,
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
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import Observation, Step, Task, ToolCall
from fathom.store.database import open_database
from fathom.store.session_schema import MIGRATIONS
from fathom.store.sessions import SessionStore, UnknownSession


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    store = SessionStore(open_database(tmp_path / "fathom.db"))
    yield store
    store.close()


def reopened(store: SessionStore) -> SessionStore:
    store.close()
    return SessionStore(open_database(store.database.path))


def record_all(store: SessionStore, session_id: str, events: list[AgentEvent]) -> None:
    for event in events:
        store.record(session_id, event)


def test_replay_equals_what_was_recorded(store: SessionStore) -> None:
    store.create(session())
    events = list(run_events(steps=3))
    record_all(store, "s1", events)
    assert store.events("s1") == events
    again = reopened(store)
    assert again.events("s1") == events
    again.close()


def test_deltas_pass_by(store: SessionStore) -> None:
    store.create(session())
    for delta in (
        PromptProgress(step=1, done=1, total=2),
        ThoughtDelta(step=1, text="a"),
        AnswerDelta(text="b"),
    ):
        store.record("s1", delta)
    assert store.events("s1") == []


texts = st.text(max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda v: st.lists(v), max_leaves=5
)


@st.composite
def runs(draw: st.DrawFn) -> list[AgentEvent]:
    """Steps with up to three calls; observations may be cut in the finished step and calls may fail or repeat."""
    events: list[AgentEvent] = [RunStarted(task=Task(question=draw(texts)))]
    for index in range(1, draw(st.integers(1, 3)) + 1):
        thought = draw(texts)
        events.append(StepStarted(step=index))
        calls, observations = [], []
        for number in range(draw(st.integers(0, 3))):
            call = ToolCall(
                id=f"{index}.{number}",
                name="run_command",
                arguments=draw(st.dictionaries(texts, json_values, max_size=3)),
            )
            seen = Observation(call_id=call.id, tool=call.name, text=draw(texts), is_error=draw(st.booleans()))
            calls.append(call)
            kept = seen if draw(st.booleans()) else Observation(call_id=call.id, tool=call.name, text="cut")
            observations.append(kept)
            events.append(
                CallStarted(
                    step=index,
                    call_id=call.id,
                    name=call.name,
                    arguments=call.arguments,
                    thought=thought if draw(st.booleans()) else "",
                )
            )
            events.append(ObservationReady(step=index, observation=seen))
            if draw(st.booleans()):
                events += [Notice(text=draw(texts), step=index), RunPaused(step=index), RunResumed(step=index)]
        done = Step(index=index, thought=thought, calls=tuple(calls), observations=tuple(observations))
        events.append(StepFinished(step=done))
    events.append(draw(st.sampled_from([RunStopped(step=1), RunFailed(message="engine"), finished()])))
    return events


@given(events=runs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_run_replays_to_the_letter(store: SessionStore, events: list[AgentEvent]) -> None:
    store.delete("h")
    store.create(session("h"))
    record_all(store, "h", events)
    assert store.events("h") == events
    steps = tuple(event.step for event in events if isinstance(event, StepFinished))
    assert store.trajectory("h").steps == steps


def test_finished_step_holds_its_observations_only_once(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(step_events(1, chars=13_000)))
    (size,) = store.database.rows("SELECT sum(length(payload)) FROM events")[0]
    assert 13_000 < size < 20_000


def test_trajectory_holds_steps_and_end(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(run_events(steps=2)))
    trajectory = store.trajectory("s1")
    assert trajectory.steps == (step(1), step(2))
    assert (trajectory.answer, trajectory.finish_reason) == ("Shirley Temple", "answered")
    assert trajectory.report is not None
    assert trajectory.report.citations[0].passage.uri == "library://sample/d05519"


@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (finished(), "done", "answered"),
        (finished(answer=""), "partial", "answered"),
        (RunFailed(message="The engine died.", partial_text="I thi"), "failed", "failed"),
        (RunStopped(step=1), "stopped", "stopped"),
    ],
)
def test_end_of_run_sets_the_state(store: SessionStore, event: AgentEvent, state: str, reason: str) -> None:
    store.create(session())
    record_all(store, "s1", [*step_events(1), event])
    assert store.get("s1").state == state
    assert store.trajectory("s1").finish_reason == reason
    assert store.events("s1")[-1] == event


def test_a_session_knows_whether_a_passage_backs_its_answer(store: SessionStore) -> None:
    store.create(session())
    end = finished()
    guess = msgspec.structs.replace(end, report=msgspec.structs.replace(end.report, answer_backed=False))
    none = msgspec.structs.replace(guess, answer="", report=msgspec.structs.replace(guess.report, answer=""))
    for event, unbacked in ((guess, True), (end, False), (guess, True), (none, False)):
        store.record("s1", event)
        assert store.get("s1").unbacked is unbacked
    store.record("s1", guess)
    store.record("s1", RunStarted(task=session().task))  # it goes on
    assert not store.get("s1").unbacked


def test_a_database_from_before_that_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "fathom.db"
    database = open_database(path)
    database.migrate("sessions", MIGRATIONS[:1])
    database.close()
    store = SessionStore(open_database(path))
    store.create(session())
    assert not store.get("s1").unbacked
    store.close()


def test_session_counts_steps_sources_and_seconds(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(run_events(steps=2)))
    store.set_state("s1", "done", seconds=3.0)
    found = store.set_state("s1", "done", seconds=1.5)
    assert (found.steps, found.sources, found.seconds, found.model_name) == (2, 1, 4.5, "SmolLM2 135M")
    store.set_model("s1", "Qwen")
    assert store.get("s1").model_name == "Qwen"


def cut_off(store: SessionStore, events: list[AgentEvent]) -> SessionStore:
    """The store as the next start of the app finds it after a kill."""
    record_all(store, "s1", events)
    again = reopened(store)
    assert again.mark_interrupted() == ["s1"]
    return again


def test_killed_run_reopens_at_its_last_step_with_the_cut_off_one_marked(store: SessionStore) -> None:
    store.create(session())
    begun = list(step_events(2))[:2]
    events: list[AgentEvent] = [next(run_events()), *step_events(1), *begun]
    again = cut_off(store, events)
    assert again.get("s1").state == "interrupted"
    assert again.events("s1") == [*events, RunInterrupted(step=2, thought="I should look for step 2.")]
    assert again.trajectory("s1").steps == (step(1),)
    again.close()


def test_a_run_killed_between_its_steps_or_in_its_report_has_no_cut_off_step(store: SessionStore) -> None:
    store.create(session())
    events: list[AgentEvent] = [next(run_events()), *step_events(1), AnswerStarted(reason="answered")]
    again = cut_off(store, events)
    assert again.events("s1") == [*events, RunInterrupted(step=0)]
    again.close()


def test_killed_run_goes_on_after_its_open_step_is_discarded(store: SessionStore) -> None:
    store.create(session())
    start = next(run_events())
    again = cut_off(store, [start, *step_events(1), *list(step_events(2))[:3]])
    again.discard_open_step("s1")
    again.discard_open_step("s1")
    again.set_state("s1", "waiting")
    assert again.events("s1") == [start, *step_events(1)]
    rest = [*step_events(2), finished()]
    record_all(again, "s1", rest)
    assert again.events("s1") == [start, *step_events(1), *rest]
    assert again.get("s1").state == "done"
    again.close()


def test_discarding_keeps_why_the_run_ended(store: SessionStore) -> None:
    store.create(session())
    failure = RunFailed(message="The engine died.", engine=True)
    record_all(store, "s1", [*step_events(1), *list(step_events(2))[:2], failure])
    store.discard_open_step("s1")
    assert store.events("s1") == [*step_events(1), failure]


def test_run_that_ended_before_its_state_was_saved_is_not_interrupted(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(run_events()))
    store.set_state("s1", "running")
    again = reopened(store)
    assert again.mark_interrupted() == []
    assert again.get("s1").state == "done"
    again.close()


def test_session_of_another_living_process_is_left_alone(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(step_events(1)))
    store.set_state("s1", "running")
    other = SessionStore(open_database(store.database.path))
    assert other.mark_interrupted() == []
    assert other.get("s1").state == "running"
    store._owner.close()  # what the system does when the process dies
    assert other.mark_interrupted() == ["s1"]
    other.close()
    assert list(store.database.path.with_name("fathom-owners").iterdir()) == []


def test_waiting_question_still_waits_after_a_restart(store: SessionStore) -> None:
    store.create(session())
    again = reopened(store)
    assert again.mark_interrupted() == []
    assert again.get("s1").state == "waiting"
    again.close()


def test_waiting_questions_are_adopted_only_from_the_dead_and_oldest_first(store: SessionStore) -> None:
    for name in ("s1", "s2", "ran"):
        store.create(session(name))
    store.set_state("ran", "stopped")
    other = SessionStore(open_database(store.database.path))
    assert other.adopt_waiting() == []
    store._owner.close()  # what the system does when the process dies
    assert other.adopt_waiting() == ["s1", "s2"]
    third = SessionStore(open_database(store.database.path))
    assert third.adopt_waiting() == []
    third.close()
    other.close()


def test_list_is_newest_first_with_samples_last(store: SessionStore) -> None:
    store.create(session("old", created="2026-01-01T00:00:00+00:00"))
    store.create(session("sample", created="2026-12-01T00:00:00+00:00", sample=True))
    store.create(session("new", created="2026-06-01T00:00:00+00:00"))
    assert [one.id for one in store.list()] == ["new", "old", "sample"]


@pytest.mark.parametrize(
    "query",
    ["corliss", "CORLISS arch", "look for step", "1945 film", "shirley temple", "portray corliss", "kiss shirley", ""],
)
def test_search_finds_titles_questions_thoughts_observations_and_answers(store: SessionStore, query: str) -> None:
    store.create(session())
    store.create(session("other", title="Rivers", task=Task(question="How long is the Nile?")))
    record_all(store, "s1", list(run_events()))
    assert "s1" in [one.id for one in store.list(query)]
    if query:
        assert "other" not in [one.id for one in store.list(query)]


@pytest.mark.parametrize(
    ("question", "query", "found"),
    [
        ("서울에서 가장 높은 산은?", "서울", True),
        ("서울의 산", "서울에서", True),
        ("한국어를 배우는 방법", "한국어", True),
        ("北京的气候", "北京", True),
        ("北京的气候", "京", True),
        ("北京的气候", "京北", False),
        ("東京タワーの高さ", "タワー", True),
        ("Ｆａｔｈｏｍ report", "fathom", True),
        ("Café müller", "cafe muller", True),
    ],
)
def test_search_of_sessions_in_other_scripts(store: SessionStore, question: str, query: str, found: bool) -> None:
    store.create(session(title=question, task=Task(question=question)))
    assert bool(store.list(query)) is found


@given(query=st.text(max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_breaks_the_search(store: SessionStore, query: str) -> None:
    assert store.list(query) == []


def test_deleted_session_is_gone_from_the_search_too(store: SessionStore) -> None:
    store.create(session())
    store.create(session("s2"))
    record_all(store, "s1", list(run_events()))
    store.delete("s1")
    store.delete("s1")
    assert [one.id for one in store.list("corliss")] == ["s2"]
    assert store.list("1945") == []
    store.database.rows("INSERT INTO sessions_fts (sessions_fts) VALUES ('integrity-check')")
    with pytest.raises(UnknownSession):
        store.get("s1")


def test_unknown_session_is_told_plainly(store: SessionStore) -> None:
    with pytest.raises(UnknownSession, match="There is no session nowhere"):
        store.record("nowhere", RunStopped())
    with pytest.raises(LookupError):
        store.trajectory("nowhere")


def test_taken_id_is_refused(store: SessionStore) -> None:
    store.create(session())
    with pytest.raises(ValueError, match="s1"):
        store.create(session())


def test_damaged_row_is_told_and_the_rest_is_kept(store: SessionStore) -> None:
    store.create(session())
    record_all(store, "s1", list(run_events(steps=2)))
    with store.database.transaction() as connection:
        (row,) = connection.execute("SELECT min(id) FROM events WHERE type = 'StepFinished'").fetchone()
        connection.execute(
            "UPDATE events SET payload = CAST(replace(CAST(payload AS TEXT), '1945', '1946') AS BLOB) WHERE id = ?",
            (row,),
        )
    events = store.events("s1")
    assert [type(event) for event in events if isinstance(event, StepFinished)] == [StepFinished]
    assert any(isinstance(event, Notice) and "damaged" in event.text for event in events)
    assert store.trajectory("s1").steps == (step(2),)
    store.delete("s1")
    assert store.list("1945") == []


def test_half_a_surrogate_pair_is_stored_and_can_be_deleted(store: SessionStore) -> None:
    store.create(session(title="smile \ud83d", task=Task(question="smile \ud83d")))
    assert store.get("s1").title == "smile ?"
    call = ToolCall(id="1.0", name="x", arguments={"q": "grin \ud83d", "list": [1, None]})
    store.record("s1", CallStarted(step=1, call_id="1.0", name="x", arguments=call.arguments))
    store.record("s1", StepFinished(step=Step(index=1, thought="\udc00", calls=(call,))))
    (event,) = (event for event in store.events("s1") if isinstance(event, CallStarted))
    assert event.arguments == {"q": "grin ?", "list": [1, None]}
    assert [one.id for one in store.list("grin smile")] == ["s1"]
    store.delete("s1")
    assert store.list("grin") == []


def test_recording_comes_back_as_a_sample_session(store: SessionStore, tmp_path: Path) -> None:
    store.create(session())
    events = list(run_events())
    record_all(store, "s1", events)
    data = store.export_recording("s1")
    other = SessionStore(open_database(tmp_path / "other" / "fathom.db"))
    path = tmp_path / "recording.json"
    path.write_bytes(data)
    assert other.import_recording(path).sample
    assert other.import_recording(data).id == "s1"
    assert other.events("s1") == events
    assert other.get("s1").state == "done"
    assert [one.id for one in other.list("1945 corliss")] == ["s1"]
    other.close()


def test_what_is_no_recording_is_refused(store: SessionStore, tmp_path: Path) -> None:
    for source in (b"{}", b"\xff", tmp_path / "missing.json"):
        with pytest.raises(UserError, match="not a recording"):
            store.import_recording(source)
    assert store.list() == []


def test_full_disk_loses_no_finished_step_and_the_run_goes_on_after_room_is_made(store: SessionStore) -> None:
    store.create(session())
    events: list[AgentEvent] = [next(run_events()), *step_events(1)]
    record_all(store, "s1", events)
    store.database.rows(f"PRAGMA max_page_count={store.database.rows('PRAGMA page_count')[0][0]}")
    begun, *_, done = step_events(2, chars=100_000)
    with pytest.raises(DatabaseError, match="disk is full"):
        store.record("s1", done)
    assert store.events("s1") == events
    store.database.rows("PRAGMA max_page_count=1000000")
    record_all(store, "s1", [begun, done])
    assert store.events("s1") == [*events, begun, done]
