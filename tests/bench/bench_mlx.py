"""Decode speed of Fathom's MLX engine, through its process and pipe, against mlx-lm's own loop in the same run.

Both compute the same float32 weights (on a GPU: the same packed ones) with the same OpenBLAS and number of threads,
from the same prompt ids, greedily, in one process (see twins.py). They are measured by turns, never at the same time;
the median of the pairs is told.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bench_engine import CONTEXT, MESSAGES
from options import Options
from twins import COMMAND, decode

from fathom.core.types import EngineSpec
from fathom.workers.client import EngineClient

TARGETS = {"mlx_decode_ratio": ("at least", 0.97), "mlx_gflops": ("at least", 20.0)}
TOKENS = 48


async def _measure(folder: Path) -> dict[str, float]:
    spec = EngineSpec(backend="mlx", model=str(folder), context_tokens=CONTEXT)
    engine = await EngineClient.start(spec, threads=max(1, (os.cpu_count() or 1) - 1), command=COMMAND)
    try:
        return await decode(engine, MESSAGES, TOKENS, "mlx")
    finally:
        await engine.close()


def measure(options: Options) -> dict[str, float]:
    """``mlx_decode_ratio`` and what it was made of; nothing where MLX is not installed."""
    from fathom.services.mlx_install import MlxInstall
    from fathom.weights import convert

    if why := MlxInstall().why_not():
        print(f"mlx is not measured: {why}")
        return {}
    from fathom.weights import mlx_runtime

    path = options.model
    figures = asyncio.run(_measure(path if path.is_dir() else convert.converted(path)))
    mlx_runtime.prepare()
    return figures | {"mlx_gflops": round(mlx_runtime.gflops(), 1)}
