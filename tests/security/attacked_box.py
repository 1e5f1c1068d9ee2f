"""A real sandbox for hostile code, with a face for tests that are no coroutines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox.launch import Launch
from fathom.tools.sandbox.probe import SandboxState, tried
from fathom.tools.sandbox.session import SandboxSession

CANARY = "canary-7f3a91"
X86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86_64")
CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    return errno.errorcode.get(ctypes.get_errno(), "done") if result == -1 else "done"
"""

T = TypeVar("T")


class Box:
    """A running sandbox with a face for tests that are no coroutines: they share one event loop."""

    def __init__(self, launch: Launch) -> None:
        self._runner = asyncio.Runner()
        self.launch = launch
        try:
            self.session = self.wait(SandboxSession.start(launch))
        except BaseException:
            self._runner.close()
            raise

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the sandbox's loop."""
        return self._runner.run(coroutine)

    def sh(self, command: str, timeout_s: float = 60.0) -> SandboxResult:
        """A shell command."""
        return self.wait(self.session.run(["/bin/sh", "-c", command], timeout_s=timeout_s))

    def py(self, code: str, timeout_s: float = 60.0) -> SandboxResult:
        """Code in the Python that keeps its variables."""
        return self.wait(self.session.python(code, timeout_s=timeout_s))

    def processes(self) -> int:
        """How many processes there are inside, the one that counts left out."""
        listed = self.py("import os; print(sum(name.isdigit() for name in os.listdir('/proc')))")
        return int(listed.output) - 1  # this Python

    def close(self) -> None:
        """End it."""
        self.wait(self.session.close())
        self._runner.close()


def working(name: str) -> SandboxState:
    """That kind of sandbox. Its absence fails the tests: they are what shows that it holds."""
    if name not in _STATES:
        _STATES[name] = tried(name)
    state = _STATES[name]
    assert state.available, f"{state.reason}. {state.remedy}"
    return state


_STATES: dict[str, SandboxState] = {}
