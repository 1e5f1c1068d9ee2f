"""The child's side of a worker process: a clean channel, and an end when the parent ends.

Knows no role's messages. Descriptor 1 is moved away before anything heavy is imported, so that a library which prints
cannot break the protocol: what it prints goes to stderr.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO

from fathom.core import registry
from fathom.workers import ROLES


class Channel:
    """Lines in from the parent, lines out to it. ``lines`` belongs to one thread; ``send`` to one thread."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._in = incoming
        self._out = outgoing

    def lines(self) -> Iterator[bytes]:
        """Each line without its newline, until the parent closes the pipe or dies."""
        for line in self._in:
            yield line.rstrip(b"\n")

    def send(self, line: bytes) -> None:
        """Write one line and flush. Ends the process when the parent is gone: nobody is left to work for."""
        try:
            self._out.write(line + b"\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            os._exit(0)


def main(role: str, argv: list[str]) -> int:
    """Run a worker of ``role`` until its parent closes the pipe. Raises UnknownNameError for an unknown role."""
    incoming = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with_parent()
    serve = registry.load(ROLES, role, "worker role")
    code: int = serve(Channel(incoming, outgoing), argv)
    return code


def _die_with_parent() -> None:
    """On Linux the kernel kills this process when its parent dies, even in the middle of native code."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        os._exit(0)
