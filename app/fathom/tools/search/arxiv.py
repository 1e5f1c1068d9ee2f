"""arXiv: papers of physics, mathematics and computer science, as an Atom feed. Needs no key.

The feed is read with lxml, which resolves no entity and loads nothing; a document type declaration is refused before
that, since only bombs carry one. arXiv tells of a wrong query by an entry that is titled "Error".
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, plain
from fathom.tools.search.transport import Call

_ATOM = "{http://www.w3.org/2005/Atom}"
_MOST_ENTRIES = 100


class Arxiv(WebProvider):
    """See the module."""

    name = "arxiv"
    label = "arXiv"
    site = "https://export.arxiv.org"
    about = "Papers of physics, mathematics and computer science. Needs no key."

    def request(self, query: str, limit: int, options: SearchOptions) -> Call:
        params = {"search_query": expression(query), "max_results": str(limit), "sortBy": "relevance"}
        params["start"] = str((options.page - 1) * limit)
        return Call(path="/api/query", params=params)

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        root = self._feed(body)
        hits = []
        for entry in root.findall(f"{_ATOM}entry")[:_MOST_ENTRIES]:
            title = plain(entry.findtext(f"{_ATOM}title") or "")
            summary = plain(entry.findtext(f"{_ATOM}summary") or "")
            address = (entry.findtext(f"{_ATOM}id") or "").strip()
            if title == "Error" or "/api/errors" in address:
                raise ToolError(f"{self.label} refused the search: {summary[:200]}")
            authors = [plain(name.text or "") for name in entry.findall(f"{_ATOM}author/{_ATOM}name")[:20]]
            year = (entry.findtext(f"{_ATOM}published") or "")[:4]
            by = f"{', '.join(authors[:3])}{' and others' if len(authors) > 3 else ''}"
            told = ", ".join(part for part in (by, year) if part)
            snippet = ". ".join(part for part in (told, summary) if part)
            hits.append(self.hit(address.replace("http://", "https://", 1), title, snippet))
        return hits

    def _feed(self, body: bytes) -> etree._Element:
        # UTF-16 would hide the letters of a declaration from the search for them
        if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\x00" in body or body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ToolError(f"{self.label} answered with a document type declaration, which only a bomb carries")
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
        )
        try:
            root = etree.fromstring(body, parser)
        except etree.XMLSyntaxError:
            raise self.nonsense(body) from None
        if root.tag != f"{_ATOM}feed":
            raise self.nonsense(body)
        return root


def expression(query: str) -> str:
    """The words joined with AND, phrases in quotation marks kept: arXiv takes bare words for alternatives."""
    terms = []
    for position, part in enumerate(query.split('"')):
        if position % 2:
            terms += [f'all:"{" ".join(_words(part))}"'] if _words(part) else []
        else:
            terms += [f"all:{word}" for word in _words(part)]
    return " AND ".join(terms)


def _words(text: str) -> list[str]:
    cleaned = "".join(c if c.isalnum() or c in "-." else " " for c in text)
    return [word for word in (one.strip("-.") for one in cleaned.split()) if word not in ("", "AND", "OR", "ANDNOT")]
