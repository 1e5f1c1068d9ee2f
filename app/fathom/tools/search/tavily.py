"""Tavily: results with longer excerpts, made for models. Needs a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, time_range
from fathom.tools.search.transport import Call


class _Result(msgspec.Struct):
    url: str
    title: str = ""
    content: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result]


class Tavily(WebProvider):
    """See the module."""

    name = "tavily"
    label = "Tavily"
    site = "https://api.tavily.com"
    needs_key = takes_key = True
    key_page = "https://app.tavily.com"
    about = "Results with longer excerpts. Needs a key."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        body: dict[str, Any] = {"query": query, "max_results": min(limit, 20), "search_depth": "basic"}
        if span := time_range(options.tbs):
            body["time_range"] = span
        return Call(method="POST", path="/search", json=body, headers={"Authorization": f"Bearer {self._key}"})

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        return [self.hit(result.url, result.title, result.content) for result in self.decoded(body, _Answer).results]
