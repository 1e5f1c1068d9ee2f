"""The remote engine against a real server: llama-cpp-python's own, on the embedded model."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fathom.core.errors import EndpointError
from fathom.core.events import GenerationFinished, Notice, RunFinished, StepFinished, StepStarted, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.settings import EndpointSettings, Settings
from fathom.core.types import EngineSpec, Message, Sampling, Scope
from fathom.engines.remote import RemoteEngine
from fathom.engines.remote_text import estimate
from fathom.services.application import open_services
from fathom.workers.client import EngineClient
from llama_server import serving_model

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
QUESTION = (Message(role="user", content="Name three rivers of Europe."),)
SAMPLES = (
    "The quick brown fox jumps over the lazy dog. It was never seen again in 1987.",
    'def f(x): return {"name": x, "arguments": [1, 2.5, None]}',
    "Größere Flüsse führen außerdem mehr Wasser.",
)


@pytest.fixture(scope="module")
def server(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server."""
    with serving_model(embedded_model, tmp_path_factory.mktemp("server") / "log") as base:
        yield base


def with_engine(base: str, main: Callable[[RemoteEngine], object]) -> None:
    async def opened() -> None:
        engine = await RemoteEngine.open(EndpointSettings(base_url=base))
        try:
            await main(engine)  # type: ignore[misc]
        finally:
            await engine.close()

    asyncio.run(opened())


def test_it_streams_counts_cancels_and_goes_on(server: str) -> None:
    async def main(engine: RemoteEngine) -> None:
        assert engine.info.device == "llama-cpp-python" and engine.profile.name == "smollm2" and engine.info.schemas
        request = GenerateRequest(messages=QUESTION, max_tokens=16, sampling=GREEDY)
        first = [event async for event in engine.generate(request)]
        text = "".join(event.text for event in first if isinstance(event, TokenDelta))
        done = first[-1]
        assert len(text) > 10 and isinstance(done, GenerationFinished) and done.reason == "length"
        assert await engine.count_tokens(QUESTION) >= done.usage.prompt_tokens > 5

        long = engine.generate(GenerateRequest(messages=QUESTION, max_tokens=4000, sampling=GREEDY))
        async for event in long:
            if isinstance(event, TokenDelta):
                break
        await long.aclose()
        again = [event async for event in engine.generate(request)]
        assert "".join(event.text for event in again if isinstance(event, TokenDelta)) == text

        schema = {"type": "object", "properties": {"q": {"const": "rivers"}}, "required": ["q"]}
        held = [event async for event in engine.generate(msgspec.structs.replace(request, json_schema=schema))]
        said = "".join(event.text for event in held if isinstance(event, TokenDelta))
        assert msgspec.json.decode(said) == {"q": "rivers"}

        with pytest.raises(EndpointError, match="too long"):
            endless = (Message(role="user", content="word " * 9000),)
            async for _ in engine.generate(GenerateRequest(messages=endless, max_tokens=5)):
                pass

    with_engine(server, main)


def test_the_estimate_errs_on_the_high_side(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=512))
        for text in SAMPLES:
            real = await engine.count_tokens((Message(role="tool", content=text),))
            assert real <= estimate(text) <= 2 * real, text
        await engine.close()

    asyncio.run(main())


def test_the_same_research_question_runs_on_it(server: str, fathom_home: Path) -> None:
    async def main() -> None:
        settings = Settings(backend="endpoint", endpoint=EndpointSettings(base_url=server), max_calls=2)
        services = await open_services(settings, wait_for_engine=False)
        try:
            session = services.sessions.ask("Which lithium recovery target applies in 2031?", Scope(documents=False))
            await services.sessions.idle()
            events = services.sessions.events(session.id)
            assert services.sessions.session(session.id).engine.backend == "endpoint"
            steps = [event.step for event in events if isinstance(event, StepFinished)]
            assert [len(step.calls) for step in steps[:2]] == [1, 1]  # the small model writes none unless it is held
            known = {"google_search", "scrape_and_extract_info"}
            assert all(call.name in known for step in steps for call in step.calls)
            assert steps[0].usage.completion_tokens > 0
            started = [event for event in events if isinstance(event, StepStarted)]
            assert started[0].context_tokens == 8192 and started[0].prompt_tokens > 100
            assert any("does not hold a call" in event.text for event in events if isinstance(event, Notice))
            [finished] = [event for event in events if isinstance(event, RunFinished)]
            assert finished.report.body
        finally:
            await services.close()

    asyncio.run(main())


def test_the_command_takes_an_endpoint(server: str, fathom_home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    question = "Which lithium recovery target applies in 2031?"
    command = [sys.executable, "-m", "fathom", "ask", question, "--max-calls", "1", "--out", str(report)]
    run = subprocess.run(
        [*command, "--endpoint", server, "--model", "smollm2"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode in (0, 3), run.stderr
    assert question in report.read_text("utf-8") and "asking the server" in run.stderr
    assert not (fathom_home / "settings.json").exists()

    refused = subprocess.run(
        [*command[:-2], "--endpoint", "http://192.0.2.1:8000"], capture_output=True, text=True, timeout=120,
        env=os.environ | {"FATHOM_HOME": str(fathom_home)},
    )  # fmt: skip
    assert refused.returncode == 4 and "--allow-remote" in refused.stderr
