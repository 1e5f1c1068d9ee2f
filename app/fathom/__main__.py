"""The one way in: ``fathom`` opens the window, ``fathom COMMAND`` works without one, ``fathom worker ROLE`` is a child.

Dispatches before any heavy import: a worker never loads Qt, the window never loads llama.cpp, and in a frozen app
``sys.executable`` is this program.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    command = arguments[0] if arguments else "gui"
    if command == "worker":
        from fathom.workers.host import main as run_worker

        role = arguments[1] if len(arguments) > 1 else ""
        return run_worker(role, arguments[2:])
    if command == "gui":
        from fathom.ui.app import run_gui

        return run_gui(arguments[1:])
    from fathom.cli import run_command

    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
