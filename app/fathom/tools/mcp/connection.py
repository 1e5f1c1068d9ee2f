"""One server for the whole app: started at the first use, kept, and started again with back-off after it failed.

Its crash or silence is a ToolError that says so, never more. The SDK's client lives in a task of its own, since its
scopes belong to one task; calls come from any. Knows no permission and no run.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import time
from collections.abc import Callable
from hashlib import sha256
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fathom.core.errors import ToolError
from fathom.core.redaction import redact
from fathom.core.settings import McpServer
from fathom.core.types import Struct
from fathom.tools.mcp.schemas import MAX_DESCRIPTION, PlainSchema, plain_schema, plain_text, restored

if TYPE_CHECKING:
    from mcp import Client

    from fathom.tools.mcp.session import ForeignTool
    from fathom.tools.mcp.stdio import ChildLog

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
_PATIENCE_S = 5.0  # so long a call waits for the next start; for longer it says when
_SIGN_OF_LIFE_S = 5.0
_GOODBYE_S = 5.0
_LONGEST_NAME = 64


class RemoteTool(Struct, frozen=True):
    """A server's tool as it is offered; ``problem`` says why it is not."""

    name: str
    remote: str
    description: str = ""
    schema: PlainSchema = PlainSchema(parameters={})
    problem: str = ""

    @property
    def fingerprint(self) -> str:
        """Another one when the server describes the tool in another way."""
        return sha256(msgspec.json.encode((self.description, self.schema))).hexdigest()[:16]


class ConnectionState(Struct, frozen=True):
    """For people. ``message`` says what went wrong."""

    kind: Literal["idle", "starting", "ready", "failed"] = "idle"
    message: str = ""
    tools: tuple[RemoteTool, ...] = ()


class Connection:
    """``server`` holds its secrets in place. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        server: McpServer,
        *,
        on_change: Callable[[], None] = lambda: None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self.name = name
        self.server = server
        self.state = ConnectionState()
        self._on_change = on_change
        self._first_wait_s = first_wait_s
        self._turn = asyncio.Lock()
        self._owner: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._stop = asyncio.Event()
        self._log: ChildLog | None = None
        self._failures = 0
        self._not_before = 0.0

    async def tools(self) -> tuple[RemoteTool, ...]:
        """What the server offers now; starts it. Raises ToolError when it cannot be had."""
        client = await self._connected()
        sdk = await _sdk()
        try:
            found = await sdk.tools_of(client, self.server.start_timeout_s)
        except sdk.ServerGone as gone:
            raise ToolError(await self._ended(str(gone))) from None
        except sdk.ServerLate:
            raise ToolError(await self._ended(f"did not list its tools in {self.server.start_timeout_s:g} s")) from None
        self._say("ready", tools=_offered(self.name, found))
        return self.state.tools

    async def call(self, tool: RemoteTool, arguments: dict[str, Any]) -> str:
        """The result's text. Raises ToolError: what the server says is wrong, its crash, its silence."""
        arguments = restored(arguments, tool.schema.free)
        client = await self._connected()
        sdk = await _sdk()
        try:
            answer = await sdk.call(client, tool.remote, arguments, self.server.call_timeout_s)
        except sdk.ServerGone as gone:
            why = await self._ended(str(gone))
            raise ToolError(f"{why} This call brought nothing. The next call starts it again.") from None
        except sdk.ServerLate:
            raise ToolError(await self._silence(client)) from None
        self._failures = 0
        text: str = answer.text
        if answer.is_error:
            raise ToolError(f"{self.name} could not do it: {redact(text)[:2000] or 'it gave no reason'}")
        return text

    def forgive(self) -> None:
        """Let the next start be at once: a person asks for it."""
        self._failures, self._not_before = 0, 0.0

    async def close(self) -> None:
        """End the server. It starts again at the next use."""
        owner, self._owner, self._client = self._owner, None, None
        self._stop.set()
        if owner is not None:
            await _finished(owner)
        self._failures, self._not_before = 0, 0.0
        self._say("idle", tools=self.state.tools)

    # --- inside ---------------------------------------------------------------------------------------------------

    async def _connected(self) -> Client:
        async with self._turn:
            if self._client is not None and not self._stop.is_set():
                return self._client
            wait_s = self._not_before - time.monotonic()
            if wait_s > _PATIENCE_S:
                raise ToolError(
                    f"{self._whole(self.state.message)} It is started again in {wait_s:.0f} s at the earliest."
                )
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            return await self._start()

    async def _start(self) -> Client:
        await self._end_owner()
        self._say("starting", tools=self.state.tools)
        sdk = await _sdk()
        self._stop = asyncio.Event()
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(sdk, ready, self._stop), name=f"mcp {self.name}")
        seconds = self.server.start_timeout_s
        try:
            async with asyncio.timeout(seconds):
                started: set[asyncio.Future[Any]] = {ready, self._owner}
                await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self._end_owner()
            raise ToolError(self._failed(f"did not start in {seconds:g} s")) from None
        except asyncio.CancelledError:  # the run was stopped meanwhile
            await self._end_owner()
            self._say("idle")
            raise
        if not ready.done():
            error = self._owner.exception()
            raise ToolError(self._failed(_cause(error) if error is not None else "")) from None
        self._client = ready.result()
        return self._client

    async def _own(self, sdk: ModuleType, ready: asyncio.Future[Client], stop: asyncio.Event) -> None:
        """Holds the client open until it is told to stop, or the server's output ends."""
        from fathom.tools.mcp.stdio import ChildLog

        self._log = ChildLog()
        async with sdk.opened(self.server, self._log, stop.set) as client:
            ready.set_result(client)
            await stop.wait()
        if self._owner is asyncio.current_task():  # nobody asked for it
            self._failed("")

    async def _end_owner(self) -> None:
        owner, self._owner, self._client = self._owner, None, None
        if owner is not None:
            owner.cancel()
            await _finished(owner)

    async def _ended(self, why: str) -> str:
        """The server has gone, or is given up: end it, and say how it was."""
        self._stop.set()
        if self._owner is not None:
            await asyncio.wait({self._owner}, timeout=_SIGN_OF_LIFE_S)
        failed = self.state.kind == "failed"
        await self._end_owner()
        return self._whole(self.state.message) if failed and not why else self._failed(why)

    async def _silence(self, client: Client) -> str:
        """After a time-out: a server that does not even list its tools is ended."""
        late = f"{self.name} did not answer in {self.server.call_timeout_s:g} s, and the call was withdrawn."
        sdk = await _sdk()
        try:
            await sdk.tools_of(client, _SIGN_OF_LIFE_S)
        except (sdk.ServerLate, sdk.ServerGone, ToolError):
            await self._ended("stopped answering")
            return f"{late} It gave no sign of life and was ended; the next call starts it again."
        return f"{late} It is still at work on other things; ask for less, or go on without it."

    def _failed(self, why: str) -> str:
        """Note a failure, and how long to wait before the next start; returns a sentence."""
        log = self._log
        told = why or (f"stopped: {log.ending}" if log is not None and log.ending else "closed the connection")
        tail = redact(log.tail()) if log is not None else ""
        message = f"{told}. It said: {plain_text(tail, 400)}" if tail else told
        self._failures += 1
        self._not_before = time.monotonic() + min(LONGEST_WAIT_S, self._first_wait_s * 2 ** (self._failures - 1))
        self._say("failed", message, self.state.tools)
        return self._whole(message)

    def _whole(self, message: str) -> str:
        return f"{self.name} {message}" + ("" if message.endswith((".", "…")) else ".")

    def _say(self, kind: Any, message: str = "", tools: tuple[RemoteTool, ...] = ()) -> None:
        self.state = ConnectionState(kind=kind, message=message, tools=tools)
        self._on_change()


async def _finished(owner: asyncio.Task[None]) -> None:
    """Wait for its end; a server that does not even say goodbye is cut off."""
    for _ in range(2):
        done, _ = await asyncio.wait({owner}, timeout=_GOODBYE_S)
        if done:
            break
        owner.cancel()
    if owner.done() and not owner.cancelled():
        owner.exception()  # it has been told already


async def _sdk() -> Any:
    """The module that speaks through the SDK; loaded in a thread, so that a window goes on meanwhile."""
    return await asyncio.to_thread(importlib.import_module, "fathom.tools.mcp.session")


def _offered(server: str, found: tuple[ForeignTool, ...]) -> tuple[RemoteTool, ...]:
    """Tools under names of ours, no two alike, with schemas that can be held."""
    tools: dict[str, RemoteTool] = {}
    for tool in found:
        room = _LONGEST_NAME - len(server) - 2
        short = re.sub(r"[^A-Za-z0-9_-]+", "_", tool.name).strip("_")[:room] or "tool"
        name, number = f"{server}__{short}", 2
        while name in tools:
            name, number = f"{server}__{short[: room - 3]}_{number}", number + 1
        told = plain_text(tool.description, MAX_DESCRIPTION)
        try:
            tools[name] = RemoteTool(name=name, remote=tool.name, description=told, schema=plain_schema(tool.schema))
        except ToolError as error:
            tools[name] = RemoteTool(name=name, remote=tool.name, description=told, problem=str(error))
    return tuple(tools.values())


def _cause(error: BaseException) -> str:
    """What a person reads of an error that kept a server from starting."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"cannot be started: there is no program {str(error.filename)!r}"
    if isinstance(error, PermissionError):
        return f"cannot be started: {str(error.filename)!r} is no program that may be run"
    said = plain_text(str(error), 200) or type(error).__name__
    return "" if said == "Connection closed" else f"cannot be reached: {said}"
