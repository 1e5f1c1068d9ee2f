"""``fathom library``: add documents, search them, list, pin, block and remove collections."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import msgspec

from fathom.cli import EXIT_ANSWERED, EXIT_ERROR
from fathom.core.types import Scope
from fathom.services.application import Services, open_services
from fathom.services.library_service import Collection, IndexProgress, advice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="index folders, files, or a JSONL of {id, title, text}")
    add.add_argument("paths", metavar="PATH", type=Path, nargs="+")
    search = actions.add_parser("search", help="search the documents")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--limit", metavar="N", type=int, default=10)
    search.add_argument(
        "--in", metavar="NAME", dest="within", action="append", default=[], help="a collection, or NAME/FOLDER in it"
    )
    listing = actions.add_parser("list", help="what is indexed, what could not be read, what is there twice")
    refresh = actions.add_parser("refresh", help="look for new, changed and removed files")
    refresh.add_argument("names", metavar="NAME", nargs="*", help="all collections when none is named")
    refresh.add_argument("--again", action="store_true", help="also try again what could not be read")
    prefer = actions.add_parser("prefer", help="pin or block a collection, or a folder in it")
    prefer.add_argument("name", metavar="NAME", help="a collection, or NAME/FOLDER in it")
    prefer.add_argument("preference", choices=("normal", "pinned", "blocked"))
    remove = actions.add_parser("remove", help="forget a collection; the files stay where they are")
    remove.add_argument("name", metavar="NAME")
    for action in (add, search, listing, refresh, prefer, remove):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    services = await open_services()
    try:
        actions = {
            "add": _add,
            "search": _search,
            "list": _list,
            "refresh": _refresh,
            "prefer": _prefer,
            "remove": _remove,
        }
        return await actions[arguments.action](services, arguments)
    finally:
        await services.close()


def _row(collection: Collection) -> dict[str, object]:
    failed = [{"path": item.path, "reason": item.reason, "do": advice(item)} for item in collection.failed]
    return {
        "name": collection.name,
        "label": collection.label,
        "kind": collection.kind,
        "documents": collection.documents,
        "path": collection.path,
        "preference": collection.preference,
        "indexed": collection.indexed,
        "failed": failed,
    }


async def _add(services: Services, arguments: argparse.Namespace) -> int:
    paths: list[Path] = arguments.paths
    whole = [path for path in paths if len(paths) == 1 or path.is_dir() or path.suffix.lower() in (".jsonl", ".ndjson")]
    single = [path for path in paths if path not in whole]
    tell = _Ticker(sys.stderr.isatty() and not arguments.json)
    added = [await services.library.add(path, tell.show) for path in whole]
    if single:
        added.append(await services.library.add_files(single, tell.show))
    tell.end()
    _print_collections(added, arguments.json, one=len(paths) == 1)
    return EXIT_ANSWERED


async def _refresh(services: Services, arguments: argparse.Namespace) -> int:
    known = {one.name: one for one in services.library.collections() if one.kind != "sample"}
    if unknown := [name for name in arguments.names if name not in known]:
        return _no_such(unknown[0])
    names = arguments.names or list(known)
    looked = [await services.library.refresh(name, again=arguments.again) for name in names]
    _print_collections(looked, arguments.json)
    return EXIT_ANSWERED


def _print_collections(collections: list[Collection], as_json: bool, *, one: bool = False) -> None:
    if as_json:
        rows = [_row(collection) for collection in collections]
        print(json.dumps(rows[0] if one else rows, ensure_ascii=False))
        return
    for collection in collections:
        print(f"{collection.name}: {collection.documents:,} documents")
        for item in collection.failed:
            do = advice(item)
            print(f"  left out {item.path}: {item.reason}{f' {do}' if do else ''}", file=sys.stderr)


async def _search(services: Services, arguments: argparse.Namespace) -> int:
    scope = Scope(sample=not arguments.within or "sample" in arguments.within, collections=tuple(arguments.within))
    hits = services.library.search(arguments.query, scope, limit=max(1, arguments.limit))
    if arguments.json:
        rows = [msgspec.to_builtins(hit) for hit in hits]
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for hit in hits:
            page = f", page {hit.page}" if hit.page else ""
            also = "".join(f"\n  also in {path}" for path in hit.also)
            print(f"{hit.title}{page}\n  {hit.uri}{also}\n  {' '.join(hit.snippet.split())}")
    if not hits:
        print("nothing found", file=sys.stderr)
    return EXIT_ANSWERED if hits else EXIT_ERROR


async def _list(services: Services, arguments: argparse.Namespace) -> int:
    overview = await services.library.overview()
    rows = []
    for collection in overview.collections:
        twins = await services.library.twins(collection.name) if collection.kind != "sample" else []
        duplicates = [{"title": one.title, "paths": list(one.paths)} for one in twins]
        missing = collection.name in overview.missing
        rows.append(_row(collection) | {"missing": missing, "duplicates": duplicates})
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
        return EXIT_ANSWERED
    for collection, row in zip(overview.collections, rows, strict=True):
        notes = [f"{len(collection.failed):,} not read"] if collection.failed else []
        notes += [f"{len(row['duplicates']):,} texts twice"] if row["duplicates"] else []  # type: ignore[arg-type]
        notes += ["not there now"] if row["missing"] else []
        notes += [collection.preference] if collection.preference != "normal" else []
        more = f" ({', '.join(notes)})" if notes else ""
        print(f"{collection.name}  {collection.documents:,} documents{more}  {collection.path}")
    return EXIT_ANSWERED


async def _prefer(services: Services, arguments: argparse.Namespace) -> int:
    name, _, folder = arguments.name.partition("/")
    if not await services.library.prefer(name, arguments.preference, folder.strip("/")):
        return _no_such(arguments.name)
    if arguments.json:
        print(json.dumps({"name": arguments.name, "preference": arguments.preference}))
    return EXIT_ANSWERED


async def _remove(services: Services, arguments: argparse.Namespace) -> int:
    removed = await services.library.remove(arguments.name)
    if arguments.json:
        print(json.dumps({"name": arguments.name, "removed": removed}))
    return EXIT_ANSWERED if removed else _no_such(arguments.name)


def _no_such(name: str) -> int:
    print(f"there is no collection or folder {name!r}; see fathom library list", file=sys.stderr)
    return EXIT_ERROR


class _Ticker:
    """One line on a terminal that says how far the indexing is."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._shown = False

    def show(self, progress: IndexProgress) -> None:
        if self._on and progress.files:
            self._shown = True
            text = f"{progress.files_done:,} of {progress.files:,} files, {progress.documents:,} documents"
            sys.stderr.write(f"\r{text:<60}")
            sys.stderr.flush()

    def end(self) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * 60 + "\r")
