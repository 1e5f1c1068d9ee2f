"""How a sandbox's supervisor is started: arguments, descriptors to hand down, user, settings.

Shared by the backends; knows none of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

WorkspaceMaker = Callable[[], Path]
"""Makes an empty folder on this side for a sandbox that has no file system of its own."""


class Obstacle(NamedTuple):
    """Why there is no sandbox, and what to do."""

    reason: str
    remedy: str


@dataclass
class Launch:
    """Everything a start needs. Close it after the start. ``remove`` is a folder to delete when the sandbox ends."""

    argv: list[str]
    settings: dict[str, Any]
    descriptors: list[int] = field(default_factory=list)
    uid: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    remove: Path | None = None
    preface: bytes = b""  # sent before the first frame

    def close(self) -> None:
        """Close the descriptors on this side."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def as_user(self) -> dict[str, Any]:
        """Options of a process start for ``uid``; none for the own user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}


def program(name: str) -> str | None:
    """The path of a system program, whatever PATH is: a sandbox must not come from a folder of the user's."""
    return shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")


def inside_python() -> str | None:
    """The system's Python, which is there inside too."""
    return next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()), None)


def stepped_down_uid() -> int | None:
    """The user id to run as, None for the own one.

    root would stay root outside of the namespace, and the kernel exempts it from the limit on processes: it steps down
    to an id in the range that systemd keeps for such uses, which owns nothing.
    """
    return 61184 + os.getpid() % 4096 if os.geteuid() == 0 else None


def readable(data: bytes) -> int:
    """A descriptor from which ``data`` can be read, by any user id."""
    descriptor = os.memfd_create("fathom", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Backend(NamedTuple):
    """One kind of sandbox. ``remark`` is what a person should know of it even when it works.

    ``obstacle()`` is what is missing before it can be tried; ``launch(make_workspace, limits)`` raises ToolError or
    OSError; ``explained(problem)`` finds the reason behind the last words of a failed start.
    """

    label: str
    remark: str
    obstacle: Callable[[], Obstacle | None]
    launch: Callable[..., Launch]
    explained: Callable[[str], Obstacle]
