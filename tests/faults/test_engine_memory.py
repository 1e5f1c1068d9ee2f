"""A process with too little memory: the window's side says so in plain words, and does not start it for ever."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from fathom.core.errors import EngineDied, EngineError, FathomError, ModelFileError
from fathom.core.events import EngineStatus
from fathom.core.settings import Settings
from fathom.core.types import EngineSpec
from fathom.services.engine_service import EngineService
from fathom.workers.client import EngineClient

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS holds on Linux only"),
]

NARROW = """
import resource, sys
from fathom.workers import engine
from fathom.{library} import *
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {more_mb} * 1_000_000,) * 2)
from fathom.__main__ import main
sys.exit(main(["worker", "engine"]))
"""


def narrow(backend: str, more_mb: int) -> list[str]:
    """A worker that gets ``more_mb`` of memory beyond what its libraries take."""
    library = {"llamacpp": "engines.llamacpp", "mlx": "engines.mlx"}[backend]
    return [sys.executable, "-c", NARROW.format(library=library, more_mb=more_mb)]


def failure(spec: EngineSpec, command: list[str]) -> FathomError:
    async def main() -> FathomError:
        with pytest.raises((EngineError, ModelFileError)) as caught:
            await EngineClient.start(spec, threads=1, command=command)
        assert isinstance(caught.value, FathomError)
        return caught.value

    return asyncio.run(main())


@pytest.mark.parametrize("more_mb", [20, 150, 300])
def test_llama_cpp_without_room_says_what_it_needed(embedded_model: Path, more_mb: int) -> None:
    error = failure(EngineSpec(model=str(embedded_model), context_tokens=8192), narrow("llamacpp", more_mb))
    assert isinstance(error, ModelFileError), error
    assert "memory" in error.message and error.remedy == "choose_model"
    assert error.needs and error.has and error.do


@pytest.mark.mlx
def test_mlx_without_room_says_what_it_needed(embedded_model: Path, fathom_home: Path) -> None:
    error = failure(EngineSpec(backend="mlx", model=str(embedded_model)), narrow("mlx", 700))
    assert isinstance(error, (ModelFileError, EngineDied)), error


def test_the_service_ends_in_one_plain_failure(
    embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.workers.client.worker_command", lambda _role: narrow("llamacpp", 150))

    async def main() -> None:
        service = EngineService(Settings())
        service.restart_pause_s = 0.01
        told: list[EngineStatus] = []
        service.subscribe(told.append)
        with pytest.raises(FathomError):
            await service.ready_or_raise()
        await asyncio.sleep(0.3)
        assert service.status.state == "failed" and "memory" in service.status.message
        assert sum(status.state == "failed" for status in told) == 1
        await service.close()

    asyncio.run(main())
