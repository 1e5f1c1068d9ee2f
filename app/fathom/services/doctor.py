"""Looks at this computer part by part: what works, what does not, and what to do about it.

Each check is one function that returns a ``Check`` and never raises for what it looks at; ``CHECKS`` is the registry.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import Literal

from fathom.core.errors import FathomError
from fathom.core.events import GenerationFinished
from fathom.core.protocols import GenerateRequest
from fathom.core.settings import Settings, data_dir
from fathom.core.types import EngineInfo, EngineSpec, Message, Sampling, Struct
from fathom.prompting.profiles import load_profile
from fathom.services import machine
from fathom.services.endpoint_service import EndpointService
from fathom.services.engine_build import EngineBuild
from fathom.services.engine_choice import graphics_layers, model_path, read_model
from fathom.services.mlx_install import MlxInstall
from fathom.store.database import open_database
from fathom.tools.sandbox import self_test
from fathom.tools.sandbox.attacks import NAMES
from fathom.weights import embedded, gguf
from fathom.weights.memory import gigabytes
from fathom.weights.mlx_folder import MlxFolder
from fathom.workers import mlx_facts
from fathom.workers.client import EngineClient

_GRAPHICS_NAMES = {"cuda": "CUDA", "metal": "Metal", "vulkan": "Vulkan", "hip": "ROCm", "sycl": "SYCL"}
ROOM_GB = 1.0  # below this a session, its pages and a backup may not fit


class Check(Struct, frozen=True):
    """The state of one part. ``remedy`` is "" when nothing need be done."""

    name: str
    state: Literal["ok", "warning", "error"]
    summary: str
    remedy: str = ""
    detail: str = ""


async def examine(settings: Settings | None = None) -> list[Check]:
    """Run every check, one after the other; some seconds, most of them for the engine's test sentence."""
    settings = settings if settings is not None else Settings.load()
    return [await check(settings) for check in CHECKS.values()]


async def _python(_settings: Settings) -> Check:
    return Check(
        name="python",
        state="ok",
        summary=f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores",
    )


async def _memory(_settings: Settings) -> Check:
    here = machine.look()
    graphics = "; ".join(f"{gpu.name}, {gigabytes(gpu.total_bytes)}" for gpu in here.gpus) or "no graphics card to use"
    power = machine.battery()
    battery = f"; battery at {power.percent:.0f} %{'' if power.plugged_in else ', not plugged in'}" if power else ""
    return Check(
        name="memory",
        state="ok",
        summary=f"{gigabytes(here.ram_bytes)}, {gigabytes(here.free_bytes)} of it free; {graphics}{battery}",
    )


async def _disk(_settings: Settings) -> Check:
    home = data_dir()
    free_gb = shutil.disk_usage(home).free / 1e9
    summary = f"{free_gb:.1f} GB free in {home}"
    if free_gb >= ROOM_GB:
        return Check(name="disk", state="ok", summary=summary)
    return Check(
        name="disk", state="warning", summary=summary, remedy="Make room, or move the folder with FATHOM_HOME."
    )


async def _database(_settings: Settings) -> Check:
    path = data_dir() / "fathom.db"
    try:
        database = open_database(path)
        try:
            problems = database.check()
        finally:
            database.close()
    except FathomError as error:
        return Check(name="database", state="error", summary=str(error).splitlines()[0], remedy=str(error))
    if problems:
        return Check(
            name="database",
            state="error",
            summary="the database is damaged",
            remedy=f"Close Fathom and put a backup from {path.parent / 'backups'} in its place.",
            detail=problems,
        )
    return Check(name="database", state="ok", summary=f"{path}, sound")


async def _model(settings: Settings) -> Check:
    try:
        path = model_path(settings)
        if path is None:
            return Check(
                name="model", state="error", summary="the small model is not here", remedy="Fetch it: make setup"
            )
        model = read_model(path)
    except FathomError as error:
        return Check(name="model", state="error", summary=str(error).splitlines()[0], remedy=str(error))
    size_gb = (model.weight_bytes if isinstance(model, MlxFolder) else model.file_bytes) / 1e9
    return Check(name="model", state="ok", summary=f"{model.name or path.stem}, {size_gb:.1f} GB", detail=str(path))


async def _engine(settings: Settings) -> Check:
    build = EngineBuild()
    if not build.installed():
        status = build.status()
        building = status.state == "building"
        return Check(
            name="engine",
            state="warning" if building else "error",
            summary=status.message or "llama-cpp-python is not installed",
            remedy="It is being built; wait for it." if building else "Build it: make setup",
            detail=status.detail,
        )
    built_for = build.graphics()
    library = f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
    library += f" (built for {_GRAPHICS_NAMES.get(built_for, 'the processor alone')})"
    try:
        path = model_path(settings)
        if path is None or path.is_dir():  # a folder for MLX is no test of llama.cpp
            path = embedded.locate()
        if path is None:
            return Check(name="engine", state="warning", summary=f"{library}; no model to test it with")
        header = gguf.read_header(path)
        profile = load_profile(EngineInfo(backend="llamacpp", model=header.name, architecture=header.architecture))
        spec = EngineSpec(
            model=str(path), context_tokens=512, profile=profile.name, gpu_layers=graphics_layers(header, 512)
        )
        client = await EngineClient.start(spec)
        try:
            speed = await _test_sentence(client)
        finally:
            await client.close()
    except FathomError as error:
        return Check(
            name="engine", state="error", summary=str(error).splitlines()[0], remedy="make setup", detail=str(error)
        )
    return Check(
        name="engine",
        state="ok",
        summary=f"{library}, on {client.info.device}: {speed:.0f} tokens/s with {client.info.model}",
    )


async def _endpoint(settings: Settings) -> Check:
    service = EndpointService(settings)
    used = settings.backend == "endpoint"
    if not service.where:
        return Check(
            name="server",
            state="error" if used else "ok",
            summary="a server is to answer, and it has no address" if used else "none is set: models here answer",
            remedy="Give its address in Settings, or choose a model on this computer." if used else "",
        )
    if service.leaves_for and not service.settings.allow_remote:
        return Check(
            name="server",
            state="error" if used else "ok",
            summary=f"{service.where} is not this computer and you have not allowed it: it was not asked",
            remedy="Allow it in Settings, or choose a model on this computer." if used else "",
        )
    found = await service.test()
    in_use = "in use" if used else "not in use"
    if found.ok:
        return Check(name="server", state="ok", summary=f"{in_use}: {found.message}", detail="\n".join(found.models))
    return Check(
        name="server",
        state="error" if used else "warning",
        summary=f"{in_use}: {found.message}",
        remedy="Start the server, or mend its address or key in Settings.",
    )


async def _mlx(_settings: Settings) -> Check:
    install = MlxInstall()
    if why := install.why_not():
        return Check(
            name="mlx",
            state="warning",
            summary=f"MLX is off: {why}",
            remedy="llama.cpp serves every model; to try again: make setup",
        )
    try:
        facts = await mlx_facts.measure()
    except FathomError as error:
        return Check(
            name="mlx",
            state="warning",
            summary="MLX is installed and cannot be loaded",
            remedy="Use llama.cpp, or install MLX again: make setup",
            detail=str(error),
        )
    where = f" with OpenBLAS from {facts.blas}" if facts.blas else ""
    summary = f"mlx {facts.mlx}, mlx-lm {facts.mlx_lm} on {facts.device}{where}: {facts.gflops:.0f} GFLOPS in float32"
    if facts.blas_needed and not facts.blas:
        return Check(
            name="mlx",
            state="warning",
            summary=f"{summary}; without OpenBLAS it is some 30 times slower than it could be",
            remedy="Install it: make setup, or apt-get install libopenblas0-pthread",
        )
    return Check(name="mlx", state="ok", summary=summary)


async def _test_sentence(client: EngineClient) -> float:
    request = GenerateRequest(
        messages=(Message(role="user", content="Count from one to twenty in words."),),
        max_tokens=32,
        sampling=Sampling(temperature=0.0),
    )
    speed = 0.0
    async for event in client.generate(request):
        if isinstance(event, GenerationFinished):
            speed = event.usage.tokens_per_second
    return speed


async def _sandbox(_settings: Settings) -> Check:
    state = await self_test()
    held = [NAMES[attack] for attack, holds in state.checks.items() if holds]
    failed = [NAMES[attack] for attack, holds in state.checks.items() if not holds]
    detail = "\n".join([*(f"held: {name}" for name in held), *(f"failed: {name}" for name in failed)])
    if state.available:
        python = f"; Python with {', '.join(state.packages)}" if state.packages else "; Python without numpy and pandas"
        return Check(
            name="sandbox",
            state="ok",
            summary=f"code runs in a sandbox ({state.backend}) without network, home or keys: {len(held)} of "
            f"{len(state.checks)} attacks failed{python}",
            detail="\n".join(filter(None, (state.remark, detail))),
        )
    return Check(
        name="sandbox",
        state="warning",
        summary=f"the tools that run code are off: {state.reason}",
        remedy=state.remedy,
        detail=detail,
    )


async def _display(_settings: Settings) -> Check:
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return Check(name="display", state="ok", summary="a window can be opened")
    return Check(
        name="display",
        state="warning",
        summary="there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)",
        remedy='Work without a window: fathom ask "your question"',
    )


CHECKS: dict[str, Callable[[Settings], Awaitable[Check]]] = {
    "python": _python,
    "memory": _memory,
    "disk": _disk,
    "database": _database,
    "model": _model,
    "engine": _engine,
    "mlx": _mlx,
    "server": _endpoint,
    "sandbox": _sandbox,
    "display": _display,
}
