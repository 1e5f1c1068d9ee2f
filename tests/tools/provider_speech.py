"""What each search service says, as its documentation has it: a good answer, an empty one, and its refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

KEY = "canary-key-3fa9c1d27b64"

ATOM = """<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns:arxiv="http://arxiv.org/schemas/atom"
      xmlns="http://www.w3.org/2005/Atom">
  <id>https://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <title>arXiv Query: search_query=all:lamp&amp;id_list=&amp;start=0&amp;max_results=3</title>
  <link href="https://arxiv.org/api/query?search_query=all:lamp" type="application/atom+xml"/>
  <opensearch:totalResults>2</opensearch:totalResults>{entries}
</feed>"""

ENTRY = """
  <entry>
    <id>{id}</id>
    <title>{title}</title>
    <published>2017-06-12T17:57:34Z</published>
    <summary>{summary}</summary>
    <author><name>Ada One</name></author><author><name>Bo Two</name></author>
    <author><name>Cy Three</name></author><author><name>Di Four</name></author>
  </entry>"""

DUCK = """<!DOCTYPE html><html><body><div class="serp__results"><div id="links" class="results">{results}</div></div>
</body></html>"""

DUCK_RESULT = """<div class="result results_links results_links_deep web-result">
<div class="links_main links_deep result__body">
<h2 class="result__title"><a rel="nofollow" href="{href}">{title}</a></h2>
<a class="result__snippet" href="{href}">{body}</a></div></div>"""


@dataclass
class Speech:
    """``refusals``: (status, body) that the service documents. ``asked``: what a request for "lamp oil" with country
    de, language de, past week, second page and no autocorrection must hold, as (where, name, value)."""

    good: bytes
    empty: bytes
    path: str
    asked: list[tuple[str, str, object]]
    refusals: list[tuple[int, bytes]] = field(default_factory=list)
    first: tuple[str, str, str] = ("https://example.org/a", "Title A & co", "About the lamp.")
    method: str = "GET"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


SPEECH: dict[str, Speech] = {
    "serper": Speech(
        good=_json(
            {
                "searchParameters": {"q": "lamp oil", "type": "search", "num": 3},
                "organic": [
                    {
                        "title": "Title A & co",
                        "link": "https://example.org/a",
                        "snippet": "About the lamp.",
                        "position": 1,
                    },
                    {"title": "B", "link": "javascript:alert(1)", "snippet": "bad", "position": 2},
                    {
                        "title": "C",
                        "link": "https://example.org/c",
                        "snippet": "s",
                        "position": 3,
                        "date": "2 May 2024",
                    },
                ],
                "credits": 1,
            }
        ),
        empty=_json({"searchParameters": {"q": "x"}, "organic": []}),
        method="POST",
        path="/search",
        asked=[
            ("header", "X-API-KEY", KEY),
            ("json", "q", "lamp oil"),
            ("json", "num", 3),
            ("json", "gl", "de"),
            ("json", "hl", "de"),
            ("json", "location", "Berlin"),
            ("json", "tbs", "qdr:w"),
            ("json", "page", 2),
            ("json", "autocorrect", False),
        ],
        refusals=[
            (403, b'{"message":"Unauthorized.","statusCode":403}'),
            (400, b'{"message":"Not enough credits","statusCode":400}'),
        ],
    ),
    "brave": Speech(
        good=_json(
            {
                "type": "search",
                "query": {"original": "lamp oil"},
                "web": {
                    "type": "search",
                    "results": [
                        {
                            "title": "Title A &amp; co",
                            "url": "https://example.org/a",
                            "description": "About the <strong>lamp</strong>.",
                        },
                        {"title": "B", "url": "https://example.org/b", "description": "x"},
                    ],
                },
            }
        ),
        empty=_json({"type": "search", "query": {"original": "x"}}),
        path="/res/v1/web/search",
        asked=[
            ("header", "X-Subscription-Token", KEY),
            ("param", "q", "lamp oil"),
            ("param", "count", "3"),
            ("param", "offset", "1"),
            ("param", "country", "DE"),
            ("param", "search_lang", "de"),
            ("param", "freshness", "pw"),
            ("param", "spellcheck", "false"),
        ],
        refusals=[
            (
                422,
                b'{"type":"ErrorResponse","error":{"code":"SUBSCRIPTION_TOKEN_INVALID","detail":"The provided '
                b'subscription token is invalid.","status":422}}',
            ),
            (429, b'{"type":"ErrorResponse","error":{"code":"RATE_LIMITED","detail":"Request rate limit exceeded"}}'),
        ],
    ),
    "tavily": Speech(
        good=_json(
            {
                "query": "lamp oil",
                "answer": None,
                "images": [],
                "results": [
                    {
                        "title": "Title A & co",
                        "url": "https://example.org/a",
                        "content": "About the lamp.",
                        "score": 0.9,
                        "raw_content": None,
                    }
                ],
                "response_time": 1.1,
            }
        ),
        empty=_json({"query": "x", "results": []}),
        method="POST",
        path="/search",
        asked=[
            ("header", "Authorization", f"Bearer {KEY}"),
            ("json", "query", "lamp oil"),
            ("json", "max_results", 3),
            ("json", "time_range", "week"),
        ],
        refusals=[
            (401, b'{"detail":{"error":"Unauthorized: missing or invalid API key."}}'),
            (432, b'{"detail":{"error":"This request exceeds your plan\'s set usage limit."}}'),
        ],
    ),
    "exa": Speech(
        good=_json(
            {
                "requestId": "b5947044c4b78efa9552a7c89b306d95",
                "resolvedSearchType": "neural",
                "results": [
                    {
                        "id": "https://example.org/a",
                        "url": "https://example.org/a",
                        "title": "Title A & co",
                        "publishedDate": "2023-11-16T01:36:32.547Z",
                        "author": None,
                        "text": "About the lamp.",
                    },
                    {"id": "x", "url": "https://example.org/b", "title": None, "highlights": ["one", "two"]},
                ],
            }
        ),
        empty=_json({"requestId": "x", "results": []}),
        method="POST",
        path="/search",
        asked=[
            ("header", "x-api-key", KEY),
            ("json", "query", "lamp oil"),
            ("json", "numResults", 3),
            ("json", "userLocation", "DE"),
        ],
        refusals=[(401, b'{"requestId":"x","error":"Invalid API key","tag":"INVALID_API_KEY"}')],
    ),
    "searxng": Speech(
        good=_json(
            {
                "query": "lamp oil",
                "number_of_results": 0,
                "results": [
                    {
                        "url": "https://example.org/a",
                        "title": "Title A & co",
                        "content": "About the lamp.",
                        "engine": "brave",
                        "score": 4.0,
                        "publishedDate": None,
                    },
                    {"url": "https://example.org/b", "title": "B", "content": None, "engine": "brave"},
                ],
                "unresponsive_engines": [["google", "timeout"]],
            }
        ),
        empty=_json({"query": "x", "results": [], "unresponsive_engines": []}),
        path="/search",
        asked=[
            ("param", "q", "lamp oil"),
            ("param", "format", "json"),
            ("param", "pageno", "2"),
            ("param", "language", "de"),
            ("param", "time_range", "week"),
        ],
        refusals=[(403, b"<!doctype html><title>403 Forbidden</title><h1>Forbidden</h1>")],
    ),
    "duckduckgo": Speech(
        good=DUCK.format(
            results=DUCK_RESULT.format(
                href="https://example.org/a", title="Title A &amp; co", body="About the <b>lamp</b>."
            )
            + DUCK_RESULT.format(href="https://duckduckgo.com/y.js?ad=1", title="Ad", body="buy")
        ).encode(),
        empty=DUCK.format(results='<div class="no-results">No results.</div>').encode(),
        method="POST",
        path="/html/",
        asked=[("form", "q", "lamp oil"), ("form", "l", "de-de"), ("form", "df", "w"), ("form", "s", "10")],
        refusals=[(202, b"<html><body>Unfortunately, bots use DuckDuckGo too.</body></html>"), (403, b"Forbidden")],
    ),
    "wikipedia": Speech(
        good=_json(
            {
                "batchcomplete": True,
                "query": {
                    "searchinfo": {"totalhits": 1},
                    "search": [
                        {
                            "ns": 0,
                            "title": "Title A & co",
                            "pageid": 1,
                            "snippet": 'About the <span class="searchmatch">lamp</span>.',
                        },
                    ],
                },
            }
        ),
        empty=_json({"batchcomplete": True, "query": {"searchinfo": {"totalhits": 0}, "search": []}}),
        path="/w/api.php",
        asked=[
            ("param", "srsearch", "lamp oil"),
            ("param", "srlimit", "3"),
            ("param", "sroffset", "3"),
            ("param", "format", "json"),
        ],
        refusals=[
            (200, b'{"error": {"code": "cirrussearch-too-busy-error", "info": "Search is currently too busy."}}')
        ],
        first=("{base}/wiki/Title_A_%26_co", "Title A & co", "About the lamp."),
    ),
    "arxiv": Speech(
        good=ATOM.format(
            entries=ENTRY.format(
                id="http://arxiv.org/abs/1706.03762v7", title="Title A &amp;\n  co", summary="  About the\n  lamp.\n"
            )
        ).encode(),
        empty=ATOM.format(entries="").encode(),
        path="/api/query",
        asked=[
            ("param", "search_query", "all:lamp AND all:oil"),
            ("param", "max_results", "3"),
            ("param", "start", "3"),
        ],
        refusals=[
            (
                200,
                ATOM.format(
                    entries=ENTRY.format(
                        id="https://arxiv.org/api/errors#incorrect_id_format_for_1234",
                        title="Error",
                        summary="incorrect id format for 1234",
                    )
                ).encode(),
            ),
            (200, b"Rate exceeded."),
            (429, b"Rate exceeded."),
        ],
        first=(
            "https://arxiv.org/abs/1706.03762v7",
            "Title A & co",
            "Ada One, Bo Two, Cy Three and others, 2017. About the lamp.",
        ),
    ),
    "openalex": Speech(
        good=_json(
            {
                "meta": {"count": 1, "page": 1, "per_page": 3},
                "results": [
                    {
                        "id": "https://openalex.org/W1",
                        "display_name": "Title A & co",
                        "doi": "https://doi.org/10.1/x",
                        "publication_year": 2020,
                        "primary_location": {"landing_page_url": "https://example.org/a", "is_oa": True},
                        "abstract_inverted_index": {"the": [1], "About": [0], "lamp.": [2]},
                        "authorships": [{"author_position": "first", "author": {"display_name": "Ada One"}}],
                    },
                    {"id": "https://openalex.org/W2", "display_name": None, "primary_location": None},
                ],
            }
        ),
        empty=_json({"meta": {"count": 0}, "results": []}),
        path="/works",
        asked=[
            ("param", "search", "lamp oil"),
            ("param", "per_page", "3"),
            ("param", "page", "2"),
            ("param", "api_key", KEY),
        ],
        refusals=[
            (403, b'{"error":"Rate limit exceeded","message":"slow down"}'),
            (429, b'{"error":"Rate limit exceeded","message":"Insufficient budget"}'),
        ],
        first=("https://example.org/a", "Title A & co", "Ada One, 2020. About the lamp."),
    ),
}
