"""Wikipedia's own search (MediaWiki action API): needs no key and no account.

An error is a ToolError with provider, status and body, never an empty result. Knows no tool.
"""

from __future__ import annotations

import asyncio
import html
import random
import re
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import msgspec

from fathom import __version__
from fathom.core.errors import ToolError
from fathom.core.protocols import Hit

_TAG = re.compile(r"<[^>]*>")
_TRIES = 3
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MAX_BODY = 2 * 2**20


class _Result(msgspec.Struct):
    title: str
    snippet: str = ""


class _Query(msgspec.Struct):
    search: list[_Result]


class _Answer(msgspec.Struct):
    query: _Query | None = None
    error: dict[str, Any] | None = None


class Wikipedia:
    """Implements ``core.protocols.SearchProvider``."""

    name: ClassVar[str] = "wikipedia"
    label: ClassVar[str] = "Wikipedia"

    def __init__(
        self, base_url: str = "https://en.wikipedia.org", deadline_s: float = 20.0, pause_s: float = 0.5
    ) -> None:
        """``deadline_s`` is for a whole search with its repeated tries; ``pause_s`` is the first pause between them."""
        self._base_url = base_url.rstrip("/")
        self._deadline_s = deadline_s
        self._pause_s = pause_s

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        """Articles for ``query``, best first. Raises ToolError."""
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await self._get(query, limit)
        except TimeoutError:
            raise ToolError(f"{self.label} did not answer within {self._deadline_s:g} s") from None
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            raise ToolError(f"{self.label} answered something that is no result list: {_excerpt(body)}") from None
        if answer.error is not None or answer.query is None:
            said = (answer.error or {}).get("info", "no results field")
            raise ToolError(f"{self.label} refused the search: {said}")
        return [
            Hit(
                uri=f"{self._base_url}/wiki/{quote(result.title.replace(' ', '_'), safe='/:(),_-.!')}",
                title=result.title,
                snippet=html.unescape(_TAG.sub("", result.snippet)).strip(),
                collection=self.label,
            )
            for result in answer.query.search
        ]

    async def _get(self, query: str, limit: int) -> bytes:
        parameters = {
            "action": "query",
            "list": "search",
            "format": "json",
            "formatversion": "2",
            "srsearch": query,
            "srlimit": str(limit),
            "srprop": "snippet",
        }
        headers = {"User-Agent": f"Fathom/{__version__} (research reader)"}
        async with httpx.AsyncClient(timeout=httpx.Timeout(self._deadline_s, connect=5.0), headers=headers) as client:
            for attempt in range(1, _TRIES + 1):
                try:
                    async with client.stream("GET", f"{self._base_url}/w/api.php", params=parameters) as response:
                        body = await _bounded(response)
                except httpx.HTTPError as error:
                    raise ToolError(
                        f"{self.label} could not be reached: {type(error).__name__} {error}".rstrip()
                    ) from None
                if response.is_success:
                    return body
                if response.status_code not in _AGAIN or attempt == _TRIES:
                    raise ToolError(f"{self.label} answered {response.status_code}: {_excerpt(body)}")
                await asyncio.sleep(self._wait(response, attempt))
        raise AssertionError("unreachable: the last try returns or raises")

    def _wait(self, response: httpx.Response, attempt: int) -> float:
        asked = response.headers.get("retry-after", "")
        if asked.isdigit():
            return float(asked)
        return self._pause_s * (1 << (attempt - 1)) * random.uniform(0.8, 1.2)


async def _bounded(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BODY:
            raise ToolError("the search service answered more than 2 MB")
    return body


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split()) or "nothing"
