"""Kill the engine's process at every point of its life: the client says so at once and in plain words."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.core.errors import EngineDied
from fathom.core.events import PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message
from fathom.workers.client import EngineClient

pytestmark = pytest.mark.engine

QUESTION = (Message(role="user", content="Tell a long story."),)
LONG = (Message(role="user", content="The quick brown fox jumps over the lazy dog. " * 600),)


@pytest.mark.parametrize(("messages", "until"), [(QUESTION, TokenDelta), (LONG, PrefillProgress)])
def test_a_kill_in_the_middle_ends_the_stream_with_engine_died(
    embedded_model: Path, messages: tuple[Message, ...], until: type
) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        with pytest.raises(EngineDied, match="SIGKILL"):
            async for event in engine.generate(GenerateRequest(messages=messages, max_tokens=3000)):
                if isinstance(event, until):
                    os.kill(engine.pid, signal.SIGKILL)
        assert engine.died.is_set()
        with pytest.raises(EngineDied):
            await engine.count_tokens(QUESTION)
        await engine.close()

    asyncio.run(main())


def test_a_kill_while_it_waits_is_noticed_without_asking(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        engine.kill()
        await asyncio.wait_for(engine.wait_died(), 10)
        with pytest.raises(EngineDied, match="SIGKILL"):
            async for _ in engine.generate(GenerateRequest(messages=QUESTION, max_tokens=5)):
                pass
        await engine.close()

    asyncio.run(main())


def test_a_kill_while_it_loads_is_told(embedded_model: Path) -> None:
    async def main() -> None:
        pids: list[int] = []

        def on_progress(_done: float) -> None:
            if not pids:
                children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
                pids.append(int(children[-1]))
                os.kill(pids[0], signal.SIGKILL)

        with pytest.raises(EngineDied, match="SIGKILL"):
            await EngineClient.start(EngineSpec(model=str(embedded_model)), on_progress=on_progress)
        assert pids

    if not sys.platform.startswith("linux"):
        pytest.skip("finds the child through /proc")
    asyncio.run(main())


def test_a_native_abort_leaves_its_trace(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        os.kill(engine.pid, signal.SIGABRT)
        await asyncio.wait_for(engine.wait_died(), 10)
        with pytest.raises(EngineDied, match="SIGABRT") as caught:
            await engine.count_tokens(QUESTION)
        assert "Fatal Python error: Aborted" in caught.value.stderr_tail
        await engine.close()

    asyncio.run(main())


PARENT = """
import asyncio, sys
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message
from fathom.workers.client import EngineClient

async def main():
    engine = await EngineClient.start(EngineSpec(model=sys.argv[1]))
    message = Message(role="user", content="The quick brown fox jumps over the lazy dog. " * 600)
    async for event in engine.generate(GenerateRequest(messages=(message,), max_tokens=3000)):
        print(engine.pid, flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pidfd is Linux's")
def test_a_computing_engine_does_not_outlive_a_killed_app(embedded_model: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(embedded_model)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent.stdout:
        watched = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert not select.select([watched], [], [], 0)[0]
            parent.kill()
            parent.wait(timeout=10)
            assert select.select([watched], [], [], 10)[0], "the engine outlived the app"
        finally:
            os.close(watched)
