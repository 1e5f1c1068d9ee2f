"""Whatever the bytes are, an extractor gives a document or raises ToolError."""

from __future__ import annotations

import io
import itertools
import re
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import EXTRACTORS
from fathom.tools.extract.charset import clean, tidy
from fathom.tools.extract.kinds import kind_of
from fathom.tools.extract.passages import blocks
from fathom.tools.extract.select import select

TAGS = re.findall(
    r"\w+",
    "p div span a ul ol li dl dt dd table tr td th thead caption pre code br h1 h2 main article nav blockquote math",
)
ATTRIBUTES = ("", " class=line", " class=highlight", " rowspan=3", " colspan=9999", " hidden", " role=main", " start=7")
PIECES = st.one_of(
    st.builds(lambda tag, attribute: f"<{tag}{attribute}>", st.sampled_from(TAGS), st.sampled_from(ATTRIBUTES)),
    st.builds(lambda tag: f"</{tag}>", st.sampled_from(TAGS)),
    st.text(alphabet="ab .|`\n\t<&;등燈", max_size=12),
    st.sampled_from(
        ["<!-- x -->", "<?x?>", "&#0;", "&#xd800;", "<![CDATA[x]]>", "\0", "\ufffe", "<", "The lamp was lit. " * 9]
    ),
)
XML_TAGS = re.findall(
    r"\S+",
    "rss channel item title link description feed entry content sec p run t tbl tr tc subList w:p w:r w:t w:tbl a:t",
)
XML = st.lists(
    st.one_of(
        st.builds(lambda tag, end: f"<{end}{tag}>", st.sampled_from(XML_TAGS), st.sampled_from(["", "/"])),
        st.text(alphabet="ab 등&<", max_size=8),
    ),
    max_size=30,
).map("".join)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(kind, data, charset=""):
    """The document, or None when the extractor says what is wrong. Everything else propagates and fails the test."""
    try:
        document = registry.load(EXTRACTORS, kind, "kind")(data, "http://x/a", charset)
    except ToolError as error:
        assert str(error)
        return None
    assert isinstance(document, Document) and (document.text.strip() or kind == "text")
    document.text.encode("utf-8")  # no half of a surrogate pair
    assert "\0" not in document.text and "\r" not in document.text
    assert list(document.pages) == sorted(document.pages)
    return document


@pytest.mark.parametrize("kind", EXTRACTORS)
@QUIET
@given(data=st.binary(max_size=300), charset=st.sampled_from(["", "utf-8", "euc-kr", "idna", "utf-16", "x\0"]))
@example(data=b"PK\x05\x06" + bytes(18), charset="")
@example(data=b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R>>endobj trailer<</Root 1 0 R>>", charset="")
def test_random_bytes(kind, data, charset):
    read(kind, data, charset)


@QUIET
@given(st.lists(PIECES, max_size=40).map("".join))
@example("<pre>" * 60 + "x")
@example("<table><tr><td>" * 40 + "x")
@example("<ul><li>" * 90 + "x")
@example("<table><tr>" + "<td rowspan=60000>x" * 3 + "<tr>" * 50)
def test_random_html(page):
    read("html", page.encode("utf-8", "replace"))


@pytest.mark.parametrize("kind", ["feed", "csv", "json"])
@QUIET
@given(text=XML)
def test_random_text_of_other_kinds(kind, text):
    read(kind, text.encode())


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("docx", "word/document.xml"),
        ("xlsx", "xl/workbook.xml"),
        ("pptx", "ppt/presentation.xml"),
        ("hwpx", "Contents/section0.xml"),
    ],
)
@QUIET
@given(body=XML, cut=st.integers(0, 400))
def test_random_parts_of_archives(kind, part, body, cut):
    spaces = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:a="x"'
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(part, f"<x {spaces}>{body}</x>")
        archive.writestr("[Content_Types].xml", f"<x>{body}</x>")
    read(kind, stream.getvalue())
    read(kind, stream.getvalue()[cut:])
    read(kind, stream.getvalue()[: len(stream.getvalue()) - cut])


@QUIET
@given(st.binary(max_size=200), st.sampled_from(["", "text/html", "image/png", "a/b+xml"]), st.text(max_size=20))
def test_the_kind_is_one_of_the_registry_or_an_error(data, media, name):
    try:
        assert kind_of(data, media, name) in EXTRACTORS
    except ToolError as error:
        assert str(error)


@QUIET
@given(st.text(max_size=200))
def test_cleaning_twice_changes_nothing(text):
    assert clean(clean(text)) == clean(text)
    assert tidy(tidy(text)) == tidy(text)


@QUIET
@given(
    st.lists(
        st.sampled_from(["```", "````", "```py", "# a", "| a | b |", "| --- | --- |", "x y.", "", "  z"]), max_size=30
    )
)
def test_blocks_of_markdown_cover_it_and_selection_stays_in_its_budget(lines):
    text = "\n".join(lines)
    found = blocks(text, 40)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    kept = "\n".join(text[block.start : block.end] for block in found)
    assert set(kept.split()) <= set(text.split()) and ("x" in kept) == ("x" in text)
    assert len(select(text, "x y", 200, pages=(0, 30)).text) <= max(
        200, len(text.strip()) if len(text.strip()) <= 200 else 0
    )
