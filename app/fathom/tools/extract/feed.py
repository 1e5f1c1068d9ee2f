"""RSS and Atom feeds to Markdown: the entries with their addresses, dates and summaries."""

from __future__ import annotations

import re
from collections.abc import Iterator

import lxml.etree
import lxml.html
from lxml.etree import _Element

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import office
from fathom.tools.extract.charset import decode, tidy
from fathom.tools.extract.drawing import draw, joined

_ENTRIES = frozenset({"item", "entry"})
_DATES = ("published", "pubdate", "date", "updated", "issued")
_BODIES = ("encoded", "content", "description", "summary")
_AUTHORS = ("creator", "author", "name")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE", re.I)
_MAX_ENTRIES = 1000


def extract_feed(data: bytes, url: str = "", charset: str = "") -> Document:
    """The entries of a feed. Raises ToolError when it is broken or has none."""
    page = _DECLARATION.sub("", decode(data, charset)).replace("\0", "")
    if _DOCTYPE.search(page[:4096]):
        raise ToolError("the feed defines entities of its own: refused")
    root = office.xml(page.encode("utf-8", "replace"), "feed")
    entries = [element for element in root.iter() if _name(element) in _ENTRIES][:_MAX_ENTRIES]
    head = next((element for element in root.iter() if _name(element) in ("channel", "feed")), root)
    title = _plain(_child(head, ("title",)))
    text = "\n\n".join(["\n".join(_entry(entry)) for entry in entries])
    if not text.strip():
        raise ToolError("the feed has no entries")
    about = _plain(_child(head, ("description", "subtitle")))
    date = _plain(_child(head, ("lastbuilddate", *_DATES)))
    return Document(uri=url, title=title[:200], text=tidy(f"{about}\n\n{text}"), date=date[:40])


def _entry(entry: _Element) -> Iterator[str]:
    yield f"## {_plain(_child(entry, ('title',))) or 'Without a title'}"
    link = _link(entry)
    if link:
        yield link
    told = [_plain(_child(entry, names)) for names in (_DATES, _AUTHORS)]
    if any(told):
        yield ", ".join(filter(None, told))
    body = _body(entry)
    if body:
        yield "\n" + body


def _link(entry: _Element) -> str:
    for element in entry:
        if _name(element) == "link":
            address = (element.text or "").strip() or (element.get("href") or "").strip()
            if address.startswith(("http://", "https://")) and element.get("rel", "alternate") == "alternate":
                return address
    return ""


def _body(entry: _Element) -> str:
    element = _child(entry, _BODIES)
    if element is None:
        return ""
    html = element.text or ""
    if len(element):  # Atom's XHTML, or HTML that was not escaped
        html += "".join(lxml.etree.tostring(child, encoding="unicode") for child in element)
    if not html.strip():
        return ""
    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True)
    try:
        return joined(
            draw(lxml.html.document_fromstring(f"<div>{html}</div>".encode("utf-8", "replace"), parser=parser))
        )
    except (lxml.etree.LxmlError, ValueError):
        return ""


def _child(element: _Element, names: tuple[str, ...]) -> _Element | None:
    """The first child of the first of the names that there is one of."""
    for name in names:
        for child in element:
            if _name(child) == name and ("".join(child.itertext()).strip() or len(child)):
                return child
    return None


def _plain(element: _Element | None) -> str:
    if element is None:
        return ""
    text = " ".join("".join(str(part) for part in element.itertext()).split())
    return re.sub(r"<[^<>]{1,200}>", "", text)[:500]


def _name(element: _Element) -> str:
    return office.local_name(element).lower()
