"""How long the event loop is held while a finished step is stored.

``store_step_ms_p50``: the median over 200 steps, each with an observation of 13 KB, of storing its StepFinished
durably. The other events of a step are told too. Uses the disk of the temporary folder.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from options import Options

from fathom.core.events import CallStarted, ObservationReady, RunStarted, StepFinished, StepStarted
from fathom.core.types import Observation, Passage, Session, Step, Task, ToolCall, Usage
from fathom.store.database import open_database
from fathom.store.sessions import SessionStore

TARGETS = {"store_step_ms_p50": ("at most", 10)}
STEPS = 200
OBSERVATION_CHARS = 13_000
WORDS = ("the", "river", "house", "model", "paper", "of", "protocol", "film", "actress", "1945", "corliss", "temple")


def measure(_options: Options) -> dict[str, float]:
    """Milliseconds by name."""
    timings: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = SessionStore(open_database(Path(folder) / "fathom.db"))
        task = Task(question="How long does a step take?")
        store.create(Session(id="bench", title="bench", created="2026-01-01T00:00:00+00:00", task=task))
        store.record("bench", RunStarted(task=task))
        for index in range(1, STEPS + 1):
            for event in _step_events(index):
                began = time.perf_counter()
                store.record("bench", event)
                timings.setdefault(type(event).__name__, []).append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        replayed = len(store.events("bench"))
        replay_ms = 1000 * (time.perf_counter() - began)
        began = time.perf_counter()
        found = len(store.list("corliss protocol"))
        search_ms = 1000 * (time.perf_counter() - began)
        size_mb = store.database.path.stat().st_size / 1e6
        store.close()
    if replayed != 4 * STEPS + 1 or found != 1:
        raise RuntimeError(f"{replayed} events came back and {found} sessions were found")
    finished = sorted(timings["StepFinished"])
    return {
        "store_step_ms_p50": round(statistics.median(finished), 2),
        "store_step_ms_p95": round(finished[int(0.95 * len(finished))], 2),
        "store_call_ms_p50": round(statistics.median(timings["CallStarted"]), 2),
        "store_observation_ms_p50": round(statistics.median(timings["ObservationReady"]), 2),
        "replay_200_steps_ms": round(replay_ms, 2),
        "session_search_ms": round(search_ms, 2),
        "database_mb": round(size_mb, 2),
    }


def _step_events(index: int) -> list[StepStarted | CallStarted | ObservationReady | StepFinished]:
    text = " ".join(
        f"{WORDS[(index * 7 + n * n) % len(WORDS)]}{(index * n) % 97}" for n in range(OBSERVATION_CHARS // 7)
    )
    text = text[:OBSERVATION_CHARS]
    call = ToolCall(id=f"{index}.0", name="scrape_and_extract_info", arguments={"url": f"library://docs/{index}"})
    passage = Passage(uri=f"library://docs/{index}", title="A document", text=text[:1500], end=1500)
    observation = Observation(call_id=call.id, tool=call.name, text=text, title="A document", passages=(passage,))
    step = Step(
        index=index,
        thought="I read the document. " * 20,
        calls=(call,),
        observations=(observation,),
        raw="I read the document. " * 25,
        usage=Usage(prompt_tokens=6000, completion_tokens=300, decode_seconds=10.0),
    )
    return [
        StepStarted(step=index),
        CallStarted(step=index, call_id=call.id, name=call.name, arguments=call.arguments, thought=step.thought),
        ObservationReady(step=index, observation=observation),
        StepFinished(step=step, tokens_per_second=30.0),
    ]
