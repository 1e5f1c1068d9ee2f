"""Serper: Google's results as JSON. Needs a key. The arguments of google_search are its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider
from fathom.tools.search.transport import Call


class _Result(msgspec.Struct):
    link: str
    title: str = ""
    snippet: str = ""
    date: str = ""


class _Answer(msgspec.Struct):
    organic: list[_Result]


class Serper(WebProvider):
    """See the module."""

    name = "serper"
    label = "Serper"
    site = "https://google.serper.dev"
    needs_key = takes_key = True
    key_page = "https://serper.dev/api-key"
    about = "Google’s results. Needs a key."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        body: dict[str, Any] = {"q": query, "num": limit}
        for name in ("gl", "hl", "location", "tbs"):
            if value := getattr(options, name):
                body[name] = value
        if options.page > 1:
            body["page"] = options.page
        if not options.autocorrect:
            body["autocorrect"] = False
        return Call(method="POST", path="/search", json=body, headers={"X-API-KEY": self._key})

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        return [
            self.hit(result.link, result.title, f"{result.date} — {result.snippet}" if result.date else result.snippet)
            for result in self.decoded(body, _Answer).organic
        ]
