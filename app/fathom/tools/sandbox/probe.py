"""Tries the sandbox out: is there one on this machine, does it hold, and what to do when not.

The result is kept for the life of the process, until a person asks again.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.tools.sandbox import BACKENDS, BY_PLATFORM, attacks, seccomp
from fathom.tools.sandbox.inside.processes import descendants
from fathom.tools.sandbox.launch import Backend, Launch, WorkspaceMaker
from fathom.tools.sandbox.session import SandboxFailed, SandboxSession
from fathom.tools.sandbox.settings import Limits

PREFIX = "fathom-sandbox-"
_TRIAL_S = 20.0
_lock = threading.Lock()
_kept: list[SandboxState] = []


class SandboxState(msgspec.Struct, frozen=True, kw_only=True):
    """``reason`` and ``remedy`` are "" when it is available. ``checks``: what was tried, and whether it held.

    ``remark`` is what a person should know of a sandbox that is there. ``packages`` are those of its Python.
    """

    available: bool
    reason: str = ""
    remedy: str = ""
    remark: str = ""
    checks: dict[str, bool] = {}
    backend: str = ""
    options: dict[str, bool] = {}
    packages: tuple[str, ...] = ()

    def launch(self, make_workspace: WorkspaceMaker, limits: Limits) -> Launch:
        """What starts a sandbox of this kind. Raises ToolError when it is gone meanwhile, OSError."""
        return _backend(self.backend).launch(make_workspace, limits, **self.options)


async def self_test(*, again: bool = False) -> SandboxState:
    """Run the trial in a sandbox, once in a process's life unless ``again``. Takes a few tenths of a second."""
    return await asyncio.to_thread(_tested, again)


def _tested(again: bool) -> SandboxState:
    with _lock:
        if again or not _kept:
            _kept[:] = [best(BY_PLATFORM.get(sys.platform, ()))]
        return _kept[0]


def best(names: tuple[str, ...]) -> SandboxState:
    """The first of these backends that holds; otherwise the first one's reason. Blocks."""
    states: list[SandboxState] = []
    for name in names:
        state = tried(name)
        if state.available:
            return state
        states.append(state)
    if not states:
        return SandboxState(
            available=False,
            reason=f"there is no sandbox for {platform.system()}",
            remedy="Search and reading work without it.",
        )
    return states[0]


def tried(name: str) -> SandboxState:
    """Try one backend out. Blocks, with an event loop of its own."""
    backend = _backend(name)
    missing = backend.obstacle()
    if missing is not None:
        return SandboxState(available=False, reason=missing.reason, remedy=missing.remedy, backend=name)
    choices: list[dict[str, bool]] = [{}]
    if name == "bubblewrap":  # before 0.8 it has no --disable-userns; the filter of system calls stands in for it
        choices = [{"disable_userns": True}, {"disable_userns": False}]
    problem = ""
    for options in choices:
        try:
            checks, packages = asyncio.run(_trial(backend, options))
        except (ToolError, OSError) as error:
            problem = str(error)
            if "disable-userns" in problem:
                continue
            break
        return _judged(name, backend, options, checks, packages)
    found = backend.explained(problem)
    return SandboxState(available=False, reason=found.reason, remedy=found.remedy, backend=name)


def _judged(
    name: str, backend: Backend, options: dict[str, bool], checks: dict[str, bool], packages: tuple[str, ...]
) -> SandboxState:
    failed = [attacks.NAMES[attack] for attack, held in checks.items() if not held]
    if failed:
        return SandboxState(
            available=False,
            reason=f"the sandbox ({backend.label}) does not hold; this did not come true: {'; '.join(failed)}",
            remedy="Update bubblewrap and the kernel; without a sandbox that holds, no code is run.",
            checks=checks,
            backend=name,
        )
    return SandboxState(
        available=True,
        remark=backend.remark,
        checks=checks,
        backend=name,
        options=options,
        packages=packages,
    )


async def _trial(backend: Backend, options: dict[str, bool]) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Attack -> whether the sandbox held. Raises ToolError when it cannot be started or says nothing sensible."""
    with attacks.canaries() as found:
        launch = backend.launch(trial_workspace, Limits(), **options)
        namespaces: bool = launch.settings["namespaces"]
        session = await SandboxSession.start(launch)
        try:
            code = attacks.code(found, platform.machine(), namespaces=namespaces)
            result = await session.python(code, timeout_s=_TRIAL_S)
            try:
                checks = msgspec.json.decode(result.output.strip().rpartition("\n")[2], type=dict[str, bool])
            except msgspec.MsgspecError:
                raise SandboxFailed(f"the trial said: {result.output.strip()[-300:] or result.notes}") from None
            await session.python(attacks.DAEMON, timeout_s=_TRIAL_S)
            checks["daemons"] = await _nothing_left(session, namespaces)
        finally:
            await session.close()
        if seccomp.program() is None:  # an architecture whose calls are not known here: namespaces alone
            checks.pop("kernel", None)
        return {name: checks[name] for name in attacks.NAMES if name in checks}, session.packages


async def _nothing_left(session: SandboxSession, namespaces: bool) -> bool:
    """Whether the daemon of the call before is gone."""
    if not namespaces:
        return not _sessions_below(session.pid, sys.platform)
    listed = await session.run(["/bin/sh", "-c", "cat /proc/[0-9]*/stat"], timeout_s=_TRIAL_S)
    alive = [line.rpartition(")")[2].split() for line in listed.output.splitlines() if ")" in line]
    return sum(1 for fields in alive if fields and fields[0] != "Z") <= 4  # process 1, Python, sh, cat


def _sessions_below(pid: int, system: str) -> list[int]:
    """The processes under the supervisor that are not its Python."""
    return descendants(pid)[1:] if system == "linux" else []


def trial_workspace() -> Path:
    """A folder for a sandbox without a file system of its own."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o711)  # the id that root steps down to has to get through
    workspace = folder / "workspace"
    workspace.mkdir(mode=0o700)
    return workspace


def _backend(name: str) -> Backend:
    backend: Backend = registry.load(BACKENDS, name, "sandbox")
    return backend
