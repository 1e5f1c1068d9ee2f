"""Reads a web page for the tools: the saved copy, or the guarded fetch and the parser; and says which it was.

Knows no single tool. A copy is as good as the page while it is young; when the page cannot be reached, or the web is
off, an old one is better than none, and its age is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from fathom.core.errors import DatabaseError, ToolError
from fathom.core.protocols import Document, PageCache, Parser, SavedPage
from fathom.tools.addresses import FetchPolicy
from fathom.tools.fetch import fetch


class PageReader:
    """Pages of one run. Without a cache every page is fetched."""

    def __init__(self, parser: Parser, policy: FetchPolicy, cache: PageCache | None = None) -> None:
        self._parser = parser
        self._policy = policy
        self._cache = cache

    async def read(
        self, url: str, *, offline: bool = False, leave: Callable[[], Awaitable[object]] | None = None
    ) -> tuple[Document, str]:
        """The page as a document with ``url``, and a note for the reader ("" when there is nothing to say).

        ``offline``: from the saved copies only. ``leave`` is awaited before the network is used, and only then: it
        raises ToolError to forbid it. Raises ToolError when the page cannot be had.
        """
        saved = await self._saved(url, any_age=offline)
        if saved is not None:
            return _document(saved, url), _note(saved, url)
        if offline:
            raise ToolError(f"{url} is a web page, the web is switched off, and there is no saved copy of it.")
        if leave is not None:
            await leave()
        try:
            page = await fetch(url, self._policy)
            document = await self._parser.parse(page.data, page.kind, page.url, page.charset)
        except ToolError as error:
            saved = await self._saved(url, any_age=True)
            if saved is None:
                raise
            return _document(saved, url), f"{_note(saved, url)} The page itself could not be read now: {error}"
        await self._keep(url, page.url, document)
        return _document(document, url), _led(page.url, url)

    def saved(self, urls: Sequence[str]) -> set[str]:
        """Those of ``urls`` that can be read without the network."""
        if self._cache is None or not urls:
            return set()
        try:
            return self._cache.known(urls)
        except DatabaseError:
            return set()

    async def _saved(self, url: str, *, any_age: bool) -> SavedPage | None:
        if self._cache is None:
            return None
        try:
            return await asyncio.to_thread(self._cache.find, url, any_age=any_age)
        except DatabaseError:  # a cache that cannot be read is no reason to fail: the page can be fetched
            return None

    async def _keep(self, url: str, final_url: str, document: Document) -> None:
        if self._cache is not None:
            try:
                await asyncio.to_thread(self._cache.save, url, final_url, document)
            except DatabaseError:
                return  # the page was read; that no copy of it was kept costs a fetch later


def _document(page: SavedPage | Document, url: str) -> Document:
    return msgspec.structs.replace(page.document if isinstance(page, SavedPage) else page, uri=url)


def _note(saved: SavedPage, url: str) -> str:
    moment = datetime.fromisoformat(saved.fetched).strftime("%Y-%m-%d %H:%M UTC")
    return f"This is the saved copy of {moment}. {_led(saved.final_url, url)}".rstrip()


def _led(final_url: str, url: str) -> str:
    return f"The address led to {final_url}." if final_url != url else ""
