"""A place to run code that a model wrote: no network, no home, no keys, nothing that outlives a command.

``self_test`` says whether there is one on this machine, and what to do when there is none. Never unsandboxed.
"""

from __future__ import annotations

from fathom.tools.sandbox.probe import SandboxState, self_test

__all__ = ["SandboxState", "self_test"]
