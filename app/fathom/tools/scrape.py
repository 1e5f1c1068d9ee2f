"""scrape_and_extract_info: opens a document of the library or a public page and gives the passages that were asked for.

The passages are the document's own words with their offsets; no model rewrites them. When the page does not hold what
was asked for, the result says so.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, ClassVar

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Document, ToolResult
from fathom.tools.context import SessionTool
from fathom.tools.extract.passages import Span
from fathom.tools.extract.select import select
from fathom.tools.fetch import fetch
from fathom.tools.seen import addresses_in

_SHOWN_ADDRESSES = 12
_MAX_PASSAGE = 1500
_SHORTEST = 500
_MAX_TEXT = 1_000_000


class Arguments(msgspec.Struct, frozen=True):
    """Open a page or document by its link and read the passages about what you look for."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=600, description="a link from the search results")]
    info_to_extract: Annotated[str, msgspec.Meta(min_length=2, max_length=240, description="what to look for in it")]


class ScrapeAndExtractInfo(SessionTool):
    """See the module."""

    name: ClassVar[str] = "scrape_and_extract_info"
    server: ClassVar[str] = "jina_scrape_llm_summary"
    Arguments = Arguments
    aliases: ClassVar[dict[str, str]] = {"description": "info_to_extract", "link": "url"}

    def offered(self) -> bool:
        return bool(self._addresses())

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Only addresses that were shown can be chosen, the most recent ones first."""
        url = {"type": "string", "enum": self._addresses()}
        return schema | {"properties": schema["properties"] | {"url": url}}

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, Arguments)
        address = self.context.seen.find(arguments.url)
        if address is None:
            raise ToolError(
                f"{arguments.url} was in no search result, page or question, and only such addresses are opened. "
                + self._choices()
            )
        document, note = await self._document(address)
        self.context.seen.opened(address)
        # A long page takes a while to rank; the window must not wait for it
        return await asyncio.to_thread(self._result, address, document, arguments.info_to_extract, note)

    def _addresses(self) -> list[str]:
        recent = self.context.seen.recent(4 * _SHOWN_ADDRESSES)
        web = self.context.scope.web
        return [address for address in recent if web or address.startswith("library:")][:_SHOWN_ADDRESSES]

    def _choices(self) -> str:
        known = self._addresses()
        return "You can open: " + ", ".join(known) if known else "Search first."

    async def _document(self, address: str) -> tuple[Document, str]:
        if address.startswith("library:"):
            document = await asyncio.to_thread(self.context.library.document, address)
            if document is None:
                raise ToolError(f"{address} is not in the library. {self._choices()}")
            return document, ""
        if not self.context.scope.web:
            raise ToolError(f"{address} is a web page, and the web is switched off. {self._choices()}")
        page = await fetch(address, self.context.fetch_policy)
        document = await self.context.parser.parse(page.data, page.kind, page.url, page.charset)
        note = f"The address led to {page.url}." if page.url != address else ""
        return msgspec.structs.replace(document, uri=address), note

    def _result(self, address: str, document: Document, wanted: str, note: str) -> ToolResult:
        text = document.text[:_MAX_TEXT]
        title = document.title or self.context.seen.title(address) or address
        head = [f"Page: {title}", f"URL: {address}", *([note] if note else [])]
        room = max(self.context.observation_chars - sum(map(len, head)) - len(wanted) - 100, _SHORTEST)
        picked = select(text, wanted, room, title=title, also=self.context.question)
        if not picked.text:
            raise ToolError(f"{title} ({address}) has no text.")
        if not picked.found:
            what = "This is all of it:" if picked.whole else "It begins:"
            head.append(f'Not found: the words of "{wanted}" are not in this page. {what}')
        elif not picked.whole:
            head.append(f'The parts about "{wanted}":')
        if len(document.text) > _MAX_TEXT:
            head.append(f"Only the first {_MAX_TEXT:,} characters of it were looked through.")
        self.context.seen.note(addresses_in(picked.text))
        return ToolResult(
            text="\n".join([*head, "", picked.text]),
            title=title,
            best=text[picked.best.start : picked.best.end]
            if picked.best and picked.found
            else "The words that were asked for are not in this page",
            passages=tuple(
                msgspec.structs.replace(document.passage(span.start, span.end), uri=address, title=title)
                for span in _joined(text, picked.spans)
            ),
            urls=(address,),
        )


def _joined(text: str, spans: tuple[Span, ...]) -> list[Span]:
    """Neighbouring spans in one passage while it stays short enough to be shown as a quotation's surroundings."""
    joined: list[Span] = []
    for span in spans:
        near = joined and not text[joined[-1].end : span.start].strip()
        if near and span.end - joined[-1].start <= _MAX_PASSAGE:
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return joined
