"""A memory limit for all processes of a sandbox together, where the user's systemd gives a cgroup.

Without one the supervisor counts the memory itself, twenty times a second. Not tested: it needs a machine that runs
systemd.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from fathom.tools.sandbox.launch import program
from fathom.tools.sandbox.settings import Limits

_TRIAL_S = 3.0


def wrapped(limits: Limits) -> tuple[list[str], dict[str, str]]:
    """What to put before the command, and the variables that it needs; both empty where there is no such cgroup."""
    runtime = Path("/run/user", str(os.getuid()))
    if not (runtime / "systemd").is_dir() or not (runtime / "bus").exists():
        return [], {}
    variables = {"XDG_RUNTIME_DIR": str(runtime), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime / 'bus'}"}
    prefix = _prefix(limits.memory_bytes, limits.processes)
    return (prefix, variables) if prefix and _works(tuple(prefix), tuple(variables.items())) else ([], {})


def _prefix(memory_bytes: int, processes: int) -> list[str]:
    systemd_run = program("systemd-run")
    if systemd_run is None:
        return []
    given = [systemd_run, "--user", "--scope", "--quiet", "--collect"]
    for entry in (f"MemoryMax={memory_bytes}", "MemorySwapMax=0", f"TasksMax={processes + 8}"):
        given += ["--property", entry]
    # The variables are systemd-run's; nothing after it sees them
    return [*given, "--", "/usr/bin/env", "-i"]


@functools.cache
def _works(prefix: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> bool:
    try:
        done = subprocess.run(
            [*prefix, "/usr/bin/true"], env=dict(variables), capture_output=True, timeout=_TRIAL_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
