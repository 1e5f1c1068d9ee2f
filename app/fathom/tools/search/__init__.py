"""Web search services: one file a provider."""

from __future__ import annotations

PROVIDERS: dict[str, str] = {
    "wikipedia": "fathom.tools.search.wikipedia:Wikipedia",
}
"""Name -> "module:class"; a class takes keywords with defaults, ``base_url`` among them. The first is the default."""
