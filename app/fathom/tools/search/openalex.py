"""OpenAlex: scholarly works of all fields, with abstracts. A free key gives more searches a day; a few go without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, since_date
from fathom.tools.search.transport import Call

_MOST_WORDS = 2000


class _Place(msgspec.Struct):
    landing_page_url: str | None = None


class _Work(msgspec.Struct):
    id: str
    display_name: str | None = None
    doi: str | None = None
    publication_year: int | None = None
    primary_location: _Place | None = None
    abstract_inverted_index: dict[str, list[int]] | None = None
    authorships: list[dict[str, Any]] = []


class _Answer(msgspec.Struct):
    results: list[_Work]


class OpenAlex(WebProvider):
    """See the module."""

    name = "openalex"
    label = "OpenAlex"
    site = "https://api.openalex.org"
    takes_key = True
    key_page = "https://openalex.org/settings/api"
    about = "Scholarly works of all fields. A free key allows more searches a day."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        fields = "id,display_name,doi,publication_year,primary_location,abstract_inverted_index,authorships"
        params = {"search": query, "per_page": str(limit), "page": str(options.page), "select": fields}
        if since := since_date(options.tbs):
            params["filter"] = f"from_publication_date:{since}"
        if self._key:
            params["api_key"] = self._key
        return Call(path="/works", params=params)

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        hits = []
        for work in self.decoded(body, _Answer).results:
            landing = work.primary_location.landing_page_url if work.primary_location else None
            names = [str((one.get("author") or {}).get("display_name") or "") for one in work.authorships[:4]]
            by = ", ".join(name for name in names[:3] if name) + (" and others" if len(names) > 3 else "")
            told = ", ".join(part for part in (by, str(work.publication_year or "")) if part)
            abstract = rebuilt(work.abstract_inverted_index or {})
            snippet = ". ".join(part for part in (told, abstract) if part)
            hits.append(self.hit(landing or work.doi or work.id, work.display_name, snippet))
        return hits


def rebuilt(index: Mapping[str, Sequence[int]]) -> str:
    """The abstract of an inverted index (word -> positions). Hostile positions cost nothing: only words are counted."""
    places = [(position, word) for word, positions in index.items() for position in positions]
    return " ".join(word for _, word in sorted(places)[:_MOST_WORDS])
