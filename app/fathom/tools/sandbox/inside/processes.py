"""All processes of a sandbox: standing still, still there, dead and not collected.

Of a process namespace, or, where there is none, the descendants of the supervisor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from typing import Any


class Namespace:
    """All processes of this process namespace but process 1."""

    def freeze(self) -> None:
        """Stop all of them in one system call."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGSTOP)

    def running(self, spared: int) -> list[int]:
        """Their numbers, without ``spared`` and its children that are dead and wait to be collected."""
        found = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return [pid for pid in found if pid not in (1, spared) and not _dead_child(pid, spared)]

    def zombies_of(self, parent: int) -> bool:
        """Whether dead children of ``parent`` wait to be collected."""
        return any(_dead_child(int(name), parent) for name in os.listdir("/proc") if name.isdigit())


class Descendants(Namespace):
    """The descendants of this process; on Linux orphans come back to it. On macOS (not tested) they get lost."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def freeze(self) -> None:
        """Stop them, and those that they forked meanwhile."""
        stopped: set[int] = set()
        while new := set(self._all()) - stopped:
            for pid in new:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGSTOP)
            stopped |= new

    def running(self, spared: int) -> list[int]:
        return [pid for pid in self._all() if pid != spared and not _dead_child(pid, spared)]

    def zombies_of(self, parent: int) -> bool:
        return any(_dead_child(pid, parent) for pid in self._all())

    def _all(self) -> list[int]:
        return descendants(os.getpid())


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    children = _children_of if sys.platform == "linux" else _children_by_ps()
    found: list[int] = []
    waiting = list(children(pid))
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children(one)
    return found


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def _children_by_ps() -> Any:
    done = subprocess.run(["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False)
    by_parent: dict[int, list[int]] = {}
    for line in done.stdout.splitlines():
        pid, parent = map(int, line.split())
        by_parent.setdefault(parent, []).append(pid)
    return lambda pid: by_parent.get(pid, [])


def _dead_child(pid: int, parent: int) -> bool:
    if not parent:
        return False
    state = _stat_fields(pid)
    return state[:1] == ["Z"] and int(state[1]) == parent


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process and its collected children have used."""
    fields = _stat_fields(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
