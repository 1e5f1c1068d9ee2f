"""A place to run code that a model wrote: no network, no home, no keys, nothing that outlives a command.

``self_test`` says whether there is one on this machine, and what to do when there is none. Never unsandboxed.
A backend is one file and one line in ``BACKENDS``.
"""

from __future__ import annotations

BACKENDS: dict[str, str] = {
    "bubblewrap": "fathom.tools.sandbox.bubblewrap:BACKEND",
    "landlock": "fathom.tools.sandbox.landlock:BACKEND",
    "seatbelt": "fathom.tools.sandbox.seatbelt:BACKEND",
    "wsl": "fathom.tools.sandbox.wsl:BACKEND",
}
"""Name -> "module:Backend"."""

BY_PLATFORM: dict[str, tuple[str, ...]] = {
    "linux": ("bubblewrap", "landlock"),
    "darwin": ("seatbelt",),
    "win32": ("wsl",),
}
"""The backends to try, the best first."""

from fathom.tools.sandbox.probe import SandboxState, self_test  # noqa: E402 - it reads the tables above

__all__ = ["BACKENDS", "BY_PLATFORM", "SandboxState", "self_test"]
