"""How a model writes a call and reads a result: one file a format, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.core.registry import load

if TYPE_CHECKING:
    from fathom.prompting.formats.base import CallFormat

FORMATS: dict[str, str] = {
    "hermes": "fathom.prompting.formats.hermes:Hermes",
    "mcp_xml": "fathom.prompting.formats.mcp_xml:McpXml",
}
"""Name -> "module:class" of a ``CallFormat``."""


def load_format(name: str) -> CallFormat:
    """An instance of the format. Raises UnknownNameError that lists the known ones."""
    found: CallFormat = load(FORMATS, name, "call format")()
    return found
