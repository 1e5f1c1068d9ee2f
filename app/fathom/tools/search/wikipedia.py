"""Wikipedia's own search (MediaWiki action API): needs no key and no account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, language
from fathom.tools.search.transport import Call


class _Result(msgspec.Struct):
    title: str
    snippet: str = ""


class _Query(msgspec.Struct):
    search: list[_Result]


class _Answer(msgspec.Struct):
    query: _Query | None = None
    error: dict[str, Any] | None = None


class Wikipedia(WebProvider):
    """See the module. ``hl`` chooses the language's Wikipedia."""

    name = "wikipedia"
    label = "Wikipedia"
    site = "https://en.wikipedia.org"
    about = "Articles of the encyclopedia. Needs no key."

    def base(self, options: SearchOptions) -> str:
        code = language(options.hl).partition("-")[0]
        return f"https://{code}.wikipedia.org" if code and self._base_url == self.site else self._base_url

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        params = {
            "action": "query",
            "list": "search",
            "format": "json",
            "formatversion": "2",
            "srsearch": query,
            "srlimit": str(limit),
            "srprop": "snippet",
        }
        if options.page > 1:
            params["sroffset"] = str((options.page - 1) * limit)
        return Call(path="/w/api.php", params=params)

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        answer = self.decoded(body, _Answer)
        if answer.error is not None or answer.query is None:
            said = (answer.error or {}).get("info", "no results field")
            raise ToolError(f"{self.label} refused the search: {str(said)[:200]}")
        base = self.base(options)
        return [
            self.hit(
                f"{base}/wiki/{quote(result.title.replace(' ', '_'), safe='/:(),_-.!')}", result.title, result.snippet
            )
            for result in answer.query.search
        ]
