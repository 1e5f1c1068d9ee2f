"""The headless twin of the window: the same services, a command line instead of widgets.

One file a command; ``COMMANDS`` is the registry. A command module has ``add_arguments(parser)`` and
``run(arguments) -> int``. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from fathom import __version__
from fathom.core.errors import FathomError
from fathom.core.redaction import redact

COMMANDS: dict[str, tuple[str, str]] = {
    "ask": ("fathom.cli.ask", "research a question and print the report"),
    "library": ("fathom.cli.library", "add documents, search them, list what is there"),
    "models": ("fathom.cli.models", "list models and what fits, add, download, test, remove"),
    "sessions": ("fathom.cli.sessions", "list or search the saved sessions"),
    "extract": ("fathom.cli.extract", "print a page or document as Markdown"),
    "export": ("fathom.cli.export", "write a session's report to a file"),
    "keys": ("fathom.cli.keys", "keep, test, list and remove the keys of search services"),
    "mcp": ("fathom.cli.mcp", "offer the library, reading pages and the sandbox to other agents, as an MCP server"),
    "doctor": ("fathom.cli.doctor", "say what works on this computer, and what to do about the rest"),
}
"""name -> (module, help)."""

EXIT_ANSWERED, EXIT_ERROR, EXIT_USAGE, EXIT_PARTIAL, EXIT_ENGINE, EXIT_STOPPED = 0, 1, 2, 3, 4, 130


def _parser(named: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fathom", description="Research a question on this computer. Without a command the window opens."
    )
    parser.add_argument("--version", action="version", version=f"fathom {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("gui", help="open the window (the default)")
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == named:  # the others' modules are not imported
            importlib.import_module(module).add_arguments(sub)
    return parser


def run_command(argv: list[str]) -> int:
    """Parse ``argv`` and run its command. Returns the exit status; errors are plain sentences on stderr."""
    named = next((word for word in argv if not word.startswith("-")), "")
    try:
        arguments = _parser(named).parse_args(argv)
    except SystemExit as leave:  # argparse: 0 after --help, 2 after a wrong word
        return int(leave.code or 0)
    module = importlib.import_module(COMMANDS[arguments.command][0])
    try:
        return int(module.run(arguments))
    except KeyboardInterrupt:
        print("fathom: stopped", file=sys.stderr)
        return EXIT_STOPPED
    except FathomError as error:
        print(f"fathom: {redact(str(error))}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of stdout has gone (| head)
        sys.stderr.close()
        return EXIT_ERROR
