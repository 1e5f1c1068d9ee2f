"""Many generations at once in the engine's process, on both backends: as each is alone; cancelled, refused, dead."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from fathom.core.errors import EngineDied, EngineError
from fathom.core.events import GenerationFinished, RowFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling
from fathom.workers.client import EngineClient

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
POLICY = Sampling(temperature=1.0, top_p=1.0, repeat_penalty=1.0)
WORDS = ("the rain in the", "one two three", "a cat and a dog")


@pytest.fixture(params=["llamacpp", pytest.param("mlx", marks=pytest.mark.mlx)])
def spec(request: pytest.FixtureRequest, tmp_path: Path, fathom_home: Path) -> EngineSpec:
    """A tiny model of random weights, on each backend."""
    tiny_models.write(tmp_path / "tiny.gguf")
    return EngineSpec(backend=request.param, model=str(tmp_path / "tiny.gguf"), context_tokens=256)


def asked(words: str, **options: Any) -> GenerateRequest:
    messages = (Message(role="user", content=words),)
    return GenerateRequest(**({"messages": messages, "max_tokens": 8, "sampling": GREEDY, "logprobs": True} | options))


async def rows(engine: EngineClient, requests: Sequence[GenerateRequest], width: int = 2) -> dict[int, RowFinished]:
    return {row.place: row async for row in engine.generate_batch(requests, width)}


async def alone(engine: EngineClient, request: GenerateRequest) -> tuple[list[int], str]:
    events = [event async for event in engine.generate(request)]
    assert isinstance(events[-1], GenerationFinished)
    return [token for event in events if isinstance(event, TokenDelta) for token in event.ids], events[-1].reason


def test_each_row_is_what_it_is_alone_and_a_generation_waits_for_the_batch(spec: EngineSpec) -> None:
    requests = [asked(words) for words in WORDS]

    async def main() -> None:
        engine = await EngineClient.start(spec, threads=1)
        together, (ids, _reason) = await asyncio.gather(rows(engine, requests), alone(engine, requests[0]))
        assert sorted(together) == [0, 1, 2]
        assert list(together[0].ids) == ids
        for place, wanted in enumerate(requests):
            found = together[place]
            assert (list(found.ids), found.reason) == await alone(engine, wanted)
            assert len(found.ids) == len(found.logprobs) == found.usage.completion_tokens
            assert all(value <= 0 for value in found.logprobs)
        await engine.close()

    asyncio.run(main())


def test_many_draws_of_one_prompt_differ_and_a_seed_repeats_them(spec: EngineSpec) -> None:
    def drawn() -> list[GenerateRequest]:
        return [asked(WORDS[0], sampling=Sampling(**{**_fields(POLICY), "seed": seed})) for seed in range(4)]

    async def main() -> None:
        engine = await EngineClient.start(spec, threads=1)
        first, again = await rows(engine, drawn(), 4), await rows(engine, drawn(), 4)
        assert len({row.ids for row in first.values()}) > 1
        assert {place: row.ids for place, row in first.items()} == {place: row.ids for place, row in again.items()}
        await engine.close()

    asyncio.run(main())


def _fields(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in sampling.__struct_fields__}


def test_a_row_that_cannot_be_is_said_before_any_is_computed_and_the_engine_goes_on(spec: EngineSpec) -> None:
    async def main() -> None:
        engine = await EngineClient.start(spec, threads=1)
        for bad in (asked("word " * 400), asked(WORDS[0], grammar="start: /x/")):
            with pytest.raises(EngineError, match=r"context|grammar"):
                await rows(engine, [asked(WORDS[0]), bad])
        assert len(await rows(engine, [asked(WORDS[0])])) == 1
        assert await rows(engine, []) == {}
        await engine.close()

    asyncio.run(main())


def test_closing_it_early_cancels_the_rest(spec: EngineSpec) -> None:
    short, long = asked(WORDS[0], max_tokens=1), [asked(WORDS[1], max_tokens=200, sampling=POLICY)] * 40

    async def main() -> None:
        engine = await EngineClient.start(spec, threads=1)
        running = engine.generate_batch([short, *long], 4)
        assert (await anext(running)).place == 0
        await running.aclose()
        ids, _reason = await asyncio.wait_for(alone(engine, asked(WORDS[0])), 30)
        assert ids
        await engine.close()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_a_process_that_dies_or_hangs_in_a_batch_is_told(spec: EngineSpec, name: str) -> None:
    long = [asked(WORDS[1], max_tokens=200, sampling=POLICY)] * 40

    async def main() -> None:
        engine = await EngineClient.start(spec, threads=1)
        with pytest.raises(EngineDied, match=r"SIGKILL|no sign of life for 0\.4 s"):
            async for _row in engine.generate_batch([asked(WORDS[0], max_tokens=1), *long], 4):
                engine.next_sign_s = 0.4
                os.kill(engine.pid, signal.Signals[name])
        await engine.close()

    asyncio.run(main())
