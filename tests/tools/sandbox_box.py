"""A sandbox's holder with a face for tests that are no coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fathom.tools.sandbox.holder import SandboxHolder


class HeldSandbox:
    """``sh`` and ``py`` in the sandbox of one run."""

    def __init__(self, session_dir: Path, command_s: int) -> None:
        self._runner = asyncio.Runner()
        self.wait = self._runner.run
        self.holder = self.wait(SandboxHolder.open(session_dir, command_s=command_s))

    def sh(self, command: str):
        """A shell command."""
        return self.wait(self.holder.run(["/bin/sh", "-c", command]))

    def py(self, code: str):
        """Python code."""
        return self.wait(self.holder.python(code))

    def close(self) -> None:
        """End it."""
        self.wait(self.holder.close())
        self._runner.close()


@contextmanager
def held(session_dir: Path, command_s: int = 60) -> Iterator[HeldSandbox]:
    """A holder that is closed at the end."""
    box = HeldSandbox(session_dir, command_s)
    try:
        yield box
    finally:
        box.close()
