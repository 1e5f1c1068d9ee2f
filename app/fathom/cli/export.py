"""``fathom export``: write a session's report to a file, or to stdout."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from fathom.cli import EXIT_ANSWERED, EXIT_ERROR, EXIT_USAGE
from fathom.export import EXPORTERS
from fathom.services.application import open_services


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument("session", metavar="SESSION", help="its id, as `fathom sessions` lists it")
    parser.add_argument("--format", choices=sorted(EXPORTERS), default="markdown")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write here instead of to stdout")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(arguments: argparse.Namespace) -> int:
    """Render and write."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    services = await open_services()
    try:
        if arguments.out is None:
            sys.stdout.buffer.write(services.sessions.render(arguments.session, arguments.format))
        else:
            path = services.sessions.export(
                arguments.session, arguments.out, arguments.format, overwrite=arguments.overwrite
            )
            print(f"written to {path}", file=sys.stderr)
        return EXIT_ANSWERED
    except LookupError:
        print(f"fathom export: there is no session {arguments.session}; `fathom sessions` lists them", file=sys.stderr)
        return EXIT_USAGE
    except FileExistsError:
        print(
            f"fathom export: {arguments.out} is there already; name another file, or add --overwrite", file=sys.stderr
        )
        return EXIT_ERROR
    finally:
        await services.close()
