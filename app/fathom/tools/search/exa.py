"""Exa: finds by meaning and gives text of the pages. Needs a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, country, since_date
from fathom.tools.search.transport import Call

_TEXT_CHARACTERS = 1000


class _Result(msgspec.Struct):
    url: str
    title: str | None = None
    text: str | None = None
    highlights: list[str] = []


class _Answer(msgspec.Struct):
    results: list[_Result]


class Exa(WebProvider):
    """See the module."""

    name = "exa"
    label = "Exa"
    site = "https://api.exa.ai"
    needs_key = takes_key = True
    key_page = "https://dashboard.exa.ai/api-keys"
    about = "Finds by meaning, not by words. Needs a key."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        body: dict[str, Any] = {
            "query": query,
            "numResults": limit,
            "contents": {"text": {"maxCharacters": _TEXT_CHARACTERS}},
        }
        if code := country(options.gl):
            body["userLocation"] = code.upper()
        if since := since_date(options.tbs):
            body["startPublishedDate"] = f"{since}T00:00:00.000Z"
        return Call(method="POST", path="/search", json=body, headers={"x-api-key": self._key})

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        return [
            self.hit(result.url, result.title, result.text or " ... ".join(result.highlights))
            for result in self.decoded(body, _Answer).results
        ]
