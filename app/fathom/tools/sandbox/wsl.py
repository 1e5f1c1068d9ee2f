"""The sandbox of Windows: the same bubblewrap inside of WSL2. NOT TESTED.

Written with care on a machine that is no Windows. ``wsl.exe`` hands no descriptors over, so a few lines of Python on
the Linux side make those that bubblewrap reads from; the options hold no path of Windows, and inside the sandbox
``/mnt`` is not there.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys

from fathom.core.errors import ToolError
from fathom.tools.sandbox import seccomp
from fathom.tools.sandbox.launch import Backend, Launch, Obstacle, WorkspaceMaker
from fathom.tools.sandbox.settings import INNER_UID, TMPFS_BYTES, WORKSPACE, Limits, supervisor_command

REMARK = "The sandbox of Windows has not been tested yet."
_PYTHON = "/usr/bin/python3"
# Takes bubblewrap's options and blobs, one JSON line, from stdin; what follows on stdin is the supervisor's
_STARTER = """
import base64, json, os
line = b""
while not line.endswith(b"\\n"):
    line += os.read(0, 1)
given = json.loads(line)
words = given["options"]
for before, blob, after in given["blobs"]:
    fd = os.memfd_create("fathom")
    os.write(fd, base64.b64decode(blob)); os.lseek(fd, 0, 0); os.set_inheritable(fd, True)
    words += [*before, str(fd), *after]
os.execve("/usr/bin/bwrap", ["bwrap", *words, "--remount-ro", "/", "--", *given["command"]], {})
"""


def obstacle() -> Obstacle | None:
    """What is missing before WSL2 can be tried."""
    if sys.platform != "win32":
        return Obstacle("this is not Windows", "")
    if shutil.which("wsl.exe") is None:
        return Obstacle(
            "WSL2, the Linux of Windows, is not installed",
            "Install it: wsl --install, then in it: apt install bubblewrap.",
        )
    return None


def explained(problem: str) -> Obstacle:
    """The reason behind a failed start."""
    last = problem.splitlines()[-1] if problem else "it said nothing"
    return Obstacle(
        f"bubblewrap does not work in WSL2: {last}", "In WSL2: sudo apt install bubblewrap python3; wsl --update."
    )


def launch(_make_workspace: WorkspaceMaker, limits: Limits) -> Launch:
    """What starts the sandbox. Raises ToolError when something is missing."""
    missing = obstacle()
    if missing is not None:
        raise ToolError(f"there is no sandbox: {missing.reason}")
    return Launch(
        argv=["wsl.exe", "--exec", _PYTHON, "-I", "-c", _STARTER],
        settings=limits.settings(python=_PYTHON, python_path=[]),
        preface=preface(),
    )


def preface() -> bytes:
    """The line that the starter reads."""
    passwd = f"user:x:{INNER_UID}:{INNER_UID}::{WORKSPACE}:/bin/sh\n".encode()
    group = f"user:x:{INNER_UID}:\n".encode()
    blobs = [
        (["--perms", "0444", "--ro-bind-data"], passwd, ["/etc/passwd"]),
        (["--perms", "0444", "--ro-bind-data"], group, ["/etc/group"]),
    ]
    rules = seccomp.program("x86_64")
    if rules is not None:
        blobs.append((["--seccomp"], rules, []))
    given = {
        "options": _options(),
        "blobs": [[before, base64.b64encode(blob).decode(), after] for before, blob, after in blobs],
        "command": supervisor_command(_PYTHON),
    }
    return json.dumps(given).encode() + b"\n"


def _options() -> list[str]:
    given = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    given += ["--unshare-cgroup-try", "--as-pid-1", "--new-session", "--die-with-parent"]
    given += ["--cap-drop", "ALL", "--clearenv", "--uid", str(INNER_UID), "--gid", str(INNER_UID)]
    given += ["--hostname", "sandbox", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        given += ["--symlink", f"usr/{name}", f"/{name}"]
    given += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    given += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives", "--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):
        given += ["--perms", "1777", "--size", str(TMPFS_BYTES[path]), "--tmpfs", path]
    given += ["--remount-ro", "/dev", "--perms", "0700", "--size", str(TMPFS_BYTES[str(WORKSPACE)])]
    return [*given, "--tmpfs", str(WORKSPACE), "--chdir", "/"]


BACKEND = Backend("WSL2", REMARK, obstacle, launch, explained)
