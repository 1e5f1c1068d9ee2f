"""``fathom mcp``, driven by the SDK's own client over a real pipe."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from fathom.tools.sandbox import self_test

OWN = ["google_search", "scrape_and_extract_info", "create_sandbox", "run_command", "run_python_code"]


def text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def with_client(home: Path, work: Callable[[Client], Awaitable[None]], *words: str) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "fathom", "mcp", *words], env={"FATHOM_HOME": str(home)}
    )

    async def main() -> None:
        async with Client(server, read_timeout_seconds=120.0) as client:
            await work(client)

    asyncio.run(main())


def test_another_agent_searches_the_library_reads_and_runs_code(fathom_home: Path, tmp_path: Path) -> None:
    attached = tmp_path / "notes.txt"
    attached.write_text("forty-two", "utf-8")
    sandboxed = asyncio.run(self_test()).available

    async def work(client: Client) -> None:
        names = [tool.name for tool in (await client.list_tools()).tools]
        wanted = [*OWN, "upload_file_from_local_to_sandbox"]
        assert names == (wanted if sandboxed else OWN[:2])
        found = await client.call_tool("google_search", {"q": "Shirley Temple film Corliss Archer"})
        assert not found.is_error
        assert "link: library://sample/" in text(found)
        assert "Sources: [" in text(found)
        link = next(line for line in text(found).splitlines() if "link: " in line).partition("link: ")[2]
        page = await client.call_tool("scrape_and_extract_info", {"url": link, "info_to_extract": "film"})
        assert text(page).startswith("Page: ")
        refused = await client.call_tool(
            "scrape_and_extract_info", {"url": "https://example.org/?secret", "info_to_extract": "x"}
        )
        assert refused.is_error
        unknown = await client.call_tool("download_file_from_sandbox_to_local", {})
        assert unknown.is_error
        if sandboxed:
            sandbox = "invented"  # the app keeps the id
            arguments = {"sandbox_id": sandbox, "code_block": "print(6 * 7)"}
            assert "42" in text(await client.call_tool("run_python_code", arguments))
            for path, is_error in ((attached, False), (tmp_path / "other.txt", True)):
                sent = await client.call_tool(
                    "upload_file_from_local_to_sandbox",
                    {"sandbox_id": sandbox, "local_file_path": str(path), "sandbox_file_path": "notes.txt"},
                )
                assert sent.is_error == is_error

    with_client(fathom_home, work, "--attach", str(attached))


def test_nothing_but_the_protocol_is_on_stdout_and_a_missing_file_is_told(fathom_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fathom", "mcp"]
    done = subprocess.run(command, input=b"not the protocol\n", capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    command += ["--attach", str(tmp_path / "missing.txt")]
    told = subprocess.run(command, input="", capture_output=True, timeout=120, check=False, text=True)
    assert told.returncode == 2
    assert "there is no file" in told.stderr
