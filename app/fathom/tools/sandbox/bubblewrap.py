"""The sandbox of Linux: bubblewrap's namespaces, a read-only system, no network, no home, nothing inherited.

Everything that can be written to is a sized tmpfs, the workspace too: no path of the host shows inside, a full disk or
a tree of any depth is the sandbox's own trouble, and what is left goes with the namespace. Knows no tool.
"""

from __future__ import annotations

from pathlib import Path

from fathom.core.errors import ToolError
from fathom.tools.sandbox import packages, scope, seccomp
from fathom.tools.sandbox.launch import (
    Backend,
    Launch,
    Obstacle,
    WorkspaceMaker,
    inside_python,
    readable,
    stepped_down_uid,
)
from fathom.tools.sandbox.launch import program as system_program
from fathom.tools.sandbox.settings import INNER_UID, TMPFS_BYTES, WORKSPACE, Limits, supervisor_command

_PACKAGES = "/opt/python"
_PASSWD = f"user:x:{INNER_UID}:{INNER_UID}::{WORKSPACE}:/bin/sh\n"
_GROUP = f"user:x:{INNER_UID}:\n"


def obstacle() -> Obstacle | None:
    """What is missing before bubblewrap can be tried."""
    if system_program("bwrap") is None:
        return Obstacle(
            "bubblewrap is not installed",
            "Install it: sudo apt install bubblewrap (Debian, Ubuntu) or sudo dnf install bubblewrap (Fedora).",
        )
    if inside_python() is None:
        return Obstacle("there is no python3 in /usr on this computer", "Install it: sudo apt install python3.")
    return None


def explained(problem: str) -> Obstacle:
    """The reason behind bubblewrap's own words, and the remedy."""
    if system_setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return Obstacle(
            "AppArmor forbids ordinary programs the namespaces that bubblewrap needs",
            "Allow it for bubblewrap: put a profile with `userns,` for /usr/bin/bwrap in /etc/apparmor.d "
            "(package apparmor-profiles has bwrap-userns-restrict), then sudo systemctl reload apparmor.",
        )
    if system_setting("kernel/unprivileged_userns_clone") == "0" or system_setting("user/max_user_namespaces") == "0":
        return Obstacle(
            "the kernel's user namespaces are switched off",
            "Switch them on: sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000",
        )
    closed = closed_to_others(packages.place()) if stepped_down_uid() is not None else None
    if closed is not None and "Permission denied" in problem:
        return Obstacle(
            f"root alone may enter {closed}, and what root starts runs as an ordinary user in the sandbox",
            f"Start Fathom as an ordinary user, or let others pass through: chmod o+x '{closed}'",
        )
    return Obstacle(
        f"bubblewrap does not work here: {problem.splitlines()[-1] if problem else 'it said nothing'}",
        "Inside a container, allow user namespaces (for Docker: --security-opt seccomp=unconfined).",
    )


def closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to ``path`` that users other than its owner may not pass through; None when none."""
    folders = [*reversed(path.parents), path]
    return next((folder for folder in folders if folder.is_dir() and not folder.stat().st_mode & 0o001), None)


def system_setting(name: str) -> str:
    """A value of /proc/sys, "" when there is none."""
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


def launch(_make_workspace: WorkspaceMaker, limits: Limits, *, disable_userns: bool = True) -> Launch:
    """What starts the sandbox. Raises ToolError when something is missing."""
    missing = obstacle()
    bwrap, python = system_program("bwrap"), inside_python()
    if missing is not None or bwrap is None or python is None:
        raise ToolError(f"there is no sandbox: {missing.reason if missing else 'bubblewrap is gone'}")
    given = options(disable_userns=disable_userns)
    mounted = packages.folder(python)
    if mounted is not None:
        given += ["--ro-bind", str(mounted), _PACKAGES]
    descriptors = [readable(_PASSWD.encode()), readable(_GROUP.encode())]
    for descriptor, path in zip(descriptors, ("/etc/passwd", "/etc/group"), strict=True):
        given += ["--perms", "0444", "--ro-bind-data", str(descriptor), path]
    given += ["--remount-ro", "/"]
    rules = seccomp.program()
    if rules is not None:
        descriptors.append(readable(rules))
        given += ["--seccomp", str(descriptors[-1])]
    descriptors.append(readable(("\0".join(given) + "\0").encode()))
    uid = stepped_down_uid()
    prefix, environment = scope.wrapped(limits) if uid is None else ([], {})
    return Launch(
        argv=[*prefix, bwrap, "--args", str(descriptors[-1]), "--", *supervisor_command(python)],
        descriptors=descriptors,
        uid=uid,
        environment=environment,
        settings=limits.settings(python=python, python_path=[_PACKAGES] if mounted is not None else []),
        packages=packages.names(mounted),
    )


def options(*, disable_userns: bool = True) -> list[str]:
    """bubblewrap's options. They may hold host paths, so they are to be passed through a descriptor (``--args``)."""
    given = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    given += ["--unshare-cgroup-try", *(["--disable-userns"] if disable_userns else [])]
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
    given += ["--perms", "1777", "--size", str(TMPFS_BYTES["/dev/shm"]), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    given += ["--perms", "1777", "--size", str(TMPFS_BYTES["/tmp"]), "--tmpfs", "/tmp"]
    given += ["--perms", "0700", "--size", str(TMPFS_BYTES[str(WORKSPACE)]), "--tmpfs", str(WORKSPACE)]
    return [*given, "--chdir", "/"]


BACKEND = Backend("bubblewrap", "", obstacle, launch, explained)
