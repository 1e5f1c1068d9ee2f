"""Minutes a question: the estimate by hand, the probe on the real model, the median of sessions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fathom.core.errors import EngineError
from fathom.core.types import EngineSpec, Session, SessionState, Task
from fathom.engines.scripted import ScriptedEngine
from fathom.prompting.profiles import Profile, load_profile
from fathom.services import pace
from fathom.services.pace import Pace, Probe, ProbeBook
from fathom.workers.client import EngineClient


def session(seconds: float, name: str = "Qwen3 8B", state: SessionState = "done", **more: object) -> Session:
    return Session(
        id="x",
        title="t",
        created="2026-01-01T00:00:00+00:00",
        task=Task(question="q"),
        state=state,
        model_name=name,
        seconds=seconds,
        steps=3,
        **more,  # type: ignore[arg-type]
    )


def test_the_estimate_is_what_is_read_and_written_at_the_measured_speed() -> None:
    profile = Profile(name="p", thought_tokens=190, answer_tokens=300, observation_chars=4000)
    # a turn: result 4,000 / 4 = 1,000 tokens, written 190 + 60 = 250
    # read: 2,200 + 6 x 1,250 + 2 x 1,000 = 11,700 at 100/s = 117 s; written: 6 x 250 + 300 = 1,800 at 20/s = 90 s
    # tools: 6 s
    measured = Probe(prefill_tokens_per_s=100, decode_tokens_per_s=20)
    assert pace.estimate_s(measured, profile) == pytest.approx(117 + 90 + 6)
    assert pace.estimate_s(Probe(prefill_tokens_per_s=0, decode_tokens_per_s=20), profile) == 0


def test_another_model_of_like_size_gives_a_rough_guess() -> None:
    measured = Probe(prefill_tokens_per_s=100, decode_tokens_per_s=20)
    guess = pace.scaled(measured, 1e9, 2e9)
    assert guess is not None
    assert (guess.prefill_tokens_per_s, guess.decode_tokens_per_s) == (50, 10)
    assert pace.scaled(measured, 98e6, 5e9) is None  # 50 times its size: nothing can be said


def test_the_median_of_finished_sessions_takes_over_from_three_on() -> None:
    others = [session(9, "other"), session(5, state="failed"), session(4, sample=True), session(1, state="running")]
    assert pace.measured([session(100), session(300), *others], "Qwen3 8B") is None
    found = pace.measured([session(100), session(300), session(120, state="partial"), *others], "Qwen3 8B")
    assert found == Pace(seconds=120, source="measured", sessions=3)


def test_it_is_said_how_it_is_known() -> None:
    assert pace.words(None) == "Minutes a question not known yet"
    assert pace.words(Pace(seconds=240, source="estimate")) == "About 4 min a question  ·  estimate from a test here"
    assert "rough estimate" in pace.words(Pace(seconds=30, source="rough"))
    assert "measured in 5 sessions" in pace.words(Pace(seconds=7300, source="measured", sessions=5))


def test_what_a_model_says_cannot_steer_a_terminal() -> None:
    assert pace.printable("One\n\x1b]0;title\x07 two\u202e<b>") == "One ]0;title two b"


def test_probes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "models" / "pace.json"
    book = ProbeBook(path)
    assert book.get("/m.gguf") is None
    book.put("/m.gguf", Probe(prefill_tokens_per_s=1, decode_tokens_per_s=2, text="Hello"))
    again = ProbeBook(path).get("/m.gguf")
    assert again is not None and again.text == "Hello"
    path.write_text("{broken")
    assert ProbeBook(path).all() == {}


@pytest.mark.engine
def test_the_probe_measures_the_real_model(embedded_model: Path) -> None:
    async def main() -> Probe:
        client = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=pace_context()))
        try:
            return await pace.probe(client, limit_s=120)
        finally:
            await client.close()

    found = asyncio.run(main())
    assert found.prefill_tokens_per_s > 0 and found.decode_tokens_per_s > 0
    assert found.text and found.device
    assert pace.estimate_s(found, load_profile("smollm2")) > 0


def pace_context() -> int:
    from fathom.services.model_library import TRY_CONTEXT

    return TRY_CONTEXT


@pytest.mark.engine
def test_a_model_that_writes_nothing_in_time_is_said_to_be_too_slow(embedded_model: Path) -> None:
    async def main() -> None:
        client = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=pace_context()))
        try:
            await pace.probe(client, limit_s=0.001)
        finally:
            await client.close()

    with pytest.raises(EngineError, match="too slow"):
        asyncio.run(main())


def test_a_probe_of_an_engine_without_figures_counts_what_came() -> None:
    found = asyncio.run(pace.probe(ScriptedEngine(["The harbour was dug in 1843.", "It"])))
    assert "harbour" in found.text
