"""A running sandbox as the app sees it: commands, Python with a memory, files in and out.

Speaks frames with the supervisor and believes nothing that comes back: sizes are bounded, results are decoded strictly,
time is kept on this side. Knows no backend and no tool.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox.inside.files import MAX_FILE
from fathom.tools.sandbox.inside.frames import CHUNK, HEADER, MAX_FRAME
from fathom.tools.sandbox.inside.supervisor import FLOOD_BYTES
from fathom.tools.sandbox.launch import Launch
from fathom.tools.sandbox.output import BoundedOutput
from fathom.tools.sandbox.settings import MIB, workspace_parts
from fathom.tools.sandbox.tree import remove_tree

START_S = 20.0
GRACE_S = 15.0
FILE_S = 300.0
_PIPE = 2**16
_REASONS = {
    "flood": f"[stopped: more than {FLOOD_BYTES // 2**20} MiB of output]",
    "memory": "[stopped: its processes and the files in memory took more than {memory} MiB together]",
    "files": "[stopped: it made too many files]",
    "disk": "[stopped: the workspace holds more than {disk} MiB; delete files that are not needed]",
    "cpu": "[stopped: it used up its processor time]",
}
_LOST = "The Python interpreter was ended: variables and imports are lost. Files in /workspace are kept."
_GONE = "The sandbox itself broke down, and its files and variables are lost. The next call gets a new one."


class SandboxFailed(ToolError):
    """The sandbox could not be started; the text is the last that it said."""


class _Reply(msgspec.Struct, frozen=True):
    ready: bool = False
    exit: int | None = None
    reason: str = ""
    lost: str = ""
    problem: str = ""
    size: int = 0


class _BrokenError(Exception):
    """The supervisor is gone, or sends what it never would."""


class SandboxSession:
    """Implements ``core.protocols.Sandbox``; made by ``start``. One request at a time, in the order asked."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        self._id = secrets.token_hex(4)
        self._process = process
        self._launch = launch
        self._turn = asyncio.Lock()
        self._broken = False

    @classmethod
    async def start(cls, launch: Launch) -> SandboxSession:
        """Start the supervisor and wait until it is ready. Raises SandboxFailed."""
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=launch.environment,
                cwd="/",
                pass_fds=tuple(launch.descriptors),
                start_new_session=True,  # Ctrl+C in a terminal is for the app
                **launch.as_user(),
            )
        except OSError as error:
            raise SandboxFailed(str(error)) from None
        finally:
            launch.close()
        session = cls(process, launch)
        try:
            async with asyncio.timeout(START_S):
                session._begin(launch.preface)
                session._send(b"C", msgspec.json.encode(launch.settings))
                reply = await session._reply(lambda _: None)
            if not reply.ready:
                raise _BrokenError
        except (_BrokenError, TimeoutError):
            await session._kill()
            raise SandboxFailed(await session._last_words()) from None
        except BaseException:
            await session._kill()
            raise
        return session

    @property
    def id(self) -> str:
        """A short random name."""
        return self._id

    @property
    def pid(self) -> int:
        """The process on this side that holds the sandbox."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it broke down or was closed."""
        return not self._broken and self._process.returncode is None

    @property
    def packages(self) -> tuple[str, ...]:
        """The Python packages that were put in."""
        return self._launch.packages

    async def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> SandboxResult:
        """Run a command in the workspace. When it ends, or is ended, all of its processes are gone.

        Cancelling ends it as well. Output past 64 MiB ends it.
        """
        return await self._ask(b"R", msgspec.json.encode({"argv": list(argv), "stdin": stdin}), timeout_s)

    async def python(self, code: str, *, timeout_s: float = 60.0) -> SandboxResult:
        """Run code in the interpreter that keeps its variables. A result's ``notes`` say when they were lost."""
        return await self._ask(b"P", code.encode("utf-8", "replace"), timeout_s)

    async def write_file(self, path: str, data: AsyncIterator[bytes]) -> int:
        """Write a new file below the workspace, making its folders; gives its size in bytes.

        Raises ToolError when the path lies outside, the file is there already, or there is no room.
        """
        parts = workspace_parts(path)

        async def send() -> None:
            self._send(b"W", msgspec.json.encode({"parts": parts}))
            ending = b"S"  # when ``data`` breaks off: the half file is taken away
            try:
                async for chunk in data:
                    for start in range(0, len(chunk), CHUNK):
                        self._send(b"D", chunk[start : start + CHUNK])
                        await self._drained()
                ending = b"E"
            finally:
                self._send(ending, b"")

        reply = await self._moved(send, lambda _: None)
        shown = "/".join(parts)
        if reply.problem == "exists":
            raise ToolError(f"there is already a file {shown} in the sandbox; choose another name")
        if reply.problem:
            raise ToolError(f"{shown} could not be written in the sandbox: {reply.problem}")
        return reply.size

    async def read_file(self, path: str, take: Callable[[bytes], object]) -> int:
        """Hand a regular file of the workspace to ``take``, piece by piece; gives its size in bytes.

        Raises ToolError when it is a link, a folder, a FIFO or a device, has other hard links or is too large; what
        ``take`` raises passes through.
        """
        parts = workspace_parts(path)
        size = 0
        failure: Exception | None = None

        def taken(chunk: bytes) -> None:
            nonlocal size, failure
            size += len(chunk)
            if size > MAX_FILE:
                raise _BrokenError
            if failure is None:  # after one the rest passes by, so that the sandbox can be used again
                try:
                    take(chunk)
                except Exception as error:
                    failure = error

        async def send() -> None:
            self._send(b"G", msgspec.json.encode({"parts": parts}))

        reply = await self._moved(send, taken)
        if failure is not None:
            raise failure
        if reply.problem:
            raise ToolError(f"{'/'.join(parts)} was not given out by the sandbox: {reply.problem}")
        return size

    async def close(self) -> None:
        """End all processes in it, and its files with them."""
        async with self._turn:
            if self.alive:
                assert self._process.stdin is not None
                self._process.stdin.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_S):
                        await self._process.wait()
            await self._kill()
        if self._launch.remove is not None:
            await asyncio.to_thread(remove_tree, self._launch.remove)

    # --- frames -------------------------------------------------------------------------------------------------

    async def _ask(self, kind: bytes, request: bytes, timeout_s: float) -> SandboxResult:
        started = time.monotonic()
        output = BoundedOutput()

        async def send() -> None:
            self._send(kind, request)

        reply, timed_out = await self._exchange(send, output.add, timeout_s)
        text = output.text()
        notes: list[str] = []
        if reply is None:
            notes.append(_GONE)
        elif reply.reason in _REASONS:
            settings = self._launch.settings
            memory, disk = settings["memory_bytes"] // MIB, settings["workspace_bytes"] // MIB
            text += "\n" + _REASONS[reply.reason].format(memory=memory, disk=disk)
        if reply is not None and reply.lost:
            notes.append(_LOST)
        return SandboxResult(
            output=text,
            exit_code=None if timed_out or reply is None else reply.exit,
            seconds=time.monotonic() - started,
            timed_out=timed_out,
            notes=tuple(notes),
        )

    async def _moved(self, send: Callable[[], Any], take: Callable[[bytes], object]) -> _Reply:
        """The reply to a file's request. Raises ToolError when there is none, or none in time."""
        reply, late = await self._exchange(send, take, FILE_S)
        if late:
            raise ToolError(f"moving the file took more than {FILE_S:.0f} s and was given up")
        if reply is None:
            raise ToolError(_GONE)
        return reply

    async def _exchange(
        self, send: Callable[[], Any], take: Callable[[bytes], object], timeout_s: float | None
    ) -> tuple[_Reply | None, bool]:
        """The reply (None when the sandbox broke down) and whether time ran out."""
        async with self._turn:
            if not self.alive:
                return None, False
            asked = asyncio.ensure_future(self._asked(send, take))
            try:
                done, _ = await asyncio.wait({asked}, timeout=timeout_s)
            except asyncio.CancelledError:
                await self._stopped(asked)
                raise
            if not done:
                return await self._stopped(asked), True
            try:
                return asked.result(), False
            except _BrokenError:
                await self._kill()
                return None, False

    async def _asked(self, send: Callable[[], Any], take: Callable[[bytes], object]) -> _Reply:
        sending = asyncio.ensure_future(send())
        try:
            reply = await self._reply(take)
            await sending  # what went wrong with it is told now: the reply has come, so the frames are in step
            return reply
        finally:
            sending.cancel()

    async def _stopped(self, asked: asyncio.Future[_Reply]) -> _Reply | None:
        """Stop what runs, and if that does not help, everything."""
        reply: _Reply | None = None
        try:
            self._send(b"S", b"")
            done, _ = await asyncio.wait({asked}, timeout=GRACE_S)
            if done and asked.exception() is None:
                reply = asked.result()
        finally:
            asked.cancel()
            if reply is None:
                await self._kill()
        return reply

    async def _reply(self, take: Callable[[bytes], object]) -> _Reply:
        assert self._process.stdout is not None
        try:
            while True:
                kind, size = HEADER.unpack(await self._process.stdout.readexactly(HEADER.size))
                if size > MAX_FRAME or kind not in (b"O", b"X"):
                    raise _BrokenError
                data = await self._process.stdout.readexactly(size)
                if kind == b"X":
                    return msgspec.json.decode(data, type=_Reply)
                take(data)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            raise _BrokenError from None

    def _begin(self, preface: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(preface)

    def _send(self, kind: bytes, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):  # the reply tells that it is gone
            self._process.stdin.write(HEADER.pack(kind, len(data)) + data)

    async def _drained(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.drain()

    async def _kill(self) -> None:
        """End the process on this side: process 1 of the namespace dies with it, and the kernel kills all others."""
        self._broken = True
        process = self._process
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError, asyncio.LimitOverrunError):
            async with asyncio.timeout(GRACE_S):
                while await process.stdout.read(_PIPE):  # it ends when process 1 is gone
                    pass
                await process.wait()

    async def _last_words(self) -> str:
        assert self._process.stderr is not None
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                said = await self._process.stderr.read(_PIPE)
        lines = [line[:300] for line in said.decode("utf-8", "replace").split("\n") if line.strip()]
        return "\n".join(lines[-8:]) or f"it ended with status {self._process.returncode}"


async def chunks_of(descriptor: int) -> AsyncIterator[bytes]:
    """The bytes of an open file, read in another thread."""
    while chunk := await asyncio.to_thread(os.read, descriptor, CHUNK):
        yield chunk


async def once(data: bytes) -> AsyncIterator[bytes]:
    """The bytes as they are."""
    yield data
