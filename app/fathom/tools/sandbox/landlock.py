"""The second best sandbox of Linux: Landlock and a stricter filter of system calls, where bubblewrap cannot work.

There is no namespace, so the supervisor stays outside and every command locks itself in before it runs
(``inside.lock``). Files: the system's programs and the workspace, nothing else. Network: no socket at all, not
even a Unix one. Other processes: no signal, no limit, no priority. What stays visible is said in ``REMARK``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from fathom.core.errors import ToolError
from fathom.tools.sandbox import packages, seccomp
from fathom.tools.sandbox.launch import Backend, Launch, Obstacle, WorkspaceMaker, inside_python, stepped_down_uid
from fathom.tools.sandbox.settings import Limits, supervisor_command

REMARK = (
    "bubblewrap does not work here, so Landlock and a filter of system calls hold the commands: that a file of yours "
    "exists can be seen, though not what is in it."
)
OLDEST_ABI = 3  # Linux 6.2: before it a file could be emptied
_CREATE_RULESET = 444
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def abi() -> int:
    """Landlock's version in this kernel, 0 when there is none."""
    if not sys.platform.startswith("linux") or seccomp.program() is None:
        return 0
    return max(0, int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def obstacle() -> Obstacle | None:
    """What is missing before Landlock can be tried."""
    if inside_python() is None:
        return Obstacle("there is no python3 in /usr on this computer", "Install it: sudo apt install python3.")
    if abi() < OLDEST_ABI:
        return Obstacle("this kernel's Landlock is missing or too old", "Linux 6.2 or newer has what is needed.")
    return None


def explained(problem: str) -> Obstacle:
    """The reason behind a failed start."""
    last = problem.splitlines()[-1] if problem else "it said nothing"
    return Obstacle(f"Landlock does not work here: {last}", "Install bubblewrap, or allow it to work.")


def launch(make_workspace: WorkspaceMaker, limits: Limits) -> Launch:
    """What starts the supervisor. Raises ToolError when something is missing, OSError."""
    missing, python = obstacle(), inside_python()
    rules = seccomp.program(alone=True, signals=abi() >= 6)
    if missing is not None or python is None or rules is None:
        raise ToolError(f"there is no sandbox: {missing.reason if missing else 'this processor is not known'}")
    uid = stepped_down_uid()
    workspace = make_workspace()
    if uid is not None:
        os.chown(workspace, uid, uid)
    mounted = packages.folder(python)
    readable = [path for path in _SYSTEM if Path(path).exists()] + ([str(mounted)] if mounted is not None else [])
    granted = {"abi": abi(), "read": readable, "devices": list(_DEVICES), "write": [str(workspace)]}
    return Launch(
        argv=supervisor_command(python),
        settings=limits.settings(
            python=python,
            python_path=[str(mounted)] if mounted is not None else [],
            workspace=str(workspace),
            namespaces=False,
            landlock=granted,
            seccomp=rules,
            processes_before=_threads_of(os.geteuid() if uid is None else uid),
        ),
        uid=uid,
        packages=packages.names(mounted),
        remove=workspace.parent,
    )


def _threads_of(uid: int) -> int:
    """How many threads a user has now: without a namespace the limit on processes counts them too."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                total += sum(1 for _ in (process / "task").iterdir())
        except OSError:  # it ended meanwhile
            continue
    return total


BACKEND = Backend("Landlock", REMARK, obstacle, launch, explained)
