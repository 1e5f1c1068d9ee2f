"""Base of the search providers: a provider is its request, its response as structs, and the way from these to hits.

Whatever can go wrong on the way is the transport's. Knows no single provider and no tool.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.transport import Call, Transport, excerpt

_TAG = re.compile(r"<[^>]*>")
_KEY = re.compile(r"[\x21-\x7e]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", re.IGNORECASE)
_COUNTRY = re.compile(r"[a-z]{2}", re.IGNORECASE)
_SNIPPET = 1200
T = TypeVar("T")


class WebProvider:
    """Implements ``core.protocols.SearchProvider``. A subclass gives ``request`` and ``hits``."""

    name: ClassVar[str]
    label: ClassVar[str]
    site: ClassVar[str]
    """Where the service is; "" when a person has to say it."""
    needs_key: ClassVar[bool] = False
    takes_key: ClassVar[bool] = False
    """A key is of use, whether it is needed or not."""
    key_page: ClassVar[str] = ""
    """Where a key is to be had."""
    about: ClassVar[str] = ""
    """One plain sentence for the settings."""

    def __init__(self, base_url: str = "", key: str = "", deadline_s: float = 20.0, pause_s: float = 0.5) -> None:
        self._base_url = (base_url or self.site).rstrip("/")
        self._key = key
        self._deadline_s = deadline_s
        self._transport = Transport(self.label, deadline_s, pause_s)

    def base(self, options: SearchOptions) -> str:
        """The address that ``request``'s path follows."""
        return self._base_url

    def unready(self) -> str:
        """What it lacks before it can be asked, "" when nothing."""
        if not self._base_url:
            return f"{self.label} has no address yet; it is given in Settings"
        if self.needs_key and not self._key:
            return f"{self.label} needs a key; it is given in Settings"
        if self._key and not _KEY.fullmatch(self._key):
            return f"the key of {self.label} holds characters that no key has; give it again"
        return ""

    def host(self, options: SearchOptions) -> str:
        """The host that a search contacts."""
        return urlsplit(self.base(options)).hostname or self.label

    async def search(self, query: str, limit: int, options: SearchOptions = SearchOptions()) -> Sequence[Hit]:  # noqa: B008
        """Pages for ``query``, best first. Raises ToolError."""
        if lacking := self.unready():
            raise ToolError(lacking)
        try:
            body = await self.fetch(query, limit, options)
        except ToolError as error:
            if self._key and re.search(r" answered 40[13]:", str(error)):
                raise ToolError(f"{error} (check its key in Settings)") from None
            raise
        return [hit for hit in self.hits(body, options) if hit.uri.startswith(("http://", "https://"))][:limit]

    async def fetch(self, query: str, limit: int, options: SearchOptions) -> bytes:
        """The service's answer."""
        return await self._transport.send(self.base(options), self.request(query, limit, options))

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        """What is sent."""
        raise NotImplementedError

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        """What the answer holds, best first. Raises ToolError when it is no answer."""
        raise NotImplementedError

    def decoded(self, body: bytes, shape: type[T]) -> T:
        """The body as ``shape``. Raises ToolError with its beginning when it is something else."""
        try:
            return msgspec.json.decode(body, type=shape, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self.nonsense(body) from None

    def nonsense(self, body: bytes) -> ToolError:
        """The error for a body that is no answer of this service."""
        return ToolError(f"{self.label} answered something that is no result list: {excerpt(body)}")

    def hit(self, url: str | None, title: str | None, snippet: str | None) -> Hit:
        """A hit with plain words: no tags, no entities, bounded. One without an http address is left out later."""
        return Hit(
            uri="".join((url or "").split())[:2000],
            title=plain(title or "")[:300] or (url or ""),
            snippet=plain(snippet or "")[:_SNIPPET],
            collection=self.label,
        )


def plain(text: str) -> str:
    """The words of a piece of HTML on one line."""
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def language(code: str) -> str:
    """A language's code in lower case ("pt-br"), "" for what is none."""
    return code.lower() if _LANGUAGE.fullmatch(code) else ""


def country(code: str) -> str:
    """A country's code in lower case, "" for what is none."""
    return code.lower() if _COUNTRY.fullmatch(code) else ""


def time_range(tbs: str) -> str:
    """ "day", "week", "month" or "year" of Google's "qdr:d" and the like, "" for anything else."""
    found = re.fullmatch(r"qdr:([hdwmy])\d*", tbs.strip())
    words = {"h": "day", "d": "day", "w": "week", "m": "month", "y": "year"}
    return words[found[1]] if found else ""


def since_date(tbs: str) -> str:
    """The first day of a time filter as YYYY-MM-DD, "" when there is none."""
    days = {"day": 1, "week": 7, "month": 31, "year": 366}.get(time_range(tbs))
    return "" if days is None else (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
