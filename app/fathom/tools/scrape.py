"""scrape_and_extract_info: opens a document of the library or a public page and gives the passages that were asked for.

The passages are the document's own words with their offsets; no model rewrites them. Where a second model is set to
read long pages, what it copies stands first, and only as far as it is found in the page. When the page does not hold
what was asked for, the result says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Document, ToolResult
from fathom.tools.context import SessionTool
from fathom.tools.extract.passages import Span
from fathom.tools.extract.quotes import found_in
from fathom.tools.extract.select import select
from fathom.tools.search.panel import Refused
from fathom.tools.seen import addresses_in

_SHOWN_ADDRESSES = 12
_MAX_PASSAGE = 1500
_SHORTEST = 500
_MAX_TEXT = 409_600
_READ_CHARS = 12_000  # what a second model is given of a long page


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
        leave: Callable[[], Awaitable[object]] | None = None
        if address is None:
            address = await self._with_leave(arguments.url, arguments.info_to_extract)
        elif self.context.scope.web and not address.startswith("library:"):
            leave = partial(self.context.gate.page, address, was_shown=True, why=arguments.info_to_extract)
        document, note = await self._document(address, leave)
        self.context.seen.opened(address)
        # A long page takes a while to rank; the window must not wait for it
        wanted = arguments.info_to_extract
        copied = await self._copied(document, wanted)
        return await asyncio.to_thread(self._result, address, document, wanted, note, copied)

    async def _with_leave(self, given: str, why: str) -> str:
        """An address that nothing showed, once a person allowed it. Raises ToolError."""
        unseen = f"{given} was in no search result, page or question"
        address = given.strip().strip("<>\"'`")
        if not self.context.scope.web or not address.startswith(("http://", "https://")):
            raise ToolError(f"{unseen}, and only such addresses are opened. {self._choices()}")
        try:
            return await self.context.gate.page(address, was_shown=False, why=why)
        except Refused as refusal:
            raise ToolError(f"{unseen}, and {refusal} {self._choices()}") from None

    def _addresses(self) -> list[str]:
        recent = self.context.seen.recent(4 * _SHOWN_ADDRESSES)
        if not self.context.scope.web:
            saved = self.context.pages.saved([address for address in recent if not address.startswith("library:")])
            recent = [address for address in recent if address.startswith("library:") or address in saved]
        return recent[:_SHOWN_ADDRESSES]

    def _choices(self) -> str:
        known = self._addresses()
        return "You can open: " + ", ".join(known) if known else "Search first."

    async def _document(self, address: str, leave: Callable[[], Awaitable[object]] | None) -> tuple[Document, str]:
        if address.startswith("library:"):
            document = await asyncio.to_thread(self.context.library.document, address)
            if document is None:
                raise ToolError(f"{address} is not in the library. {self._choices()}")
            return document, ""
        self.context.gate.check_site(address)  # a copy of a blocked site is blocked as well
        try:
            return await self.context.pages.read(address, offline=not self.context.scope.web, leave=leave)
        except ToolError as error:
            raise ToolError(f"{error} {self._choices()}") from None

    async def _copied(self, document: Document, wanted: str) -> _Copied:
        """What the second model copies of a document that is too long to be shown whole; nothing when there is none."""
        text = document.text[:_MAX_TEXT]
        if self.context.extractor is None or len(text) <= self.context.observation_chars:
            return _Copied()
        wide = await asyncio.to_thread(
            select, text, wanted, _READ_CHARS, title=document.title, also=self.context.question
        )
        if not wide.found:
            return _Copied()
        try:
            said = await self.context.extractor.pick(wide.text, wanted, document.title)
        except ToolError as error:
            return _Copied(note=f"The model that reads long pages was of no help: {error}.")
        spans, missing = await asyncio.to_thread(found_in, text, said.splitlines())
        left_out = f"{missing} more that it wrote are not in the page, and were left out." if missing else ""
        return _Copied(tuple(spans), left_out)

    def _result(self, address: str, document: Document, wanted: str, note: str, copied: _Copied) -> ToolResult:
        text = document.text[:_MAX_TEXT]
        title = document.title or self.context.seen.title(address) or address
        head = [f"Page: {title}", f"URL: {address}", *([note] if note else [])]
        room = max(self.context.observation_chars - sum(map(len, head)) - len(wanted) - 100, _SHORTEST)
        quoted = copied.within(room // 2)
        first = [text[span.start : span.end] for span in quoted]
        if first:
            first.insert(0, "Sentences of it that a second model picked, checked against the page:")
        if copied.note:
            first.append(copied.note)
        head += first
        room = max(room - sum(len(line) + 1 for line in first), _SHORTEST)
        picked = select(text, wanted, room, title=title, also=self.context.question, pages=document.pages)
        if not picked.text:
            raise ToolError(f"{title} ({address}) has no text.")
        if not picked.found:
            what = "This is all of it:" if picked.whole else "It begins:"
            head.append(f'Not found in this page: "{wanted}". {what}')
        elif not picked.whole:
            head.append(f'The parts that share words with "{wanted}":' if quoted else f'The parts about "{wanted}":')
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
                for span in _with(quoted, _joined(text, picked.spans))
            ),
            urls=(address,),
        )


class _Copied(NamedTuple):
    """The sentences of a second model that stand in the page, and what is to be said of it."""

    spans: tuple[Span, ...] = ()
    note: str = ""

    def within(self, room: int) -> list[Span]:
        """The first of them that fit."""
        kept: list[Span] = []
        for span in self.spans:
            room -= span.end - span.start + 1
            if room < 0:
                break
            kept.append(span)
        return kept


def _with(quoted: list[Span], passages: list[Span]) -> list[Span]:
    """All of them in order, but for the quoted ones that stand in a passage."""
    alone = [one for one in quoted if not any(span.start <= one.start and one.end <= span.end for span in passages)]
    return sorted([*alone, *passages])


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
