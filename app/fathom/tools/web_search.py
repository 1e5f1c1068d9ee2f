"""google_search: the local library and, when the person switched the web on, one key-free search service.

The name and arguments are those that research models were trained on. A provider's error is told, never shown as "no
results"; a fall-back is said aloud.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchProvider, ToolResult
from fathom.core.types import Passage
from fathom.tools.context import LINK, SessionTool, ToolContext
from fathom.tools.extract.select import best_sentence
from fathom.tools.search import PROVIDERS
from fathom.tools.seen import addresses_in

_ELLIPSIS = re.compile(r"^\s*(?:\.\.\.|…|\[\.\.\.\])\s*|\s*(?:\.\.\.|…|\[\.\.\.\])\s*$")
_SHORTEST_SNIPPET = 100


class Arguments(msgspec.Struct, frozen=True):
    """Search for documents and web pages. Gives a list of titles, links and short excerpts.
    Use a few telling words or a name, and search for one thing at a time."""

    q: Annotated[str, msgspec.Meta(min_length=2, max_length=160, description="what to search for")]
    num: Annotated[int, msgspec.Meta(ge=1, le=20, description="how many results")] | msgspec.UnsetType = msgspec.UNSET


class GoogleSearch(SessionTool):
    """See the module."""

    name: ClassVar[str] = "google_search"
    server: ClassVar[str] = "search_and_scrape_webpage"
    Arguments = Arguments
    aliases: ClassVar[dict[str, str]] = {"query": "q"}

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._provider: SearchProvider | None = None
        if context.scope.web:
            name = next(iter(PROVIDERS))
            self._provider = registry.load(PROVIDERS, name, "search provider")(**context.provider_options)

    def unavailable(self) -> str:
        scope = self.context.scope
        if scope.sample or scope.documents or scope.web:
            return ""
        return "there is nothing to search in: the sample library, your documents and the web are all switched off."

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, Arguments)
        query = " ".join(arguments.q.split())
        if not any(character.isalnum() for character in query):
            raise ToolError("q has no word in it; give a few words to search for.")
        limit = self.context.results if arguments.num is msgspec.UNSET else arguments.num
        notes: list[str] = []
        (local, local_note), (web, web_note) = await asyncio.gather(self._local(query, limit), self._web(query, limit))
        notes += [note for note in (local_note, web_note) if note]
        hits = _interleaved(local, web, limit)
        if not hits:
            where = "the local library and the web" if self._provider else "the local library"
            nothing = f'Nothing was found for "{query}" in {where}. Try fewer or other words.'
            return ToolResult(text="\n".join([*notes, nothing]), title="Nothing found", best=nothing)
        return self._result(query, hits, notes)

    async def _local(self, query: str, limit: int) -> tuple[list[Hit], str]:
        scope = self.context.scope
        if not (scope.sample or scope.documents):
            return [], ""
        found = await asyncio.to_thread(self.context.library.search, query, scope, limit)
        if found or '"' not in query:
            return list(found), ""
        found = await asyncio.to_thread(self.context.library.search, query.replace('"', " "), scope, limit)
        return list(found), "Nothing in the library with the quotation marks; searched without them." if found else ""

    async def _web(self, query: str, limit: int) -> tuple[list[Hit], str]:
        if self._provider is None:
            return [], ""
        label = self._provider.label
        try:
            found = await self._provider.search(query, limit)
            if found or '"' not in query:
                return list(found), ""
            found = await self._provider.search(query.replace('"', " "), limit)
            return list(
                found
            ), f"{label} found nothing with the quotation marks; searched without them." if found else ""
        except ToolError as error:
            scope = self.context.scope
            if not (scope.sample or scope.documents):
                raise
            return [], f"The web search failed ({error}). These results are from the local library only."

    def _result(self, query: str, hits: Sequence[Hit], notes: Sequence[str]) -> ToolResult:
        lines = [*notes, f'Results for "{query}":']
        fixed = sum(len(hit.title) + len(hit.uri) + len(LINK) + 10 for hit in hits) + sum(map(len, lines))
        room = max((self.context.observation_chars - fixed) // len(hits), _SHORTEST_SNIPPET)
        for number, hit in enumerate(hits, 1):
            lines += [
                f"{number}. {hit.title}",
                f"{LINK}{hit.uri}",
                f"   {_shortened(' '.join(hit.snippet.split()), room)}",
            ]
            self.context.seen.note(addresses_in(hit.snippet))
        top = hits[0]
        others = len(hits) - 1
        return ToolResult(
            text="\n".join(lines),
            title=top.title + (f" and {others} more" if others else ""),
            best=best_sentence(_ELLIPSIS.sub("", " ".join(top.snippet.split())), query, top.title) or top.title,
            passages=tuple(passage for hit in hits if (passage := self._passage(hit)) is not None),
            urls=tuple(hit.uri for hit in hits),
        )

    def _passage(self, hit: Hit) -> Passage | None:
        """The excerpt as a passage, when it stands in the document to the letter."""
        document = self.context.library.document(hit.uri) if hit.uri.startswith("library:") else None
        excerpt = _ELLIPSIS.sub("", hit.snippet)
        if document is None or not excerpt:
            return None
        start = document.text.find(excerpt, hit.start if hit.end else 0)
        if start < 0:
            return None
        return document.passage(start, start + len(excerpt))


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else textwrap.shorten(text, room, placeholder=" ...")


def _interleaved(local: Sequence[Hit], web: Sequence[Hit], limit: int) -> list[Hit]:
    """Alternate between the two lists (their scores do not compare), the library first, each address once."""
    merged: dict[str, Hit] = {}
    for index in range(max(len(local), len(web))):
        for hits in (local, web):
            if index < len(hits):
                merged.setdefault(hits[index].uri, hits[index])
    return list(merged.values())[:limit]
