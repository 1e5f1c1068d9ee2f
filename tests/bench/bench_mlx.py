"""Decode speed of Fathom's MLX engine, through its process and pipe, against mlx-lm's own loop in the same run.

Both compute the same float32 weights (on a GPU: the same packed ones) with the same OpenBLAS and number of threads,
from the same prompt ids, greedily. They are measured by turns, never at the same time; the median of the pairs is told.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench_engine import CONTEXT, MESSAGES, PAIRS, _engine_run
from options import Options

from fathom.core.types import EngineSpec
from fathom.workers.client import EngineClient

TARGETS = {"mlx_decode_ratio": ("at least", 0.97), "mlx_gflops": ("at least", 20.0)}
TOKENS = 48


class RawLoop:
    """mlx-lm alone: ``generate_step`` with its own pipelining, nothing in between."""

    def __init__(self, folder: Path, threads: int) -> None:
        from fathom.engines.json_tokens import JsonVocabulary
        from fathom.engines.mlx import _load, _new_cache
        from fathom.weights import mlx_runtime
        from fathom.weights.mlx_folder import read_folder

        mlx_runtime.prepare()
        mlx_runtime.set_threads(threads)
        self._mx: Any = mlx_runtime.mx
        self.gflops = mlx_runtime.gflops()
        header = read_folder(folder)
        self.model = _load(header, lambda _done: None)
        self._new_cache = _new_cache
        self.vocabulary = JsonVocabulary(header, int(self.model(self._mx.array([[0]])).shape[-1]))

    def run(self, prompt: list[int], count: int) -> tuple[float, list[int]]:
        """(tokens per second between the first and the last, the ids)."""
        from mlx_lm.generate import generate_step

        ids: list[int] = []
        times: list[float] = []
        cache = self._new_cache(self.model)
        for token, _logprobs in generate_step(self._mx.array(prompt), self.model, max_tokens=count, prompt_cache=cache):
            times.append(time.perf_counter())
            ids.append(int(token))
        return (len(ids) - 1) / (times[-1] - times[0]), ids


async def _measure(folder: Path) -> tuple[list[dict[str, float]], float]:
    threads = max(1, (os.cpu_count() or 1) - 1)
    raw = RawLoop(folder, threads)
    prompt = raw.vocabulary.prompt(MESSAGES)
    spec = EngineSpec(backend="mlx", model=str(folder), context_tokens=CONTEXT)
    engine = await EngineClient.start(spec, threads=threads)
    rows: list[dict[str, float]] = []
    try:
        _, ids = raw.run(prompt, TOKENS)  # warm-up of both, and how far the text goes
        tokens = next((place for place, token in enumerate(ids) if token in raw.vocabulary.eog), TOKENS)
        await _engine_run(engine, tokens)
        for _ in range(PAIRS):
            raw_speed, ids = raw.run(prompt, tokens)
            engine_speed, text, made = await _engine_run(engine, tokens)
            expected = b"".join(raw.vocabulary.piece(token) for token in ids).decode("utf-8", errors="replace")
            same = float(made == tokens and text == expected)
            rows.append({"raw": raw_speed, "engine": engine_speed, "ratio": engine_speed / raw_speed, "same": same})
    finally:
        await engine.close()
    return rows, raw.gflops


def measure(options: Options) -> dict[str, float]:
    """``mlx_decode_ratio`` and what it was made of; nothing where MLX is not installed."""
    from fathom.services.mlx_install import MlxInstall
    from fathom.weights import convert

    if why := MlxInstall().why_not():
        print(f"mlx is not measured: {why}")
        return {}
    path = options.model
    rows, gflops = asyncio.run(_measure(path if path.is_dir() else convert.converted(path)))
    return {
        "mlx_decode_ratio": round(statistics.median(row["ratio"] for row in rows), 4),
        "mlx_tokens_per_s": round(statistics.median(row["engine"] for row in rows), 2),
        "raw_mlx_tokens_per_s": round(statistics.median(row["raw"] for row in rows), 2),
        "mlx_same_text": statistics.mean(row["same"] for row in rows),
        "mlx_gflops": round(gflops, 1),
    }
