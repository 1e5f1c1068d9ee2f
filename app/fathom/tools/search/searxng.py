"""SearXNG: a server of one's own that asks many engines. Its address is given in the settings; JSON must be on there.

Engines of it that did not answer are an error when nothing else came back: never "no results".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, language, time_range
from fathom.tools.search.transport import Call


class _Result(msgspec.Struct):
    url: str
    title: str = ""
    content: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]
    unresponsive_engines: list[list[str]] = []


class SearXNG(WebProvider):
    """See the module."""

    name = "searxng"
    label = "SearXNG"
    site = ""
    about = "A server of your own that asks many engines. Needs its address; JSON must be switched on there."

    async def fetch(self, query: str, limit: int, options: SearchOptions) -> bytes:
        try:
            return await super().fetch(query, limit, options)
        except ToolError as error:
            if " answered 403:" in str(error):
                raise ToolError(f'{error} (add "json" to search.formats in the settings.yml of that server)') from None
            raise

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        params = {"q": query, "format": "json"}
        if options.page > 1:
            params["pageno"] = str(options.page)
        if code := language(options.hl):
            params["language"] = code
        if span := time_range(options.tbs):
            params["time_range"] = span
        return Call(path="/search", params=params)

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        answer = self.decoded(body, _Answer)
        if not answer.results and answer.unresponsive_engines:
            engines = ", ".join(": ".join(engine) for engine in answer.unresponsive_engines[:5])
            raise ToolError(f"{self.label} found nothing, and some of its engines did not answer ({engines[:200]})")
        return [self.hit(result.url, result.title, result.content) for result in answer.results]
