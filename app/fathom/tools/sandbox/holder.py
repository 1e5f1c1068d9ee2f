"""The sandbox of one run: made when it is first needed, kept until the run ends.

Knows how much running time is left. Knows no tool.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fathom.core.errors import ToolError
from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox.bubblewrap import BubblewrapSandbox
from fathom.tools.sandbox.probe import SandboxState, self_test
from fathom.tools.sandbox.tree import remove_tree

COMMAND_S = 60.0
_LONGEST_S = 600
_PREFIX = "fathom-sandbox-"
_MARK = "sandbox"


class SandboxHolder:
    """At most one sandbox. ``state`` tells whether there can be one."""

    def __init__(self, state: SandboxState, session_dir: Path) -> None:
        self.state = state
        self._session_dir = session_dir
        self._sandbox: BubblewrapSandbox | None = None
        self._left_s = 0.0
        self._running = asyncio.Lock()

    @classmethod
    async def open(cls, session_dir: Path) -> SandboxHolder:
        """Try the sandbox out, and delete what a killed app left; ``session_dir`` tells where that is."""
        await asyncio.to_thread(_remove_leftovers, session_dir)
        return cls(await self_test(), session_dir)

    @property
    def current(self) -> BubblewrapSandbox | None:
        """The sandbox, when there is one already."""
        return self._sandbox

    async def create(self, timeout_s: int = _LONGEST_S) -> BubblewrapSandbox:
        """Make the sandbox, or renew the running time of the one that is there. Raises ToolError when it is off."""
        if not self.state.available:
            raise ToolError(f"there is no sandbox on this computer: {self.state.reason}")
        if self._sandbox is None:
            try:
                self._sandbox = await asyncio.to_thread(self._make)
            except OSError as error:
                raise ToolError(f"the sandbox's folder could not be made: {error}") from None
        self._left_s = float(timeout_s)
        return self._sandbox

    async def find(self, sandbox_id: str) -> tuple[BubblewrapSandbox, str]:
        """The sandbox, and a remark when ``sandbox_id`` is not its id."""
        if self._sandbox is None:
            sandbox = await self.create()
            return sandbox, f"There was no sandbox yet; {sandbox.id} was created."
        if sandbox_id and sandbox_id != self._sandbox.id:
            return self._sandbox, f"There is no sandbox {sandbox_id}; {self._sandbox.id} was used."
        return self._sandbox, ""

    async def run(self, argv: Sequence[str], *, stdin: str = "") -> SandboxResult:
        """Run a command, one at a time. Raises ToolError when the running time is used up."""
        async with self._running:
            if self._sandbox is None:
                raise ToolError("there is no sandbox; create one first")
            if self._left_s <= 0:
                raise ToolError("the sandbox has used up its running time; call create_sandbox again to renew it.")
            result = await self._sandbox.run(argv, stdin=stdin, timeout_s=min(COMMAND_S, self._left_s))
            self._left_s -= result.seconds
            return result

    async def close(self) -> None:
        """Delete the sandbox's files."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.close()
        await asyncio.to_thread(_remove_leftovers, self._session_dir)

    def _make(self) -> BubblewrapSandbox:
        # Not in the data folder: the path shows inside, in /proc/self/mountinfo, and would tell the user's name
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if os.geteuid() == 0:
            folder.chmod(0o711)  # the id that root steps down to has to get through
        self._session_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._session_dir / _MARK).symlink_to(folder)  # so that it is found again when the app is killed
        return BubblewrapSandbox(folder / "workspace", disable_userns=self.state.disable_userns)


def _remove_leftovers(session_dir: Path) -> None:
    mark = session_dir / _MARK
    if not mark.is_symlink():
        return
    folder = mark.readlink()
    if folder.name.startswith(_PREFIX) and folder.parent == Path(tempfile.gettempdir()):
        remove_tree(folder)
    mark.unlink()
