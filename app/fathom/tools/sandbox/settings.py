"""What a command in the sandbox may use, and what the supervisor is told of it.

Knows no backend.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

import msgspec

from fathom.core.errors import ToolError
from fathom.tools.sandbox import text

WORKSPACE = PurePosixPath("/workspace")
INNER_UID = 1000
MIB = 2**20
TMPFS_BYTES = {"/tmp": 256 * MIB, "/dev/shm": 64 * MIB, str(WORKSPACE): 1024 * MIB}
COMMAND_S, LONGEST_COMMAND_S = 60, 600
_THREADS = str(min(4, os.cpu_count() or 1))  # each thread of BLAS reserves address space


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one sandbox. ``memory_bytes`` counts all of its processes and files in memory together."""

    memory_bytes: int = 2048 * MIB
    address_bytes: int = 2048 * MIB  # of one process
    file_bytes: int = 256 * MIB
    workspace_bytes: int = TMPFS_BYTES[str(WORKSPACE)]
    files: int = 100_000
    processes: int = 128
    descriptors: int = 1024
    command_s: int = COMMAND_S

    def settings(
        self,
        *,
        python: str,
        python_path: list[str],
        workspace: str = str(WORKSPACE),
        namespaces: bool = True,
        wrap: list[str] | None = None,
        landlock: dict[str, Any] | None = None,
        seccomp: bytes = b"",
        processes_before: int = 0,
    ) -> dict[str, Any]:
        """The supervisor's settings. ``processes_before``: those that the user id has already, without a namespace."""
        return {
            "python": python,
            "python_path": python_path,
            "interpreter": text.interpreter(),
            "workspace": workspace,
            "namespaces": namespaces,
            "wrap": wrap or [],
            "landlock": landlock,
            "seccomp": seccomp.hex(),
            "environment": environment(workspace),
            "limits": {
                "RLIMIT_NPROC": processes_before + self.processes,
                "RLIMIT_NOFILE": self.descriptors,
                "RLIMIT_FSIZE": self.file_bytes,
                "RLIMIT_AS": self.address_bytes,
                "RLIMIT_CORE": 0,
            },
            "cpu_s": max(self.command_s, COMMAND_S),
            "memory_bytes": self.memory_bytes,
            "workspace_bytes": self.workspace_bytes,
            "tmpfs": list(TMPFS_BYTES) if namespaces else [],
            "files": self.files,
        }


def environment(workspace: str) -> dict[str, str]:
    """All the variables that a command sees."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": workspace,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "USER": "user",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": _THREADS,
        "OPENBLAS_NUM_THREADS": _THREADS,
    } | ({} if workspace == str(WORKSPACE) else {"TMPDIR": workspace})


def supervisor_command(python: str) -> list[str]:
    """The supervisor as a command line; its text holds nothing of this computer."""
    return [python, "-I", "-c", text.supervisor()]


def workspace_parts(path: str) -> tuple[str, ...]:
    """The parts of a sandbox path below the workspace. Raises ToolError when it lies outside, or names nothing."""
    pure = PurePosixPath(path.strip())
    parts = pure.relative_to(WORKSPACE).parts if pure.is_relative_to(WORKSPACE) else pure.parts
    if pure.is_absolute() and not pure.is_relative_to(WORKSPACE):
        raise ToolError(f"{path} is outside of {WORKSPACE}, the only folder that lasts; save the file there.")
    if not parts or ".." in parts or any("\0" in part for part in parts):
        raise ToolError(f"{path!r} is not a path inside {WORKSPACE}")
    return parts
