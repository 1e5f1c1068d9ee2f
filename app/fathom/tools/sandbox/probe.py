"""Tries the sandbox out: is there one on this machine, does it hold, and what to do when not.

The result is kept for the life of the process.
"""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from pathlib import Path

import msgspec

from fathom.core.errors import ToolError
from fathom.tools.sandbox import bubblewrap, seccomp

_TRIAL_S = 10.0
_PYTHON = Path("/usr/bin/python3")
# Each line of output is "name yes|no"; run by sh, which is everywhere
_ATTACKS = r"""
say() { if eval "$2" >/dev/null 2>&1; then echo "$1 no"; else echo "$1 yes"; fi; }
say "no variable of the app is visible" "tr '\0' '\n' </proc/1/environ | grep -qE 'FATHOM|XDG_|SSH|TOKEN|KEY='"
say "the home folders are absent" "ls /home/* /root"
say "the host's accounts are absent" "grep -qv '^user:' /etc/passwd"
say "the system cannot be written to" "echo x >/usr/fathom-trial || echo x >/fathom-trial || echo x >/dev/fathom-trial"
say "there is no network" "grep -qvE 'Inter|face|lo:' /proc/net/dev"
say "no socket of the host is there" "ls -d /run /var/run"
say "no process of the host is visible" "test \"\$(ls -d /proc/[0-9]* | wc -l)\" -gt 12"
say "no namespace can be made" "unshare --user true"
say "there are no privileges" "grep -E '^Cap(Eff|Prm|Bnd):' /proc/self/status | grep -qvE '0000000000000000'"
say "system calls are filtered" "grep -qE '^Seccomp:.*0' /proc/self/status"
say "no privileges can be gained" "grep -qE '^NoNewPrivs:.*0' /proc/self/status"
"""


class SandboxState(msgspec.Struct, frozen=True, kw_only=True):
    """``reason`` and ``remedy`` are "" when it is available. ``checks``: what was tried, and whether it held.

    ``python`` tells whether a Python interpreter is inside.
    """

    available: bool
    reason: str = ""
    remedy: str = ""
    checks: dict[str, bool] = {}
    python: bool = False
    disable_userns: bool = True


async def self_test() -> SandboxState:
    """Run the trial in a sandbox, once in a process's life. Takes some tens of milliseconds."""
    return await asyncio.to_thread(_tried)


@functools.cache
def _tried() -> SandboxState:
    missing = _missing()
    if missing is not None:
        return missing
    for disable_userns in (True, False):  # bubblewrap before 0.8 has no --disable-userns
        output, problem = _trial(disable_userns)
        if "disable-userns" not in problem:
            break
    if problem:
        return _blocked(problem)
    checks = {name: verdict == "yes" for name, _, verdict in (line.rpartition(" ") for line in output.splitlines())}
    if not disable_userns:
        checks.pop("no namespace can be made", None)
    if seccomp.program() is None:  # an architecture whose calls are not known here
        checks.pop("system calls are filtered", None)
    failed = [name for name, held in checks.items() if not held]
    if failed or not checks:
        return SandboxState(
            available=False,
            reason=f"the sandbox does not hold: {'; '.join(failed) or 'its trial printed nothing'} did not come true",
            remedy="Update bubblewrap and the kernel; without a sandbox that holds, no code is run.",
            checks=checks,
        )
    return SandboxState(available=True, checks=checks, python=_PYTHON.exists(), disable_userns=disable_userns)


def _missing() -> SandboxState | None:
    if not sys.platform.startswith("linux"):
        return SandboxState(
            available=False,
            reason="a sandbox is only there on Linux so far",
            remedy="Search and reading work without it.",
        )
    if bubblewrap.program("bwrap") is None:
        return SandboxState(
            available=False,
            reason="bubblewrap is not installed",
            remedy="Install it: sudo apt install bubblewrap (Debian, Ubuntu) or sudo dnf install bubblewrap (Fedora).",
        )
    if bubblewrap.program("prlimit") is None:
        return SandboxState(
            available=False,
            reason="prlimit, a part of util-linux, is not installed",
            remedy="Install it: sudo apt install util-linux.",
        )
    return None


def _trial(disable_userns: bool) -> tuple[str, str]:
    """What the attacks printed, and what went wrong with the sandbox itself ("" when nothing did)."""
    try:
        launch = bubblewrap.Launch(None, ["/bin/sh", "-c", _ATTACKS], disable_userns=disable_userns)
    except ToolError as error:
        return "", str(error)
    try:
        done = subprocess.run(
            launch.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={},
            cwd="/",
            pass_fds=tuple(launch.descriptors),
            timeout=_TRIAL_S,
            check=False,
            **bubblewrap.as_user(launch.uid),
        )
    except subprocess.TimeoutExpired:
        return "", f"the trial did not end within {_TRIAL_S:g} s"
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    finally:
        launch.close()
    problem = done.stderr.decode("utf-8", "replace").strip()
    return done.stdout.decode("utf-8", "replace"), problem if done.returncode else ""


def _blocked(problem: str) -> SandboxState:
    reason = f"bubblewrap does not work here: {problem.splitlines()[-1]}"
    if _system_setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return SandboxState(
            available=False,
            reason="AppArmor forbids ordinary programs the namespaces that bubblewrap needs",
            remedy="Allow it for bubblewrap: put a profile with `userns,` for /usr/bin/bwrap in /etc/apparmor.d "
            "(package apparmor-profiles has bwrap-userns-restrict), then sudo systemctl reload apparmor.",
        )
    if _system_setting("kernel/unprivileged_userns_clone") == "0" or _system_setting("user/max_user_namespaces") == "0":
        return SandboxState(
            available=False,
            reason="the kernel's user namespaces are switched off",
            remedy="Switch them on: sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000",
        )
    return SandboxState(
        available=False,
        reason=reason,
        remedy="Inside a container, allow user namespaces (for Docker: --security-opt seccomp=unconfined).",
    )


def _system_setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
