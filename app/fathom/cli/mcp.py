"""``fathom mcp``: offer Fathom's own tools to other agents, as an MCP server over stdin and stdout."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from fathom.cli import EXIT_ANSWERED, EXIT_USAGE
from fathom.core.settings import Settings, data_dir
from fathom.core.types import Scope, Task
from fathom.services.library_service import LibraryService
from fathom.services.search_service import SearchService
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.tools import open_toolbox
from fathom.workers.parser import ParserClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument("--web", action="store_true", help="search and read the web too; the words leave this computer")
    parser.add_argument(
        "--attach", metavar="FILE", type=Path, action="append", default=[], help="a file that may go into the sandbox"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until stdin ends. Nothing but the protocol is written to stdout."""
    missing = [path for path in arguments.attach if not path.is_file()]
    if missing:
        print(f"fathom mcp: there is no file {missing[0]}", file=sys.stderr)
        return EXIT_USAGE
    asyncio.run(_serve(arguments))
    return EXIT_ANSWERED


async def _serve(arguments: argparse.Namespace) -> None:
    from fathom.services.mcp_server import OFFERED, WITH_ATTACHMENTS, serve_stdio

    settings = Settings.load()
    parser = ParserClient()
    database = open_database(data_dir() / "library.db")
    library = LibraryService(LibraryStore(database), parser)
    await library.ensure_sample()
    scope = Scope(
        sample=settings.scope.sample,
        documents=settings.scope.documents,
        collections=settings.scope.collections,
        web=arguments.web,
    )
    attachments = tuple(str(path.resolve()) for path in arguments.attach)
    try:
        with tempfile.TemporaryDirectory(prefix="fathom-mcp-") as work:
            toolbox = await open_toolbox(
                Task(question="", scope=scope, attachments=attachments),
                library=library,
                parser=parser,
                downloads_dir=Path(work) / "downloads",
                session_dir=Path(work) / "session",
                only=(*OFFERED, *((WITH_ATTACHMENTS,) if attachments else ())),
                search=await SearchService(settings).panel() if arguments.web else None,
            )
            try:
                await serve_stdio(toolbox)
            finally:
                await toolbox.close()
    finally:
        await parser.close()
        await library.close()
