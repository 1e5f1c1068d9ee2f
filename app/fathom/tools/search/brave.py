"""Brave Search: an index of its own. Needs a key."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, country, language, time_range
from fathom.tools.search.transport import Call

_FRESHNESS = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}
_MOST = 20
_LAST_OFFSET = 9


class _Result(msgspec.Struct):
    url: str
    title: str = ""
    description: str = ""


class _Web(msgspec.Struct):
    results: list[_Result] = []


class _Answer(msgspec.Struct):
    type: str
    web: _Web | None = None  # left out when nothing was found


class Brave(WebProvider):
    """See the module."""

    name = "brave"
    label = "Brave"
    site = "https://api.search.brave.com"
    needs_key = takes_key = True
    key_page = "https://api-dashboard.search.brave.com/app/keys"
    about = "An index of its own. Needs a key."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        params = {"q": query, "count": str(min(limit, _MOST)), "text_decorations": "false", "result_filter": "web"}
        if options.page > 1:
            params["offset"] = str(min(options.page - 1, _LAST_OFFSET))
        if code := country(options.gl):
            params["country"] = code.upper()
        if code := language(options.hl):
            params["search_lang"] = code
        if span := time_range(options.tbs):
            params["freshness"] = _FRESHNESS[span]
        if not options.autocorrect:
            params["spellcheck"] = "false"
        headers = {"X-Subscription-Token": self._key, "Accept": "application/json"}
        return Call(path="/res/v1/web/search", params=params, headers=headers)

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        web = self.decoded(body, _Answer).web
        return [self.hit(result.url, result.title, result.description) for result in (web.results if web else ())]
