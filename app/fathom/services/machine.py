"""This computer's memory, cores, graphics cards and battery, asked afresh at each call.

NVIDIA cards through ``nvidia-smi``, Apple's shared memory through ``sysctl``; neither could be tested on this project's
machines, so both are read with care and are simply absent when they do not answer as documented.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Sequence

import psutil

from fathom.core.types import Struct
from fathom.weights.memory import Gpu, Machine

ASK_TIMEOUT_S = 5.0
MIB = 1 << 20
UNIFIED_SHARE = 0.70  # of Apple's memory that graphics may use, when the system names no limit of its own

Ask = Callable[[Sequence[str]], str]


class Battery(Struct, frozen=True):
    """``percent`` is 0 to 100."""

    percent: float
    plugged_in: bool


def ask(command: Sequence[str]) -> str:
    """What a program prints, "" when it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def look(ask: Ask = ask) -> Machine:
    """This machine as it is now. May take some tenths of a second: not for the window's thread."""
    memory = psutil.virtual_memory()
    unified = sys.platform == "darwin" and platform.machine() == "arm64"
    gpus = apple_gpu(memory.total, memory.available, ask) if unified else nvidia_gpus(ask)
    return Machine(
        ram_bytes=int(memory.total),
        free_bytes=int(memory.available),
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        gpus=gpus,
        unified=unified,
    )


def nvidia_gpus(ask: Ask = ask) -> tuple[Gpu, ...]:
    """The NVIDIA cards that the driver tells of."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    found = []
    for line in ask(query).splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():  # "[N/A]" on some shared memories
            found.append(Gpu(name=parts[0], total_bytes=int(parts[1]) * MIB, free_bytes=int(parts[2]) * MIB))
    return tuple(found)


def apple_gpu(ram_bytes: int, free_bytes: int, ask: Ask = ask) -> tuple[Gpu, ...]:
    """Apple silicon: what Metal may take of the shared memory."""
    text = ask(["sysctl", "-n", "iogpu.wired_limit_mb"]).strip()
    limit = int(text) * MIB if text.isdigit() and int(text) > 0 else int(ram_bytes * UNIFIED_SHARE)
    name = ask(["sysctl", "-n", "machdep.cpu.brand_string"]).strip() or "Apple silicon"
    return (Gpu(name=name, total_bytes=limit, free_bytes=min(limit, free_bytes)),)


def battery() -> Battery | None:
    """The battery, None when there is none or the system does not tell."""
    sensors = getattr(psutil, "sensors_battery", None)  # not on every system
    try:
        found = sensors() if sensors is not None else None
    except (OSError, RuntimeError, NotImplementedError):
        return None
    if found is None:
        return None
    return Battery(percent=float(found.percent), plugged_in=found.power_plugged is not False)


def process_bytes(pid: int) -> int:
    """The memory that a process would give back: what it holds beyond files that are only mapped."""
    try:
        info = psutil.Process(pid).memory_info()
    except (psutil.Error, OSError):
        return 0
    return max(0, int(info.rss) - int(getattr(info, "shared", 0)))
