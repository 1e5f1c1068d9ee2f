"""The sandbox of macOS: a Seatbelt profile that denies everything by default, through ``sandbox-exec``. NOT TESTED.

Written with care from Apple's own profiles, on a machine that is no Mac. The supervisor stays outside; every command
starts through ``sandbox-exec`` with the profile. macOS has no way to find a daemon that left its session, so a command
may leave one behind; it is locked in as the command was.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fathom.core.errors import ToolError
from fathom.tools.sandbox.launch import Backend, Launch, Obstacle, WorkspaceMaker
from fathom.tools.sandbox.settings import Limits, supervisor_command

REMARK = "The sandbox of macOS has not been tested yet."
_PROGRAM = "/usr/bin/sandbox-exec"
_PYTHONS = (
    "/Library/Developer/CommandLineTools/usr/bin/python3",
    "/opt/homebrew/bin/python3",
    "/usr/local/bin/python3",
)
_READABLE = (
    *("/usr/bin", "/usr/lib", "/usr/libexec", "/usr/share", "/bin", "/sbin", "/System"),
    *("/Library/Developer/CommandLineTools", "/Library/Apple", "/opt/homebrew", "/usr/local"),
    *("/private/var/db/dyld", "/private/var/db/timezone"),
)


def profile(workspace: Path) -> str:
    """The Seatbelt profile: the system to read, the workspace to write, nothing else; no network, no Mach services."""
    folder = _quoted(str(workspace))
    readable = "\n".join(f"  (subpath {_quoted(path)})" for path in _READABLE)
    return f"""(version 1)
(deny default)
(allow process-fork)
(allow process-exec
{readable}
  (subpath {folder}))
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow file-read-metadata (literal "/") (literal "/private") (literal "/private/var") (literal "/usr"))
(allow file-read*
{readable}
  (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random") (literal "/dev/urandom")
  (subpath {folder}))
(allow file-write* (subpath {folder}))
(allow file-write-data (literal "/dev/null"))
(deny file-write-setugid)
(deny network*)
"""


def obstacle() -> Obstacle | None:
    """What is missing before Seatbelt can be tried."""
    if sys.platform != "darwin":
        return Obstacle("this is not macOS", "")
    if not Path(_PROGRAM).exists():
        return Obstacle(f"{_PROGRAM} is not there", "It is a part of macOS; update the system.")
    if _python() is None:
        return Obstacle("there is no Python outside of your home", "Install it: xcode-select --install.")
    return None


def explained(problem: str) -> Obstacle:
    """The reason behind a failed start."""
    last = problem.splitlines()[-1] if problem else "it said nothing"
    return Obstacle(f"sandbox-exec does not work here: {last}", "Update macOS.")


def launch(make_workspace: WorkspaceMaker, limits: Limits) -> Launch:
    """What starts the supervisor. Raises ToolError when something is missing, OSError."""
    missing, python = obstacle(), _python()
    if missing is not None or python is None:
        raise ToolError(f"there is no sandbox: {missing.reason if missing else 'no Python'}")
    workspace = make_workspace().resolve()  # /var is a link to /private/var, and profiles know real paths only
    settings = limits.settings(
        python=python,
        python_path=[],
        workspace=str(workspace),
        namespaces=False,
        wrap=[_PROGRAM, "-p", profile(workspace)],
    )
    settings["limits"].pop("RLIMIT_AS")  # macOS does not keep to it
    settings["limits"].pop("RLIMIT_NPROC")  # it counts all processes of the person
    return Launch(argv=supervisor_command(python), settings=settings, remove=workspace.parent)


def _python() -> str | None:
    return next((path for path in _PYTHONS if Path(path).exists()), None)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


BACKEND = Backend("Seatbelt", REMARK, obstacle, launch, explained)
