"""The engine's process and its client, on the real model, under plain asyncio and under the window's loop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fathom.core.errors import EngineDied, EngineError, ModelFileError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling
from fathom.workers.client import EngineClient

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
QUESTION = (Message(role="user", content="Name three rivers of Europe."),)
LONG = (Message(role="user", content="The quick brown fox jumps over the lazy dog. " * 600),)


def short(**options: Any) -> GenerateRequest:
    return GenerateRequest(**({"messages": QUESTION, "max_tokens": 30, "sampling": GREEDY} | options))


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenDelta))


async def collect(engine: EngineClient, request: GenerateRequest) -> list[EngineEvent]:
    return [event async for event in engine.generate(request)]


def with_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def with_qasync(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """As the window runs: Qt's event loop is asyncio's."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import qasync
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    loop = qasync.QEventLoop(application)
    try:
        with loop:
            loop.run_until_complete(main())
    finally:
        asyncio.set_event_loop(None)


@pytest.mark.parametrize("run", [with_asyncio, with_qasync])
def test_it_loads_streams_cancels_and_closes(run: Any, embedded_model: Path) -> None:
    async def main() -> None:
        progress: list[float] = []
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)), on_progress=progress.append)
        assert progress[-1] == 1.0 and len(progress) > 3
        assert engine.info.context_tokens == 8192

        events = await collect(engine, short())
        assert isinstance(events[0], PrefillProgress)
        assert isinstance(events[-1], GenerationFinished)
        wanted = text_of(events)
        assert len(wanted) > 20

        reading = engine.generate(short(messages=LONG))
        assert isinstance(await anext(reading), PrefillProgress)
        await reading.aclose()  # in the prompt
        writing = engine.generate(short(max_tokens=2000))
        async for event in writing:
            if isinstance(event, TokenDelta):
                break
        await writing.aclose()  # in the text
        again = await collect(engine, short())
        assert text_of(again) == wanted

        assert await engine.count_tokens(QUESTION) == again[-1].usage.prompt_tokens  # type: ignore[union-attr]
        assert not engine.died.is_set()
        await engine.close()
        assert engine.died.is_set()
        with pytest.raises(EngineDied, match="it was closed"):
            await collect(engine, short())
        await engine.close()

    run(main)


def test_a_cancelled_task_stops_the_generation(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        started = asyncio.Event()

        async def forever() -> None:
            async for _ in engine.generate(short(messages=LONG, max_tokens=3000)):
                started.set()

        task = asyncio.create_task(forever())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The next one is answered although the cancelled prompt alone would have taken far longer.
        events = await asyncio.wait_for(collect(engine, short()), 60)
        assert isinstance(events[-1], GenerationFinished)
        assert events[-1].usage.reused_tokens < 100
        await engine.close()

    asyncio.run(main())


def test_two_generations_at_once_are_answered_one_after_the_other(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        counted, first, second = await asyncio.gather(
            engine.count_tokens(QUESTION), collect(engine, short()), collect(engine, short())
        )
        assert counted > 10
        assert text_of(first) == text_of(second) != ""
        await engine.close()

    asyncio.run(main())


def test_what_the_engine_refuses_is_an_engine_error_and_it_goes_on(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=512))
        with pytest.raises(EngineError, match="does not fit into the context of 512"):
            await collect(engine, short(messages=LONG))
        with pytest.raises(EngineError, match="the grammar is refused"):
            await collect(engine, short(grammar="start: nothing"))
        assert text_of(await collect(engine, short(grammar='start: "yes"'))) == "yes"
        await engine.close()

    asyncio.run(main())


def test_a_file_that_is_no_model_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")

    async def main() -> None:
        with pytest.raises(ModelFileError) as caught:
            await EngineClient.start(EngineSpec(model=str(path)))
        assert caught.value.needs and caught.value.has and caught.value.do

    asyncio.run(main())


def test_a_worker_that_cannot_even_start_is_told_with_its_last_words() -> None:
    async def main() -> None:
        command = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
        with pytest.raises(EngineDied, match="exit code 1") as caught:
            await EngineClient.start(EngineSpec(model="x"), command=command)
        assert "no such luck" in caught.value.stderr_tail

    asyncio.run(main())


def test_a_worker_that_talks_nonsense_is_ended() -> None:
    async def main() -> None:
        command = [sys.executable, "-c", "import sys; print('hello', flush=True); sys.stdin.read()"]
        with pytest.raises(EngineDied) as caught:
            await EngineClient.start(EngineSpec(model="x"), command=command)
        assert "cannot be read" in caught.value.stderr_tail

    asyncio.run(main())


def test_a_bug_in_the_worker_ends_it_with_a_traceback(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=256))
        engine._stdin.write(b'{"type": "Load", "spec": {}}\n')
        await asyncio.wait_for(engine.wait_died(), 30)
        with pytest.raises(EngineDied, match="exit code 1"):
            await engine.count_tokens(QUESTION)
        assert "TypeError: unexpected message Load" in engine.stderr_tail
        await engine.close()

    asyncio.run(main())


def test_it_scores_a_text_switches_adapters_and_threads(embedded_model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))

    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=512), threads=2)
        await engine.use_threads(1)
        written = [event for event in await collect(engine, short(logprobs=True)) if isinstance(event, TokenDelta)]
        ids = tuple(token for event in written for token in event.ids)
        sampled = [value for event in written for value in event.logprobs]
        again, exact = await engine.score(QUESTION, ids=ids, exact=True)
        assert again == ids
        assert list(exact) == pytest.approx(sampled, abs=1e-3)
        likely, unlikely = [await engine.score(QUESTION, text=text) for text in (text_of(written), "zebra umbrella")]
        assert sum(likely[1]) / len(likely[1]) > sum(unlikely[1]) / len(unlikely[1])
        with pytest.raises(ModelFileError, match="not an adapter"):
            await engine.use_adapter(str(bad))
        await engine.use_adapter("")
        with pytest.raises(EngineError, match="no tokens of this model"):
            await engine.score(QUESTION, ids=(-1,))
        scoring = asyncio.create_task(engine.score(QUESTION, text="word " * 400))
        await asyncio.sleep(0)
        scoring.cancel()
        await asyncio.wait({scoring})
        assert text_of(await collect(engine, short())) == text_of(written)
        await engine.close()

    asyncio.run(main())
