"""The sandbox of one run: made when it is first needed, kept until the run ends, replaced when it breaks down.

Keeps its id, whatever the model calls it, and how much running time is left. Knows no tool.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fathom.core.errors import ToolError
from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox.probe import PREFIX, SandboxState, self_test, trial_workspace
from fathom.tools.sandbox.session import SandboxSession
from fathom.tools.sandbox.settings import COMMAND_S, LONGEST_COMMAND_S, Limits
from fathom.tools.sandbox.tree import remove_tree

RUNNING_S = 600
_MARK = "sandbox"


class SandboxHolder:
    """At most one sandbox. ``state`` tells whether there can be one; ``id`` is the only id that there is."""

    def __init__(self, state: SandboxState, session_dir: Path, *, command_s: int = COMMAND_S) -> None:
        self.state = state
        self.id = secrets.token_hex(4)
        self.command_s = max(1, min(command_s, LONGEST_COMMAND_S))
        self._session_dir = session_dir
        self._session: SandboxSession | None = None
        self._left_s = 0.0
        self._running = asyncio.Lock()

    @classmethod
    async def open(cls, session_dir: Path, *, command_s: int = COMMAND_S) -> SandboxHolder:
        """Try the sandbox out, and delete what a killed app left; ``session_dir`` tells where that is."""
        await asyncio.to_thread(_remove_leftovers, session_dir)
        return cls(await self_test(), session_dir, command_s=command_s)

    @property
    def exists(self) -> bool:
        """Whether the sandbox has been made."""
        return self._session is not None

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages of the Python inside, as far as it has been made."""
        return self._session.packages if self._session is not None else self.state.packages

    async def create(self, running_s: int = RUNNING_S) -> SandboxSession:
        """Make the sandbox, or renew the running time of the one that is there. Raises ToolError when it is off."""
        session = await self._ready()
        self._left_s = float(running_s)
        return session

    async def find(self, sandbox_id: str) -> tuple[SandboxSession, str]:
        """The sandbox, and a remark when ``sandbox_id`` is not its id."""
        if self._session is None:
            session = await self.create()
            return session, f"There was no sandbox yet; it was created. Its sandbox_id is {self.id}."
        session = await self._ready()
        if sandbox_id != self.id:
            known = f"There is no sandbox {sandbox_id!r}" if sandbox_id else "No sandbox_id was given"
            return session, f"{known}; the one of this session was used. Its sandbox_id is {self.id}."
        return session, ""

    async def run(self, argv: Sequence[str], *, stdin: str = "") -> SandboxResult:
        """Run a command, one at a time. Raises ToolError when the running time is used up."""
        async with self._running:
            session = await self._in_time()
            return self._counted(await session.run(argv, stdin=stdin, timeout_s=min(self.command_s, self._left_s)))

    async def python(self, code: str) -> SandboxResult:
        """Run code in the Python that keeps its variables. Raises ToolError when the running time is used up."""
        async with self._running:
            session = await self._in_time()
            return self._counted(await session.python(code, timeout_s=min(self.command_s, self._left_s)))

    async def close(self) -> None:
        """End the sandbox and delete its files."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await asyncio.to_thread(_remove_leftovers, self._session_dir)

    async def _ready(self) -> SandboxSession:
        if not self.state.available:
            raise ToolError(f"there is no sandbox on this computer: {self.state.reason}")
        if self._session is not None and not self._session.alive:
            broken, self._session = self._session, None
            await broken.close()
        if self._session is None:
            try:
                self._session = await SandboxSession.start(
                    self.state.launch(self._make_workspace, Limits(command_s=self.command_s))
                )
            except OSError as error:
                raise ToolError(f"the sandbox could not be made: {error}") from None
        return self._session

    async def _in_time(self) -> SandboxSession:
        if self._session is None:
            raise ToolError("there is no sandbox; create one first")
        if self._left_s <= 0:
            raise ToolError("the sandbox has used up its running time; call create_sandbox again to renew it.")
        return await self._ready()

    def _counted(self, result: SandboxResult) -> SandboxResult:
        self._left_s -= result.seconds
        return result

    def _make_workspace(self) -> Path:
        # Not in the data folder, whose path would tell the user's name inside
        workspace = trial_workspace()
        _remove_leftovers(self._session_dir)
        self._session_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._session_dir / _MARK).symlink_to(workspace.parent)  # so that it is found again when the app is killed
        return workspace


def _remove_leftovers(session_dir: Path) -> None:
    mark = session_dir / _MARK
    if not mark.is_symlink():
        return
    folder = mark.readlink()
    if folder.name.startswith(PREFIX) and folder.parent == Path(tempfile.gettempdir()):
        remove_tree(folder)
    mark.unlink()
