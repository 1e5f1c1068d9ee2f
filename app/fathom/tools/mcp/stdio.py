"""A server as a child process: JSON lines over its pipes, with everything that it writes held within bounds.

The SDK's own transport reads a line of any length; this one gives up on a server that floods. The child gets the SDK's
minimal environment and what the person wrote for it, never Fathom's keys. It leads a process group, which ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio
import mcp_types
from mcp.client._transport import TransportStreams
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

MAX_LINE_BYTES = 16 << 20
MAX_STRAY_LINES = 1000
TAIL_LINES = 12
_CHUNK = 1 << 16
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ")
_GRACE_S = 1.0


class ChildLog:
    """What a child said besides the protocol: the last lines of stderr, stray lines on stdout, how it ended."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=TAIL_LINES)
        self.stray = 0
        self.ending = ""

    def add(self, line: bytes) -> None:
        """Keep a line, cut."""
        text = line[:400].decode("utf-8", "replace").strip()
        if text:
            self.lines.append(text)

    def tail(self, limit: int = 500) -> str:
        """The end of it."""
        return "\n".join(self.lines)[-limit:]


def child_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Where things are, and what the person wrote for this server."""
    places = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return get_default_environment() | places | dict(given)


@contextlib.asynccontextmanager
async def child_process(
    command: Sequence[str], env: Mapping[str, str], log: ChildLog, on_end: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """The streams of a fresh child; ``on_end`` is called when its output ends. Raises OSError when it cannot start."""
    options: dict[str, Any] = (
        {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}  # CREATE_NO_WINDOW
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(env),
        close_fds=True,
        **options,
    )
    to_session, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_stream, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    errors = asyncio.create_task(_read_errors(process, log), name="mcp stderr")
    tasks = [
        asyncio.create_task(_read(process, to_session, log, errors, on_end), name="mcp stdout"),
        asyncio.create_task(_write(process, from_session), name="mcp stdin"),
        errors,
    ]
    try:
        yield read_stream, write_stream
    finally:
        try:
            await _end(process)
        finally:
            _kill(process)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await process.wait()
            process._transport.close()  # type: ignore[attr-defined]  # a grandchild may hold its pipes open
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (to_session, read_stream, write_stream, from_session):
                stream.close()


async def _read(
    process: asyncio.subprocess.Process,
    to_session: Any,
    log: ChildLog,
    errors: asyncio.Task[None],
    on_end: Callable[[], None],
) -> None:
    assert process.stdout is not None
    waiting = bytearray()
    try:
        while chunk := await process.stdout.read(_CHUNK):
            waiting += chunk
            *lines, rest = waiting.split(b"\n") if b"\n" in chunk else [waiting]
            waiting = bytearray(rest)
            for line in lines:
                await _deliver(bytes(line), to_session, log)
            if len(waiting) > MAX_LINE_BYTES:
                log.ending = f"it wrote a line of more than {MAX_LINE_BYTES >> 20} MB"
                return
            if log.stray > MAX_STRAY_LINES:
                log.ending = f"it wrote more than {MAX_STRAY_LINES} lines that are not of the protocol"
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        await asyncio.wait({errors}, timeout=_GRACE_S)  # its last words
        if not log.ending:
            log.ending = _ending(process.returncode)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return  # the session has gone first
    finally:
        to_session.close()
        on_end()


async def _deliver(line: bytes, to_session: Any, log: ChildLog) -> None:
    if not line.strip():
        return
    try:
        message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:  # a print in the server's code; what is meant for people is kept for people
        log.stray += 1
        log.add(line)
        return
    await to_session.send(SessionMessage(message))


async def _write(process: asyncio.subprocess.Process, from_session: Any) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for sent in from_session:
            text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()


async def _read_errors(process: asyncio.subprocess.Process, log: ChildLog) -> None:
    assert process.stderr is not None
    waiting = b""
    while chunk := await process.stderr.read(_CHUNK):
        *lines, waiting = (waiting + chunk).split(b"\n")
        for line in lines[-TAIL_LINES:]:
            log.add(line)
        waiting = waiting[-_CHUNK:]
    log.add(waiting)


async def _end(process: asyncio.subprocess.Process) -> None:
    """As the protocol wants it: close its input, and give it a moment."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """What is left of the child and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _ending(status: int | None) -> str:
    if status is None:
        return "it closed its output"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    return f"it ended with status {status}"
