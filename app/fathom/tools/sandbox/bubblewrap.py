"""Runs commands under bubblewrap: namespaces, read-only system, no network, no home, nothing inherited.

Each command gets a fresh sandbox; only the workspace folder lasts from one to the next. When a command ends or is
ended, its process namespace goes, and with it every process it started. Knows no tool.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fathom.core.errors import ToolError
from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox import seccomp
from fathom.tools.sandbox.output import BoundedOutput
from fathom.tools.sandbox.tree import remove_tree

WORKSPACE = PurePosixPath("/workspace")
INNER_UID = 1000
_FLOOD_BYTES = 64 * 2**20
_LIMITS = (
    "--nproc=128",
    "--nofile=1024",
    f"--fsize={256 * 2**20}",
    f"--as={2 * 2**30}",
    "--cpu=60",
    "--core=0",
)
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": str(WORKSPACE),
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "USER": "user",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
}
_PASSWD = f"user:x:{INNER_UID}:{INNER_UID}::{WORKSPACE}:/bin/sh\n"
_GROUP = f"user:x:{INNER_UID}:\n"


def program(name: str) -> str | None:
    """The path of a system program, whatever PATH is: a sandbox must not come from a folder of the user's."""
    return shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")


def outer_uid() -> int | None:
    """The user id to run bubblewrap as, None for the own one.

    root would stay root outside of the namespace, and the kernel exempts it from the limit on processes: it steps down
    to an id in the range that systemd keeps for such uses, which owns nothing.
    """
    return 61184 + os.getpid() % 4096 if os.geteuid() == 0 else None


def options(workspace: Path | None, *, disable_userns: bool = True) -> list[str]:
    """bubblewrap's options. They hold host paths, so they are to be passed through a descriptor (``--args``)."""
    given = [
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    given += ["--disable-userns"] if disable_userns else []
    given += ["--as-pid-1", "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"]
    given += ["--uid", str(INNER_UID), "--gid", str(INNER_UID), "--hostname", "sandbox"]
    given += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            given += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            given += ["--ro-bind", str(path), str(path)]
    for kept in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/openssl.cnf"):
        if Path(kept).exists():
            given += ["--ro-bind", kept, kept]
    given += ["--proc", "/proc", "--dev", "/dev"]
    given += ["--perms", "1777", "--size", str(64 * 2**20), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    given += ["--perms", "1777", "--size", str(256 * 2**20), "--tmpfs", "/tmp"]
    if workspace is None:
        given += ["--perms", "0700", "--size", str(2**20), "--tmpfs", str(WORKSPACE)]
    else:
        given += ["--bind", str(workspace), str(WORKSPACE)]
    for name, value in _ENVIRONMENT.items():
        given += ["--setenv", name, value]
    return [*given, "--chdir", str(WORKSPACE)]


class Launch:
    """Everything a start of bubblewrap needs: arguments, descriptors to hand down, user. Close it after the start."""

    def __init__(self, workspace: Path | None, argv: Sequence[str], *, disable_userns: bool = True) -> None:
        """Raises ToolError when bubblewrap or prlimit is missing."""
        bwrap, prlimit = program("bwrap"), program("prlimit")
        if bwrap is None or prlimit is None:
            raise ToolError(f"{'bubblewrap' if bwrap is None else 'prlimit'} is not installed")
        given = options(workspace, disable_userns=disable_userns)
        self.descriptors = [_readable(_PASSWD.encode()), _readable(_GROUP.encode())]
        for descriptor, path in zip(self.descriptors, ("/etc/passwd", "/etc/group"), strict=True):
            given += ["--perms", "0444", "--ro-bind-data", str(descriptor), path]
        given += ["--remount-ro", "/"]
        rules = seccomp.program()
        if rules is not None:
            self.descriptors.append(_readable(rules))
            given += ["--seccomp", str(self.descriptors[-1])]
        self.descriptors.append(_readable(("\0".join(given) + "\0").encode()))
        # Limits are set inside: in there the count of processes is the sandbox's own
        self.argv = [bwrap, "--args", str(self.descriptors[-1]), "--", prlimit, *_LIMITS, "--", *argv]
        self.uid = outer_uid()

    def close(self) -> None:
        """Close the descriptors on this side."""
        while self.descriptors:
            os.close(self.descriptors.pop())


def _readable(data: bytes) -> int:
    """A descriptor from which ``data`` can be read, by any user id."""
    descriptor = os.memfd_create("fathom", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class BubblewrapSandbox:
    """Implements ``core.protocols.Sandbox``. ``workspace`` is its folder on this side."""

    def __init__(self, workspace: Path, *, disable_userns: bool = True) -> None:
        """Make the workspace, which must not be there yet. Raises OSError."""
        self._id = secrets.token_hex(4)
        self._disable_userns = disable_userns
        self.workspace = workspace
        workspace.mkdir(mode=0o700, parents=True)
        uid = outer_uid()
        if uid is not None:
            os.chown(workspace, uid, uid)

    @property
    def id(self) -> str:
        """A short random name."""
        return self._id

    def inside(self, path: str) -> Path:
        """The host path of a workspace path. Lexical: open it by ``tools.files``, which follows no link."""
        return self.workspace.joinpath(*workspace_parts(path))

    async def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> SandboxResult:
        """Run a command in the workspace. On a time-out, or past 64 MiB of output, all of its processes are killed.

        Cancelling kills them as well. Raises ToolError when bubblewrap is missing.
        """
        started = time.monotonic()
        launch = Launch(self.workspace, argv, disable_userns=self._disable_userns)
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={},
                cwd="/",
                pass_fds=tuple(launch.descriptors),
                **as_user(launch.uid),
            )
        finally:
            launch.close()
        output = BoundedOutput()
        timed_out = flooded = False
        try:
            async with asyncio.timeout(timeout_s):
                feeding = asyncio.ensure_future(_feed(process, stdin.encode()))
                try:
                    flooded = not await _collect(process, output)
                    if not flooded:
                        await process.wait()
                finally:
                    feeding.cancel()
        except TimeoutError:
            timed_out = True
        finally:
            await _kill(process, output)
        text = output.text()
        if flooded:
            text += f"\n[stopped: more than {_FLOOD_BYTES // 2**20} MiB of output]"
        return SandboxResult(
            output=text,
            exit_code=None if timed_out else process.returncode,
            seconds=time.monotonic() - started,
            timed_out=timed_out,
        )

    async def close(self) -> None:
        """Delete the workspace."""
        await asyncio.to_thread(remove_tree, self.workspace)


def workspace_parts(path: str) -> tuple[str, ...]:
    """The parts of a sandbox path below the workspace. Raises ToolError when it lies outside, or names nothing."""
    pure = PurePosixPath(path.strip())
    parts = pure.relative_to(WORKSPACE).parts if pure.is_relative_to(WORKSPACE) else pure.parts
    if pure.is_absolute() and not pure.is_relative_to(WORKSPACE):
        raise ToolError(f"{path} is outside of {WORKSPACE}, the only folder that lasts; save the file there.")
    if not parts or ".." in parts or any("\0" in part for part in parts):
        raise ToolError(f"{path!r} is not a path inside {WORKSPACE}")
    return parts


def as_user(uid: int | None) -> dict[str, Any]:
    """Options of a process start for ``uid``; none for the own user."""
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a command need not read its input
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _collect(process: asyncio.subprocess.Process, output: BoundedOutput) -> bool:
    """Read to the end; False when there was too much."""
    assert process.stdout is not None
    while chunk := await process.stdout.read(65536):
        output.add(chunk)
        if output.total > _FLOOD_BYTES:
            return False
    return True


async def _kill(process: asyncio.subprocess.Process, output: BoundedOutput) -> None:
    """End bubblewrap if it lives: process 1 of the namespace dies with it, and the kernel kills all others then."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.stdout is not None
    # The last writer is gone when the pipe ends: after this no process of the sandbox is left
    while chunk := await process.stdout.read(65536):
        if output.total <= _FLOOD_BYTES:
            output.add(chunk)
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()
