"""How long a command in a session's sandbox takes, from the call to its result.

``sandbox_shell_ms_p50``: `echo` by the shell; ``sandbox_python_ms_p50``: a line of Python in the interpreter that keeps
its variables. What a session pays once, and the self-test, are told too.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from options import Options

from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox import self_test
from fathom.tools.sandbox.holder import SandboxHolder

TARGETS = {
    "sandbox_shell_ms_p50": ("at most", 10),
    "sandbox_python_ms_p50": ("at most", 15),
    "sandbox_self_test_ms": ("at most", 2000),
}
ROUNDS = 60


def measure(_options: Options) -> dict[str, float]:
    """Milliseconds by name. Raises RuntimeError when there is no sandbox here."""
    return asyncio.run(_measured())


async def _measured() -> dict[str, float]:
    began = time.perf_counter()
    state = await self_test(again=True)
    self_test_ms = 1000 * (time.perf_counter() - began)
    if not state.available:
        raise RuntimeError(f"there is no sandbox: {state.reason}")
    with tempfile.TemporaryDirectory() as folder:
        holder = await SandboxHolder.open(Path(folder))
        try:
            began = time.perf_counter()
            await holder.create(3600)
            start_ms = 1000 * (time.perf_counter() - began)
            began = time.perf_counter()
            await holder.python("numbers = [1, 2, 3]")
            first_python_ms = 1000 * (time.perf_counter() - began)
            shell = await _timed(lambda: holder.run(["/bin/sh", "-c", "echo hello"]), "hello\n")
            python = await _timed(lambda: holder.python("sum(numbers)"), "6\n")
        finally:
            await holder.close()
    return {
        "sandbox_shell_ms_p50": round(statistics.median(shell), 2),
        "sandbox_shell_ms_p95": round(sorted(shell)[int(0.95 * ROUNDS)], 2),
        "sandbox_python_ms_p50": round(statistics.median(python), 2),
        "sandbox_python_ms_p95": round(sorted(python)[int(0.95 * ROUNDS)], 2),
        "sandbox_start_ms": round(start_ms, 1),
        "sandbox_first_python_ms": round(first_python_ms, 1),
        "sandbox_self_test_ms": round(self_test_ms, 1),
    }


async def _timed(call: Callable[[], Awaitable[SandboxResult]], expected: str) -> list[float]:
    timings = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        result = await call()
        timings.append(1000 * (time.perf_counter() - began))
        if result.output != expected:
            raise RuntimeError(f"{result.output!r} came back instead of {expected!r}")
    return timings
