"""Web search services: one file a provider, found by name."""

from __future__ import annotations

PROVIDERS: dict[str, str] = {
    "serper": "fathom.tools.search.serper:Serper",
    "brave": "fathom.tools.search.brave:Brave",
    "tavily": "fathom.tools.search.tavily:Tavily",
    "exa": "fathom.tools.search.exa:Exa",
    "searxng": "fathom.tools.search.searxng:SearXNG",
    "duckduckgo": "fathom.tools.search.duckduckgo:DuckDuckGo",
    "wikipedia": "fathom.tools.search.wikipedia:Wikipedia",
    "arxiv": "fathom.tools.search.arxiv:Arxiv",
    "openalex": "fathom.tools.search.openalex:OpenAlex",
}
"""Name -> "module:class". The order is the one in which they are asked until a person chooses another.

A class takes keywords with defaults: ``base_url``, ``key``, ``deadline_s``, ``pause_s`` (see ``provider.WebProvider``).
"""
