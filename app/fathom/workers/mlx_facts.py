"""A process that says what MLX is on this computer, measures it, and ends: the window never loads it."""

from __future__ import annotations

import asyncio

import msgspec

from fathom.core.errors import EngineError
from fathom.workers.client import child_environment, worker_command
from fathom.workers.host import Channel

TIMEOUT_S = 60.0


class MlxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """``device`` is cpu, metal or cuda; ``blas`` where OpenBLAS came from; ``gflops`` a float32 matrix product."""

    mlx: str
    mlx_lm: str
    device: str
    blas: str
    blas_needed: bool
    gflops: float


def serve(channel: Channel, argv: list[str]) -> int:
    """Send one line of facts."""
    from fathom.weights import mlx_runtime

    channel.send(msgspec.json.encode(mlx_runtime.facts()))
    return 0


async def measure() -> MlxFacts:
    """The facts, from a process of their own; takes some seconds. Raises EngineError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *worker_command("mlx_facts"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise EngineError(f"MLX did not answer within {TIMEOUT_S:.0f} s") from None
    try:
        return msgspec.json.decode(out, type=MlxFacts)
    except msgspec.MsgspecError:
        raise EngineError(errors.decode("utf-8", errors="replace").strip()[-2000:] or "MLX said nothing") from None
