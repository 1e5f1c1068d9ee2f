"""google_search: the local library and, when the person switched the web on, the search services that they chose.

The name and arguments are those that research models were trained on. A provider's error is told, never shown as "no
results"; a fall-back is said aloud, to the model and to the person.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions, ToolResult
from fathom.core.types import Passage
from fathom.tools.context import LINK, SessionTool
from fathom.tools.extract.select import best_sentence
from fathom.tools.search.merge import canonical
from fathom.tools.seen import addresses_in

_ELLIPSIS = re.compile(r"^\s*(?:\.\.\.|…|\[\.\.\.\])\s*|\s*(?:\.\.\.|…|\[\.\.\.\])\s*$")
_SHORTEST_SNIPPET = 100


class Arguments(msgspec.Struct, frozen=True):
    """Search for documents and web pages. Gives a list of titles, links and short excerpts.
    Use a few telling words or a name, and search for one thing at a time."""

    q: Annotated[str, Meta(min_length=2, max_length=160, description="what to search for")]
    num: Annotated[int, Meta(ge=1, le=20, description="how many results")] | UnsetType = UNSET
    gl: Annotated[str, Meta(max_length=2, description="country of two letters, like us")] | UnsetType = UNSET
    hl: Annotated[str, Meta(max_length=12, description="language of two letters, like en")] | UnsetType = UNSET
    location: Annotated[str, Meta(max_length=100, description="city or region to search from")] | UnsetType = UNSET
    tbs: Annotated[str, Meta(max_length=12, description="time: qdr:d, qdr:w, qdr:m, qdr:y")] | UnsetType = UNSET
    page: Annotated[int, Meta(ge=1, le=50, description="page of the results")] | UnsetType = UNSET
    autocorrect: Annotated[bool, Meta(description="correct the spelling")] | UnsetType = UNSET

    def options(self) -> SearchOptions:
        """What goes to the services beside the words."""
        names = ("gl", "hl", "location", "tbs", "page", "autocorrect")
        given = {name: value for name in names if (value := getattr(self, name)) is not UNSET}
        return SearchOptions(**given)


class GoogleSearch(SessionTool):
    """See the module."""

    name: ClassVar[str] = "google_search"
    server: ClassVar[str] = "search_and_scrape_webpage"
    Arguments = Arguments
    aliases: ClassVar[dict[str, str]] = {"query": "q"}

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
        limit = self.context.results if arguments.num is UNSET else arguments.num
        options = arguments.options()
        (local, local_notes), (web, web_notes) = await asyncio.gather(
            self._local(query, limit, options.page), self._web(query, limit, options)
        )
        notes = [*local_notes, *web_notes]
        hits = _interleaved(local, web, limit)
        if not hits:
            places = ("the local library and " if self._has_library else "") + f"the web ({self.context.search.label})"
            where = places if self.context.scope.web else "the local library"
            nothing = f'Nothing was found for "{query}" in {where}. Try fewer or other words.'
            return ToolResult(text="\n".join([*notes, nothing]), title="Nothing found", best=nothing)
        return self._result(query, hits, notes)

    @property
    def _has_library(self) -> bool:
        return self.context.scope.sample or self.context.scope.documents

    async def _local(self, query: str, limit: int, page: int) -> tuple[list[Hit], list[str]]:
        if not self._has_library:
            return [], []
        search, scope, offset = self.context.library.search, self.context.scope, (page - 1) * limit
        found = await asyncio.to_thread(search, query, scope, limit, offset)
        if found or '"' not in query:
            return list(found), []
        found = await asyncio.to_thread(search, query.replace('"', " "), scope, limit, offset)
        return list(found), ["Nothing in the library with the quotation marks; searched without them."] if found else []

    async def _web(self, query: str, limit: int, options: SearchOptions) -> tuple[list[Hit], list[str]]:
        if not self.context.scope.web:
            return [], []
        gate = self.context.gate
        try:
            found = await self.context.search.search(query, limit, options, gate.search)
        except ToolError as error:
            if not self._has_library:
                raise
            note = f"The web search failed ({error}). These results are from the local library only."
            gate.tell(note)
            return [], [note]
        for note in found.told:
            gate.tell(note)
        return found.hits, found.notes

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
                merged.setdefault(canonical(hits[index].uri), hits[index])
    return list(merged.values())[:limit]
