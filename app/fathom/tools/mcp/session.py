"""The one module that speaks through the SDK: opens a client, lists a server's tools, calls one.

Turns the SDK's objects and errors into plain values. No request of the server's is granted: it gets no sampling, no
roots and no questions to the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    Implementation,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import ValidationError

from fathom import __version__
from fathom.core.errors import ToolError
from fathom.core.settings import McpServer
from fathom.core.types import Struct
from fathom.tools.mcp.stdio import ChildLog, child_process
from fathom.tools.mcp.web import web_server

MAX_PAGES = 10
MAX_TOOLS = 64
MAX_RESULT_CHARS = 400_000


class ServerGone(Exception):
    """The connection has ended."""


class ServerLate(Exception):
    """No answer came in time."""


class ForeignTool(Struct, frozen=True):
    """A tool as its server describes it: hostile text."""

    name: str
    description: str
    schema: dict[str, Any]


class Answer(Struct, frozen=True):
    """What a call brought, as text."""

    text: str
    is_error: bool


@contextlib.asynccontextmanager
async def opened(server: McpServer, log: ChildLog, on_end: Callable[[], None]) -> AsyncIterator[Client]:
    """A client that has greeted the server. Raises OSError, ServerGone, ServerLate or ToolError when it cannot."""
    streams = (
        child_process([server.command, *server.args], server.env, log, on_end)
        if server.command
        else web_server(server.url, server.headers)
    )
    client = Client(
        streams,
        client_info=Implementation(name="fathom", version=__version__),
        read_timeout_seconds=server.start_timeout_s,
        cache=None,
    )
    async with client:
        yield client


async def tools_of(client: Client, timeout_s: float) -> tuple[ForeignTool, ...]:
    """The server's tools, some pages of them at most."""
    found: list[ForeignTool] = []
    cursor: str | None = None
    with _plain_errors():
        async with asyncio.timeout(timeout_s):
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += [
                    ForeignTool(
                        name=tool.name, description=tool.description or tool.title or "", schema=tool.input_schema
                    )
                    for tool in page.tools
                ]
                cursor = page.next_cursor
                if not cursor or len(found) >= MAX_TOOLS:
                    break
    return tuple(found[:MAX_TOOLS])


async def call(client: Client, name: str, arguments: dict[str, Any], timeout_s: float) -> Answer:
    """Raises ServerGone, ServerLate, or ToolError with what the server said."""
    with _plain_errors():
        async with asyncio.timeout(timeout_s + 5):  # a server that asks back again and again
            result = await client.call_tool(name, arguments, read_timeout_seconds=timeout_s)
    return Answer(text=_text(result), is_error=result.is_error)


@contextlib.contextmanager
def _plain_errors() -> Any:
    try:
        yield
    except MCPError as error:
        if error.code == REQUEST_TIMEOUT:
            raise ServerLate from None
        if error.code == CONNECTION_CLOSED:
            raise ServerGone from None
        raise ToolError(error.message[:1000]) from None
    except TimeoutError:
        raise ServerLate from None
    except (httpx2.HTTPError, OSError) as error:
        raise ServerGone(str(error)[:300]) from None
    except (ValidationError, ValueError, RuntimeError) as error:  # an answer that is not of the protocol
        raise ToolError(f"the server's answer is not of the protocol ({type(error).__name__})") from None


def _text(result: CallToolResult) -> str:
    parts = [_block(block) for block in result.content[:200]]
    if not any(part.strip() for part in parts) and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False, indent=1)]
    return "\n\n".join(part for part in parts if part.strip())[:MAX_RESULT_CHARS]


def _block(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            what = "a picture" if isinstance(block, ImageContent) else "a recording"
            return f"[{what}, {block.mime_type[:60]}, {len(block.data) * 3 // 4:,} bytes; only text can be read here]"
        case EmbeddedResource(resource=TextResourceContents() as held):
            return f"{held.uri}:\n{held.text}"
        case EmbeddedResource(resource=BlobResourceContents() as held):
            kind = (held.mime_type or "a file")[:60]
            return f"[{held.uri}: {kind}, {len(held.blob) * 3 // 4:,} bytes; only text can be read here]"
        case ResourceLink():
            return f"{block.title or block.name}: {block.uri} {block.description or ''}".strip()
    return ""
