"""Stop the engine's process without ending it: the watchdog notices, ends it, and says so in plain words."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.core.errors import EngineDied
from fathom.core.events import EngineStatus, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.settings import Settings
from fathom.core.types import EngineSpec, Message
from fathom.core.watchdog import within
from fathom.services.engine_service import RESTARTS, EngineService
from fathom.workers.client import EngineClient

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is of POSIX systems"),
]

QUESTION = (Message(role="user", content="Tell a long story."),)
LONG = (Message(role="user", content="The quick brown fox jumps over the lazy dog. " * 3000),)
SENTENCE = r"The engine gave no sign of life for 0\.4 s, so it was ended\."


def test_an_engine_that_hangs_before_the_first_token_is_ended(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        engine.first_sign_s = 0.4
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineDied, match=SENTENCE):
            # More than a pipe holds: even handing the question over must not wait for ever.
            async for _ in engine.generate(GenerateRequest(messages=LONG, max_tokens=5)):
                pass
        assert engine.died.is_set()
        await engine.close()

    asyncio.run(main())


def test_an_engine_that_hangs_between_two_tokens_is_ended(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        stopped = False
        with pytest.raises(EngineDied, match=SENTENCE):
            async for event in engine.generate(GenerateRequest(messages=QUESTION, max_tokens=3000)):
                if isinstance(event, TokenDelta) and not stopped:
                    os.kill(engine.pid, signal.SIGSTOP)
                    engine.next_sign_s = 0.4
                    stopped = True
        with pytest.raises(EngineDied, match=SENTENCE):
            await engine.count_tokens(QUESTION)
        await engine.close()

    asyncio.run(main())


def test_a_count_is_watched_too(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model)))
        engine.first_sign_s = 0.4
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineDied, match=SENTENCE):
            await engine.count_tokens(QUESTION)
        await engine.close()

    asyncio.run(main())


def test_signs_of_life_renew_the_patience() -> None:
    async def main() -> None:
        asked = 0

        def lively() -> int:
            nonlocal asked
            asked += 1
            return min(asked, 30)

        with pytest.raises(TimeoutError):
            await within(asyncio.Event().wait(), 0.01, lively)
        assert asked == 30 + 10  # alive for 30 slices, then quiet for ten

    asyncio.run(main())


async def status(service: EngineService, wanted: Callable[[EngineStatus], bool]) -> EngineStatus:
    """The next status that is as wanted."""
    found: asyncio.Future[EngineStatus] = asyncio.get_running_loop().create_future()

    def see(one: EngineStatus) -> None:
        if wanted(one) and not found.done():
            found.set_result(one)

    end = service.subscribe(see)
    try:
        see(service.status)
        return await asyncio.wait_for(found, 60)
    finally:
        end()


def test_an_engine_that_dies_outside_of_a_run_comes_back_three_times(embedded_model: Path, fathom_home: Path) -> None:
    async def main() -> None:
        service = EngineService(Settings(model=str(embedded_model)))
        service.restart_pause_s = 0.001
        pids = set()
        for death in range(1, RESTARTS + 2):
            engine, _ = await service.ready()
            assert isinstance(engine, EngineClient)
            pids.add(engine.pid)
            engine.kill()
            if death <= RESTARTS:
                told = await status(service, lambda one: "started again" in one.message)
                assert told.state == "loading" and f"({death} of 3)" in told.message
                await status(service, lambda one: one.state == "ready")
        told = await status(service, lambda one: one.state == "failed")
        assert told.message == "The engine stopped."
        assert len(pids) == RESTARTS + 1
        await service.close()

    asyncio.run(main())


def test_an_engine_that_dies_in_a_run_waits_for_the_person(embedded_model: Path, fathom_home: Path) -> None:
    async def main() -> None:
        service = EngineService(Settings(model=str(embedded_model)))
        service.busy = lambda: True
        engine, _ = await service.ready()
        assert isinstance(engine, EngineClient)
        engine.kill()
        await status(service, lambda one: one.state == "failed")
        await service.restart()
        again, _ = await service.ready()
        assert again is not engine and service.status.state == "ready"
        await service.close()

    asyncio.run(main())
