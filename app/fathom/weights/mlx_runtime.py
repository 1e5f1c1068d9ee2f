"""MLX in this process: OpenBLAS first, then the library; which device computes, and how fast.

Whoever computes with MLX imports ``mx`` from here, so that the order is always right. Never imported by the window.
Apple's GPU (Metal) and NVIDIA's (CUDA) are chosen by MLX itself where their wheel is installed; neither was tested.
"""

from __future__ import annotations

import importlib.metadata
import time
from typing import Any

from fathom.weights import openblas

blas = openblas.preload()
"""Where OpenBLAS came from; "" where none is needed or there is none."""

import mlx.core  # noqa: E402
import mlx.nn  # noqa: E402

mx: Any = mlx.core
nn: Any = mlx.nn


def on_cpu() -> bool:
    """Whether the CPU computes; float32 is the fast type there, and mx.compile would start a C++ compiler."""
    return bool(mx.default_device() == mx.Device(mx.cpu))


def device_name() -> str:
    """``cpu``, ``metal`` or ``cuda``."""
    if on_cpu():
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def blas_missing() -> bool:
    """Whether the reference BLAS computes, some 30 times slower."""
    return openblas.needed() and not blas


def set_threads(threads: int) -> None:
    """How many threads BLAS uses, 0 for the default; without effect on a GPU."""
    openblas.preload(threads)


def prepare() -> None:
    """Settings of the process: on the CPU nothing is compiled (it needs g++, takes seconds and gains nothing)."""
    if on_cpu():
        mx.disable_compile()


def gflops(size: int = 768, seconds: float = 1.0) -> float:
    """The best speed of a float32 matrix product within ``seconds``, in 10^9 operations per second."""
    left, right = mx.random.normal((size, size)), mx.random.normal((size, size))
    mx.eval(left, right, left @ right)
    best, end = float("inf"), time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        mx.eval(left @ right)
        best = min(best, time.perf_counter() - started)
    return float(2 * size**3 / best / 1e9)


def facts() -> dict[str, Any]:
    """What the doctor tells: versions, device, BLAS, measured speed."""
    return {
        "mlx": importlib.metadata.version("mlx"),
        "mlx_lm": importlib.metadata.version("mlx-lm"),
        "device": device_name(),
        "blas": blas,
        "blas_needed": openblas.needed(),
        "gflops": round(gflops(), 1),
    }
