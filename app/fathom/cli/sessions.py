"""``fathom sessions``: list the saved sessions, newest first, or those that hold the given words."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from fathom.cli import EXIT_ANSWERED
from fathom.services.application import open_services


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument("query", metavar="WORDS", nargs="?", default="")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one session a line: id, date, state, steps, title."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    services = await open_services()
    try:
        sessions = services.sessions.sessions(arguments.query)
    finally:
        await services.close()
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(sessions) + b"\n")
        return EXIT_ANSWERED
    for session in sessions:
        print(f"{session.id}  {session.created[:16]}  {session.state:<11}  {session.steps:>3} steps  {session.title}")
    if not sessions:
        print("no sessions" if not arguments.query else "no session holds these words", file=sys.stderr)
    return EXIT_ANSWERED
