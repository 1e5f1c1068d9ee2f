"""Fathom's own tools as an MCP server, for other agents: the library, reading pages, the sandbox.

The official SDK's server side over the same toolbox that a run has. There is nobody to ask, so whatever would be asked
is refused. Files of the host go in only when they were named, and none comes out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from fathom import __version__
from fathom.core.types import ToolCall
from fathom.tools.toolbox import SessionToolbox

OFFERED = ("google_search", "scrape_and_extract_info", "create_sandbox", "run_command", "run_python_code")
WITH_ATTACHMENTS = "upload_file_from_local_to_sandbox"


def mcp_server(toolbox: SessionToolbox) -> Server[Any]:
    """A server that offers the tools of ``toolbox``. One call at a time: they share a sandbox."""
    numbers = itertools.count(1)
    turn = asyncio.Lock()

    async def list_tools(_context: Any, _params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(name=spec.name, description=spec.description, input_schema=spec.parameters)
                for spec in toolbox.all_specs()
            ]
        )

    async def call_tool(_context: Any, params: CallToolRequestParams) -> CallToolResult:
        call = ToolCall(id=f"{next(numbers)}.0", name=params.name, arguments=params.arguments or {})
        async with turn:
            observation = await toolbox.call(call)
        sources = [
            {"uri": passage.uri, "title": passage.title, "start": passage.start, "end": passage.end}
            for passage in observation.passages
        ]
        content = [TextContent(type="text", text=observation.text)]
        if sources:
            content.append(TextContent(type="text", text=f"Sources: {json.dumps(sources, ensure_ascii=False)}"))
        return CallToolResult(content=list(content), is_error=observation.is_error)

    instructions = " ".join(
        (
            "Searches this computer's library, reads pages, and runs code without network.",
            *toolbox.notices(),
        )
    )
    return Server(
        "fathom", version=__version__, instructions=instructions, on_list_tools=list_tools, on_call_tool=call_tool
    )


async def serve_stdio(toolbox: SessionToolbox) -> None:
    """Serve over stdin and stdout until stdin ends. Whatever else is printed meanwhile goes to stderr."""
    server = mcp_server(toolbox)
    async with stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())
