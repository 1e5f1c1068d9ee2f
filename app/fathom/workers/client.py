"""The parent's side of the engine's process: an Engine that streams, cancels, and knows when its process is gone.

Knows no model and loads no native library. Works on any asyncio loop of the main thread, the window's included.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from fathom.core.errors import EngineDied, EngineError
from fathom.core.events import EngineEvent, GenerationFinished, RowFinished
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message
from fathom.core.watchdog import watched, within
from fathom.workers import wire

LINE_LIMIT_BYTES = 64 << 20
STDERR_LINES = 40
CLOSE_TIMEOUT_S = 2.0
FIRST_SIGN_S = 600.0  # for the first sign of life of a generation, and for a count: a prompt's progress is one
NEXT_SIGN_S = 180.0  # between two signs of life
EXIT_TIMEOUT_S = 0.3  # between the end of its output and the end of a process

T = TypeVar("T")

_PASSED = frozenset(
    re.findall(
        r"\w+",
        """
        PATH HOME LANG LANGUAGE TZ TMPDIR TEMP TMP FATHOM_HOME PYTHONPATH PYTHONHOME VIRTUAL_ENV LD_LIBRARY_PATH
        DYLD_LIBRARY_PATH SYSTEMROOT WINDIR COMSPEC USERPROFILE APPDATA LOCALAPPDATA CUDA_PATH CUDA_VISIBLE_DEVICES
        HIP_VISIBLE_DEVICES XDG_DATA_HOME XDG_RUNTIME_DIR
        """,
    )
)
_PASSED_PREFIXES = ("LC_", "OMP_", "GOMP_", "GGML_", "VK_")


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a worker may see of the environment: where things are, no keys."""
    source = os.environ if environment is None else environment
    kept = {
        name: value
        for name, value in source.items()
        if name.upper() in _PASSED or name.upper().startswith(_PASSED_PREFIXES)
    }
    return kept | {"PYTHONFAULTHANDLER": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def worker_command(role: str) -> list[str]:
    """The command of a worker: this Python, or this program when it is frozen."""
    module = [] if getattr(sys, "frozen", False) else ["-m", "fathom"]
    return [sys.executable, *module, "worker", role]


class EngineClient:
    """core.protocols.Engine over a child process. Made by :meth:`start`; belongs to one event loop."""

    def __init__(self, process: asyncio.subprocess.Process, notices: Sequence[str] = ()) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Queue[wire.Reply | None]] = {}
        self._turn = asyncio.Lock()
        self._stderr_lines: deque[str] = deque(maxlen=STDERR_LINES)
        self._info: EngineInfo | None = None
        self._notices = tuple(notices)
        self._closing = False
        self._hung_s = 0.0  # how long it was silent before it was ended for that
        self._lines_read = 0
        self.first_sign_s = FIRST_SIGN_S
        self.next_sign_s = NEXT_SIGN_S
        self.died = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read_stderr(), name="engine stderr"),
            asyncio.create_task(self._read_replies(), name="engine replies"),
        ]

    @classmethod
    async def start(
        cls,
        spec: EngineSpec,
        *,
        on_progress: Callable[[float], None] | None = None,
        threads: int = 0,
        notices: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> EngineClient:
        """Start a process and load ``spec`` in it; ``on_progress`` gets 0 to 1. ``threads`` 0: one per core.

        ``notices`` are added to the engine's own in ``info``.

        Raises ModelFileError, EngineMissing, or EngineError when the model cannot be loaded, and EngineDied when the
        process ends meanwhile. Cancelling this ends the process.
        """
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = 0x08000000  # CREATE_NO_WINDOW
        else:
            options["start_new_session"] = True  # Ctrl-C in a terminal is the parent's
        process = await asyncio.create_subprocess_exec(
            *(command or worker_command("engine")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(),
            close_fds=True,
            limit=LINE_LIMIT_BYTES,
            **options,
        )
        client = cls(process, notices)
        try:
            await client._load(wire.Load(spec=spec, threads=threads), on_progress)
        except BaseException:
            await client.close()
            raise
        return client

    async def _load(self, message: wire.Load, on_progress: Callable[[float], None] | None) -> None:
        replies = self._expect(0)
        await self._send(message)
        while True:
            reply = await self._receive(replies)
            if isinstance(reply, wire.Loading) and on_progress is not None:
                on_progress(reply.done)
            elif isinstance(reply, wire.Failed):
                raise reply.error()
            elif isinstance(reply, wire.Ready):
                self._info = msgspec.structs.replace(reply.info, notices=(*reply.info.notices, *self._notices))
                del self._pending[0]
                return

    # --- Engine ---------------------------------------------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        """What the loaded engine says of itself."""
        assert self._info is not None
        return self._info

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def stderr_tail(self) -> str:
        """The last lines that the process wrote to stderr."""
        return "\n".join(self._stderr_lines)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """As Engine.generate; a second generation waits for the first. Closing it early cancels it in the process."""
        message = wire.Generate(id=next(self._ids), request=request)
        async with contextlib.aclosing(self._stream(message)) as replies:
            async for reply in replies:
                if isinstance(reply, wire.Generated):
                    yield reply.event
                    if isinstance(reply.event, GenerationFinished):
                        return

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """As Engine.count_tokens. Raises EngineDied when the process is gone."""
        number = next(self._ids)
        replies = self._expect(number)
        try:
            asked = wire.CountTokens(id=number, messages=tuple(messages))
            await self._patiently(self._send(asked), self.first_sign_s)
            reply = await self._patiently(self._receive(replies), self.first_sign_s)
        finally:
            self._pending.pop(number, None)
        if isinstance(reply, wire.Failed):
            raise reply.error()
        if not isinstance(reply, wire.Counted):
            raise EngineError(f"the engine answered {type(reply).__name__} to a count")
        return reply.tokens

    # --- beyond Engine: training, evaluation --------------------------------------------------------------------------

    async def generate_batch(
        self, requests: Sequence[GenerateRequest], width: int = 8
    ) -> AsyncGenerator[RowFinished, None]:
        """Run all ``requests`` together, at most ``width`` in the same step; yields each row as it ends.

        Closing it early cancels it in the process; it waits for a generation that runs. Raises EngineError when one of
        them does not fit or has a grammar, before any is computed; EngineDied when the process is gone.
        """
        message = wire.GenerateBatch(id=next(self._ids), requests=tuple(requests), width=width)
        async with contextlib.aclosing(self._stream(message)) as replies:
            async for reply in replies:
                if isinstance(reply, wire.RowEnded):
                    yield reply.row

    async def score(
        self,
        messages: Sequence[Message],
        *,
        prefill: str = "",
        text: str = "",
        ids: Sequence[int] = (),
        exact: bool = False,
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """(ids, their log-probabilities in nats) of ``text``, or of ``ids``, as the assistant's next words.

        ``exact``: token by token, as a generation computes, and as slow. Raises EngineError when the text does not fit,
        or the backend cannot; EngineDied when the process is gone. Cancelling it stops it in the process.
        """
        reply = await self._ask(
            wire.Score(
                id=next(self._ids), messages=tuple(messages), prefill=prefill, text=text, ids=tuple(ids), exact=exact
            )
        )
        assert isinstance(reply, wire.Scored)
        return reply.ids, reply.logprobs

    async def use_adapter(self, path: str) -> None:
        """Compute with the LoRA adapter at ``path`` from now on, "" for none; the model is not loaded again.

        Raises ModelFileError for a bad one; what was on then stays on.
        """
        await self._ask(wire.UseAdapter(id=next(self._ids), path=path))

    async def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on, after the generation that runs; 0 for the backend's own choice."""
        await self._ask(wire.UseThreads(id=next(self._ids), threads=threads))

    async def _stream(self, message: wire.Generate | wire.GenerateBatch) -> AsyncGenerator[wire.Reply, None]:
        """The replies to ``message``, watched, until the last one; whoever closes it before that cancels it."""
        async with self._turn:
            replies = self._expect(message.id)
            finished = False
            stack = contextlib.ExitStack()
            try:
                begun, waits = False, False
                await self._patiently(self._send(message), self.first_sign_s)
                stack.enter_context(
                    watched(
                        lambda: self.next_sign_s if begun else self.first_sign_s,
                        lambda: self._lines_read if waits else object(),  # whoever reads may take their time
                        lambda: self._end_hung(self.next_sign_s if begun else self.first_sign_s),
                    )
                )
                while not finished:
                    waits = True
                    reply = await self._receive(replies)
                    begun, waits = True, False
                    finished = isinstance(reply, (wire.Failed, wire.Done)) or (
                        isinstance(reply, wire.Generated) and isinstance(reply.event, GenerationFinished)
                    )
                    if isinstance(reply, wire.Failed):
                        raise reply.error()
                    yield reply
            finally:
                stack.close()
                self._pending.pop(message.id, None)
                if not finished and not self.died.is_set():
                    # Not awaited: a closing generator must not wait. The process reads it between two tokens.
                    self._stdin.write(wire.encode(wire.Cancel(id=message.id)) + b"\n")

    async def _ask(self, message: wire.Request) -> wire.Reply:
        """One request that has one reply."""
        replies = self._expect(message.id)
        answered = False
        try:
            await self._send(message)
            reply = await self._receive(replies)
            answered = True
        finally:
            self._pending.pop(message.id, None)
            if not answered and not self.died.is_set():
                self._stdin.write(wire.encode(wire.Cancel(id=message.id)) + b"\n")
        if isinstance(reply, wire.Failed):
            raise reply.error()
        return reply

    async def close(self) -> None:
        """End the process: ask first, kill after two seconds. Safe to call twice."""
        self._closing = True
        if self._process.returncode is None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                self._stdin.write(wire.encode(wire.Close()) + b"\n")
                self._stdin.close()
            await self._end_within(CLOSE_TIMEOUT_S)
        await asyncio.gather(*self._tasks)

    def kill(self) -> None:
        """End the process at once; whoever waits for it gets EngineDied."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._process.kill()
            else:  # asyncio's own kill polls first, and so takes the exit status away from asyncio's child watcher
                os.kill(self._process.pid, signal.SIGKILL)

    async def wait_died(self) -> None:
        """Wait until the process is gone, for whatever reason."""
        await self.died.wait()

    # --- the pipe -------------------------------------------------------------------------------------------------

    def _expect(self, number: int) -> asyncio.Queue[wire.Reply | None]:
        replies: asyncio.Queue[wire.Reply | None] = asyncio.Queue()
        self._pending[number] = replies
        return replies

    async def _send(self, message: wire.Request) -> None:
        if self.died.is_set():
            raise self._death()
        try:
            self._stdin.write(wire.encode(message) + b"\n")
            await self._stdin.drain()
        except (ConnectionError, RuntimeError):  # RuntimeError: the transport is closed already
            await self.died.wait()
            raise self._death() from None

    async def _receive(self, replies: asyncio.Queue[wire.Reply | None]) -> wire.Reply:
        if self.died.is_set() and replies.empty():
            raise self._death()
        reply = await replies.get()
        if reply is None:
            raise self._death()
        return reply

    async def _patiently(self, work: Awaitable[T], patience_s: float) -> T:
        """The result of ``work``, or EngineDied when the process says nothing at all for so long: it is then ended."""
        try:
            return await within(work, patience_s, lambda: self._lines_read)
        except TimeoutError:
            self._end_hung(patience_s)
            await self.died.wait()
            raise self._death() from None

    def _end_hung(self, patience_s: float) -> None:
        """End a process that has been silent for too long; whoever waits for it is told so."""
        self._hung_s = patience_s
        self.kill()

    async def _end_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _death(self) -> EngineDied:
        code = self._process.returncode
        if self._hung_s:
            return EngineDied(
                f"The engine gave no sign of life for {self._hung_s:g} s, so it was ended.", self.stderr_tail
            )
        if self._closing:
            how = "it was closed"
        elif code is not None and code < 0:
            how = f"it was ended by {_signal_name(-code)}"
        else:
            how = f"exit code {code}"
        return EngineDied(f"The engine's process is gone: {how}.", self.stderr_tail)

    async def _read_replies(self) -> None:
        try:
            while line := await self._stdout.readline():
                self._lines_read += 1
                reply = wire.decode_reply(line)
                waiting = self._pending.get(reply.id)
                if waiting is not None:
                    waiting.put_nowait(reply)
        except (msgspec.MsgspecError, ValueError) as error:
            self._stderr_lines.append(f"the engine's process sent a line that cannot be read: {error}")
        finally:
            # The pipe is closed, or holds nonsense: either way this process is of no more use.
            await self._end_within(EXIT_TIMEOUT_S)
            await asyncio.wait({self._tasks[0]}, timeout=0.5)  # a grandchild may hold stderr open
            self.died.set()
            for waiting in self._pending.values():
                waiting.put_nowait(None)

    async def _read_stderr(self) -> None:
        while line := await self._stderr.readline():
            self._stderr_lines.append(line.decode("utf-8", errors="replace").rstrip()[:2000])


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (out of memory, or ended from outside)" if name == "SIGKILL" else name
