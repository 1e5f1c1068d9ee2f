"""The parser of hostile files, in a process that can be killed: attribute bombs, broken PDFs, endless nesting.

The client starts the process when it is first needed, keeps it warm, and kills it on a time-out; the next file gets a
new one. The child has no variables of the environment beyond those that Python needs to start, and limited memory.
Knows nothing of the network or the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from fathom.core import registry
from fathom.core.errors import ScannedError, ToolError
from fathom.core.protocols import Document, FileKind
from fathom.tools.extract import EXTRACTORS
from fathom.workers.client import worker_command
from fathom.workers.host import Channel

TIMEOUT_S = 20.0
CPU_SECONDS = 5.0  # for a page of 1 MB; a busy computer does not count
MEMORY_BYTES = 1536 * 2**20
_IDLE_S = 20.0
_EXIT_S = 1.0  # between the end of its output and the end of a process
_LINE_LIMIT = 64 * 2**20
_NEEDED = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


class ParseRequest(msgspec.Struct, frozen=True):
    """One file. ``data`` travels as base64."""

    data: bytes
    kind: FileKind
    url: str = ""
    charset: str = ""


class ParseReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document, or why there is none; ``scanned`` when OCR could read it."""

    document: Document | None = None
    error: str = ""
    scanned: bool = False


_decode_request = msgspec.json.Decoder(ParseRequest).decode
_decode_reply = msgspec.json.Decoder(ParseReply).decode


# --- in the child -------------------------------------------------------------------------------------------------


def serve(channel: Channel, argv: list[str]) -> int:
    """Parse files until the parent closes the pipe. Bugs in a parsing library are told as errors of the file."""
    limit_memory()
    for line in channel.lines():
        channel.send(msgspec.json.encode(_reply(line)))
    return 0


def _reply(line: bytes) -> ParseReply:
    try:
        return ParseReply(document=parse(_decode_request(line)))
    except ToolError as error:
        return ParseReply(error=str(error), scanned=isinstance(error, ScannedError))
    except MemoryError:
        return ParseReply(error=f"it needs more than {MEMORY_BYTES // 2**20} MB of memory to be read")
    except RecursionError:
        return ParseReply(error="it is nested too deeply to be read")
    except Exception as error:  # hostile input finds the bugs of parsing libraries; the file is unreadable, no more
        return ParseReply(error=f"it cannot be read ({type(error).__name__}: {str(error)[:200]})")


def parse(request: ParseRequest) -> Document:
    """Extract in this process. Raises ToolError."""
    try:
        extract = registry.load(EXTRACTORS, request.kind, "kind of file")
    except registry.UnknownNameError as error:
        raise ToolError(f"it cannot be read: {error}") from None
    with _limited_time(cpu_seconds(request.kind, len(request.data))):
        document: Document = extract(request.data, request.url, request.charset)
    return document


def cpu_seconds(kind: FileKind, size: int) -> float:
    """How long a file may be computed on: several times what a page of its size takes; 0: only the clock counts."""
    return CPU_SECONDS + 2.0 * max(size / 2**20 - 1, 0) if kind == "html" else 0.0


@contextlib.contextmanager
def _limited_time(seconds: float) -> Iterator[None]:
    """End this process when the block computes for longer. By the kernel: native code hears no handler of Python's."""
    if not seconds or sys.platform == "win32":
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_memory() -> None:
    """Let this process take no more memory than MEMORY_BYTES, and leave no core file."""
    if sys.platform == "win32":
        return  # no such limit there; the time limit still holds
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# --- in the parent ------------------------------------------------------------------------------------------------


class ParserClient:
    """Implements ``core.protocols.Parser``: one file at a time, in one child. ``await close()`` at the end.

    An idle child is ended after 20 seconds, to give its memory back.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid if self._process is not None else None

    async def parse(self, data: bytes, kind: FileKind, url: str = "", charset: str = "") -> Document:
        """See ``core.protocols.Parser``. Cancelling kills the child."""
        request = msgspec.json.encode(ParseRequest(data, kind, url, charset)) + b"\n"
        async with self._turn:
            self._stop_idle_timer()
            finished, ended = False, ""
            try:
                async with asyncio.timeout(self._timeout_s):
                    line = await self._ask(request)
                finished = bool(line)
            except TimeoutError:
                raise ToolError(
                    f"the {kind} file took longer than {self._timeout_s:g} s to read and was given up"
                ) from None
            finally:
                if finished:
                    self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._kill)
                else:
                    ended = await self._end()
        if not line and ended == "SIGPROF":
            raise ToolError(f"the {kind} file took longer to compute on than any page does, and was given up")
        if not line:
            raise ToolError(f"the {kind} file ended the process that read it; it is broken or hostile")
        reply = _decode_reply(line)
        if reply.document is None:
            raise ScannedError(reply.error) if reply.scanned else ToolError(reply.error)
        return reply.document

    async def close(self) -> None:
        """End the child. The client can be used again afterwards."""
        async with self._turn:
            self._stop_idle_timer()
            await self._end()

    async def _ask(self, request: bytes) -> bytes:
        """The reply's line, b"" when the child died."""
        process = self._process
        if process is None or process.returncode is not None:
            await self._end()
            process = self._process = await _start()
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(request)
            await process.stdin.drain()
        try:
            return await process.stdout.readline()
        except ValueError:  # longer than the limit of the stream
            raise ToolError("the file holds more than 64 MB of text and was given up") from None

    async def _end(self) -> str:
        """End the child; the name of the signal that had ended it before, "" for none."""
        process, self._process = self._process, None
        if process is None:
            return ""
        assert process.stdin is not None and process.stdout is not None
        if process.returncode is None and process.stdout.at_eof():  # it has ended: its status is on the way
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_S):
                    await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        process.stdin.close()
        await process.stdout.read()
        code = await process.wait()
        return signal.Signals(-code).name if code < 0 else ""

    def _kill(self) -> None:
        self._idle = None
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _stop_idle_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


async def _start() -> asyncio.subprocess.Process:
    options: dict[str, Any] = (
        {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}
    )  # CREATE_NO_WINDOW; Ctrl-C in a terminal is the parent's
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    return await asyncio.create_subprocess_exec(
        *worker_command("parser"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment | {"PYTHONUTF8": "1"},
        close_fds=True,
        limit=_LINE_LIMIT,
        **options,
    )
