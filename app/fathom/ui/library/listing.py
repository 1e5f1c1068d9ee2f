"""What the middle column lists, made of what the library found: rows with their words, or why there are none.

Pure: values in, values out; asks no service and draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fathom.ui.library import words
from fathom.ui.library.rows import Row, one_paragraph
from fathom.ui.research.timeline_text import clean
from fathom.ui.research.words import count

if TYPE_CHECKING:
    from fathom.services.library_service import Collection, Entry, Failure, Found, Twins

RESULTS = 30
"""A search shows so many results at most."""
MOST_PROBLEMS = 1_000


class Nothing(msgspec.Struct, frozen=True):
    """Why the list is empty."""

    icon: str
    title: str
    text: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and the line below them. ``total`` is how many there are when more are fetched page by page, else 0."""

    rows: Sequence[Row]
    foot: str
    total: int = 0


def results(query: str, found: Sequence[Found], collection: Collection) -> Listing | Nothing:
    """What a search found, best first, with the words to mark."""
    if not found:
        blocked = collection.preference == "blocked"
        text = (
            "This collection is blocked: it is not searched. Unblock it under More."
            if blocked
            else "Try fewer or other words, or all folders."
        )
        return Nothing("search", f"Nothing about “{query}”", text)
    best = f"The best {len(found)} results" if len(found) == RESULTS else count(len(found), "result")
    return Listing(rows=[_result(one, _root(collection)) for one in found], foot=f"{best}, best first")


def documents(total: int, entries: Sequence[Entry], collection: Collection, reading: bool) -> Listing | Nothing:
    """The first page of all documents; ``reading`` while they are being indexed."""
    if total:
        return Listing(
            rows=[entry_row(entry, collection) for entry in entries], foot=count(total, "document"), total=total
        )
    if reading:
        return Nothing("clock", "The first documents come in a moment", "They can be found as they come.")
    return Nothing("folder", "No documents here", "Put files into the folder, or look at “Not read”.")


def problems(failed: Sequence[Failure]) -> Listing | Nothing:
    """The files that could not be read, why, and what helps."""
    if not failed:
        return Nothing("ok", "Everything could be read", "Files that cannot be read are listed here.")
    from fathom.services.library_service import advice

    rows = [
        Row(
            title=one.path,
            text=one_paragraph(_sentence(one.reason))[0],
            icon="warn",
            token="orange" if one.scanned else "red",
            lines=3,
            remedy=advice(one),
        )
        for one in failed[:MOST_PROBLEMS]
    ]
    more = f"; the first {MOST_PROBLEMS:,} are listed" if len(failed) > MOST_PROBLEMS else ""
    what = count(len(failed), "file or line", "files or lines")
    return Listing(rows=rows, foot=f"{what} could not be read; the rest is here{more}")


def twins(found: Sequence[Twins], collection: Collection) -> Listing | Nothing:
    """Texts that stand in more than one file."""
    if not found:
        return Nothing("ok", "No duplicates", "Files with the same text are listed here, and found once.")
    root = _root(collection)
    rows = [
        Row(
            title=one.title,
            second=f"{len(one.paths)} files with the same text; a search finds it once",
            text="\n".join(clean(words.place(path, root)) for path in one.paths),
            icon="copy",
            uri=one.uri,
            lines=4,
        )
        for one in found
    ]
    return Listing(rows=rows, foot=count(len(found), "text") + " in more than one file")


def entry_row(entry: Entry, collection: Collection) -> Row:
    """A document in the list of all."""
    place = words.place(entry.path, _root(collection))
    if entry.path == collection.path or collection.kind == "sample":  # many documents in one file
        place = ""
    parts = [part for part in (place, *words.details(entry.author, entry.date, entry.pages)) if part]
    if place:
        parts.append(words.size(entry.size))
    return Row(
        title=entry.title,
        second="  ·  ".join(parts) or entry.uri.rpartition("/")[2],
        icon="result",
        uri=entry.uri,
        path=entry.path,
    )


def _result(one: Found, root: str) -> Row:
    hit = one.hit
    parts = [words.place(hit.path, root)]
    if hit.page:
        parts.append(f"page {hit.page}")
    if hit.also:
        parts.append(f"also in {count(len(hit.also), 'other file')}")
    text, places = one_paragraph(hit.snippet, one.places)
    return Row(
        title=hit.title,
        second="  ·  ".join(parts),
        text=text,
        places=places,
        icon="quote",
        uri=hit.uri,
        path=hit.path,
        start=hit.start,
        end=hit.end,
        lines=3,
    )


def _root(collection: Collection) -> str:
    return collection.path if collection.kind == "documents" else ""


def _sentence(text: str) -> str:
    text = clean(text).strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?", ")")) else ".")
