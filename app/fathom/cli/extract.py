"""``fathom extract``: print the text of a page or document as Markdown, as the research tools read it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from fathom.cli import EXIT_ANSWERED
from fathom.core.errors import ToolError, UserError
from fathom.core.protocols import Document
from fathom.tools.extract import EXTRACTORS
from fathom.tools.extract.kinds import kind_of
from fathom.workers.parser import ParserClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument(
        "file", metavar="FILE", help="HTML, PDF, DOCX, XLSX, PPTX, HWPX, CSV, JSON, RSS or text; - reads stdin"
    )
    parser.add_argument("--url", metavar="URL", default="", help="the address that the page came from")
    parser.add_argument("--kind", choices=sorted(EXTRACTORS), help="what it is, when its bytes and name do not say it")
    parser.add_argument("--charset", default="", help="what the server said of it")
    parser.add_argument("--json", action="store_true", help="print title, author, date, pages and text as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the text. Raises UserError when the file cannot be read."""
    try:
        data = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
    except OSError as error:
        raise UserError(f"{arguments.file} cannot be read.", has=error.strerror or str(error)) from error
    document = asyncio.run(_parsed(data, arguments))
    text = msgspec.json.encode(document).decode() if arguments.json else document.text
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.flush()
    return EXIT_ANSWERED


async def _parsed(data: bytes, arguments: argparse.Namespace) -> Document:
    parser = ParserClient()
    try:
        kind = arguments.kind or kind_of(data, "", arguments.file)
        return await parser.parse(data, kind, arguments.url, arguments.charset)
    except ToolError as error:
        raise UserError(f"{arguments.file} has no text that can be read.", has=str(error)) from None
    finally:
        await parser.close()
