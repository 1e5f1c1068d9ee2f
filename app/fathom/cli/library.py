"""``fathom library``: add documents, search them, list and remove collections."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from fathom.cli import EXIT_ANSWERED, EXIT_ERROR
from fathom.core.types import Scope
from fathom.services.application import Services, open_services


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="index a folder, a file, or a JSONL of {id, title, text}")
    add.add_argument("path", metavar="PATH", type=Path)
    search = actions.add_parser("search", help="search the documents")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--limit", metavar="N", type=int, default=10)
    listing = actions.add_parser("list", help="what is indexed")
    remove = actions.add_parser("remove", help="forget a collection; the files stay where they are")
    remove.add_argument("name", metavar="NAME")
    for action in (add, search, listing):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    services = await open_services()
    try:
        actions = {"add": _add, "search": _search, "list": _list, "remove": _remove}
        return await actions[arguments.action](services, arguments)
    finally:
        await services.close()


async def _add(services: Services, arguments: argparse.Namespace) -> int:
    collection = await services.library.add(arguments.path)
    failed = [{"path": item.path, "reason": item.reason} for item in collection.failed]
    if arguments.json:
        print(json.dumps({"name": collection.name, "documents": collection.documents, "failed": failed}))
    else:
        print(f"{collection.name}: {collection.documents:,} documents")
        for item in failed:
            print(f"  left out {item['path']}: {item['reason']}", file=sys.stderr)
    return EXIT_ANSWERED


async def _search(services: Services, arguments: argparse.Namespace) -> int:
    hits = services.library.search(arguments.query, Scope(), limit=max(1, arguments.limit))
    if arguments.json:
        rows = [{"uri": hit.uri, "title": hit.title, "snippet": hit.snippet, "score": hit.score} for hit in hits]
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for hit in hits:
            print(f"{hit.title}\n  {hit.uri}\n  {' '.join(hit.snippet.split())}")
    if not hits:
        print("nothing found", file=sys.stderr)
    return EXIT_ANSWERED if hits else EXIT_ERROR


async def _list(services: Services, arguments: argparse.Namespace) -> int:
    rows = [
        {"name": item.name, "label": item.label, "documents": item.documents, "path": str(item.path)}
        for item in services.library.collections()
    ]
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            print(f"{row['name']}  {row['documents']:,} documents  {row['path']}")
    return EXIT_ANSWERED


async def _remove(services: Services, arguments: argparse.Namespace) -> int:
    await services.library.remove(arguments.name)
    return EXIT_ANSWERED
