"""Child processes, each with one reason to die alone, and how the parent talks to them.

They speak JSON lines over inherited pipes: no ports. Listing the roles imports nothing.
"""

from __future__ import annotations

ROLES: dict[str, str] = {
    "engine": "fathom.workers.engine:serve",
    "mlx_facts": "fathom.workers.mlx_facts:serve",
    "parser": "fathom.workers.parser:serve",
    "duckduckgo": "fathom.tools.search.duckduckgo:serve",
    "ocr": "fathom.workers.ocr:serve",
    "download": "fathom.workers.download:serve",
}
"""Role -> "module:attr" of ``serve(channel: host.Channel, argv: list[str]) -> int``, the exit code."""
