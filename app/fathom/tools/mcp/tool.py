"""A tool of another program in one run: asks for leave, calls, and picks from the result what fits.

Its result is a source like any other: passages under ``mcp://server/tool`` that a report can cite.
"""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import Any

from fathom.core.errors import ToolError
from fathom.core.protocols import ToolResult
from fathom.core.settings import McpPermission
from fathom.core.types import Passage, ToolSpec
from fathom.tools.context import ToolContext
from fathom.tools.extract.select import select
from fathom.tools.mcp.connection import Connection, RemoteTool
from fathom.tools.search.panel import Refused
from fathom.tools.seen import addresses_in

MAX_ARGUMENTS = 100_000
_ROOM_FOR_HEAD = 200


class McpTool:
    """Satisfies ``tools.context.OfferedTool``. ``host``: where a server at an address is, "" for a child process."""

    def __init__(
        self, context: ToolContext, connection: Connection, tool: RemoteTool, permission: McpPermission, host: str = ""
    ) -> None:
        self._context = context
        self._connection = connection
        self._tool = tool
        self._permission = permission
        self._host = host

    def unavailable(self) -> str:
        """Always on: what is not offered makes no tool."""
        return ""

    def off_by_choice(self) -> bool:
        """No: one that may never be used makes no tool."""
        return False

    def offered(self) -> bool:
        """In every turn."""
        return True

    def spec(self, *, now: bool) -> ToolSpec:
        """The rebuilt schema; without what is not required where profiles are compact."""
        parameters = self._tool.schema.parameters
        if self._context.compact:
            required = parameters["required"]
            held = {name: part for name, part in parameters["properties"].items() if name in required}
            parameters = parameters | {"properties": held}
        about = self._tool.description or "It has no description."
        return ToolSpec(name=self._tool.name, description=about, parameters=parameters, server=self._connection.name)

    async def call(self, arguments: dict[str, Any]) -> ToolResult:
        """Raises ToolError when there is no leave, or the server did not do it."""
        written = json.dumps(arguments, ensure_ascii=False)
        if len(written) > MAX_ARGUMENTS:
            raise ToolError(f"the arguments are longer than {MAX_ARGUMENTS:,} characters")
        missing = [name for name in self._tool.schema.parameters["required"] if name not in arguments]
        if missing:
            wanted = ", ".join(self._tool.schema.parameters["properties"])
            raise ToolError(f"{self._tool.name} needs {', '.join(missing)}. It takes: {wanted}.")
        await self._leave(written)
        if self._host:
            self._context.gate.contacted(self._host, "tool")
        text = await self._connection.call(self._tool, arguments)
        # Long results take a while to rank; the window must not wait for it
        return await asyncio.to_thread(self._result, text, written)

    async def _leave(self, written: str) -> None:
        remote_and_asking = bool(self._host) and self._context.scope.ask
        if self._permission == "never":
            raise ToolError(f"{self._tool.name} may not be used: it is switched off in the settings")
        if self._permission == "ask" or remote_and_asking:
            try:
                await self._context.gate.tool(self._connection.name, self._tool.remote[:80], written)
            except Refused as refusal:
                raise ToolError(str(refusal)) from None

    def _result(self, text: str, written: str) -> ToolResult:
        server, remote = self._connection.name, self._tool.name.partition("__")[2]
        title = f"{remote} ({server})"
        if not text.strip():
            return ToolResult(text=f"{title} did it, and gave no text back.", title=title)
        # One source a call: the same call is the same source
        uri = f"mcp://{server}/{remote}#{sha256(written.encode()).hexdigest()[:8]}"
        words = " ".join(str(value) for value in json.loads(written).values() if isinstance(value, str))[:500]
        picked = select(
            text, words, max(self._context.observation_chars - _ROOM_FOR_HEAD, 500), also=self._context.question
        )
        head = [f"From {title}:"]
        if not picked.whole:
            head = [f"From {title}, {len(text):,} characters of which these were picked:"]
        self._context.seen.note(addresses_in(picked.text))
        return ToolResult(
            text="\n".join([*head, "", picked.text]),
            title=title,
            best=text[picked.best.start : picked.best.end] if picked.best else "",
            passages=tuple(
                Passage(uri=uri, title=title, text=text[span.start : span.end], start=span.start, end=span.end)
                for span in picked.spans
            ),
        )
