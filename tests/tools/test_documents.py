"""Word, Excel, PowerPoint, HWPX, CSV, JSON and feeds: made here, read through their extractors."""

from __future__ import annotations

import datetime
import io
import zipfile

import openpyxl
import pptx
import pytest
from pptx.util import Inches

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.tools.extract import EXTRACTORS
from fathom.tools.extract.data import extract_csv, extract_json
from fathom.tools.extract.docx import extract_docx
from fathom.tools.extract.feed import extract_feed
from fathom.tools.extract.hwpx import extract_hwpx
from fathom.tools.extract.kinds import SUFFIXES, kind_of
from fathom.tools.extract.pptx import extract_pptx
from fathom.tools.extract.xlsx import extract_xlsx

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>Lights</dc:title>'
    "<dc:creator>A. Keeper</dc:creator><dcterms:modified>2024-05-06T07:08:09Z</dcterms:modified></cp:coreProperties>"
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)


def zipped(parts, level=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", level) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def claiming(data, size):
    """The archive with another size in the directory's record of each entry."""
    changed = bytearray(data)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + 24 : place + 28] = size.to_bytes(4, "little")
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def paragraph(text, style=""):
    marked = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{marked}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def word(body, **parts):
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
            'ContentType="application/xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
            "word/styles.xml": f'<w:styles xmlns:w="{WORD}"><w:style w:type="paragraph" w:styleId="Titel1">'
            '<w:name w:val="heading 1"/></w:style></w:styles>',
            "docProps/core.xml": CORE,
        }
        | parts
    )


def row(*cells):
    return "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in cells) + "</w:tr>"


def test_a_word_document_keeps_headings_tables_title_author_and_date():
    body = paragraph("Lights", "Titel1") + paragraph("The lamp was lit.")
    body += "<w:tbl>" + row("name", "built") + row("Skerryvore", "1844") + "</w:tbl>"
    document = extract_docx(word(body), "file:///a.docx")
    assert document.text == ("# Lights\n\nThe lamp was lit.\n\n| name | built |\n| --- | --- |\n| Skerryvore | 1844 |")
    assert (document.title, document.author, document.date) == ("Lights", "A. Keeper", "2024-05-06T07:08:09Z")
    assert document.uri == "file:///a.docx"


def workbook():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Towers"
    sheet.append(["name", "built", "height", "lit"])
    sheet.append(["Skerryvore", datetime.date(1844, 2, 1), 48.0, True])
    sheet.append(["Bell | Rock", None, 35.5])
    book.create_sheet("Empty")
    book.create_sheet("Keepers").append(["Stevenson", "Alan"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_workbook_is_a_table_a_sheet():
    assert extract_xlsx(workbook()).text == (
        "## Towers\n\n| name | built | height | lit |\n| --- | --- | --- | --- |\n"
        "| Skerryvore | 1844-02-01 | 48 | True |\n| Bell \\| Rock |  | 35.5 |\n\n"
        "## Keepers\n\n| Stevenson | Alan |\n| --- | --- |"
    )


def test_a_cell_at_the_far_end_of_a_sheet_does_not_make_a_table_of_that_size():
    book = openpyxl.Workbook()
    book.active["A1"] = "here"
    book.active["XFD1048576"] = "there"
    stream = io.BytesIO()
    book.save(stream)
    assert len(extract_xlsx(stream.getvalue()).text) < 1000


def presentation():
    shown = pptx.Presentation()
    slide = shown.slides.add_slide(shown.slide_layouts[1])
    slide.shapes.title.text = "Lights of the north"
    frame = slide.placeholders[1].text_frame
    frame.text = "They were built of granite"
    second = frame.add_paragraph()
    second.text, second.level = "from Tiree", 1
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(5), Inches(4), Inches(1)).table
    for place, text in (((0, 0), "name"), ((0, 1), "built"), ((1, 0), "Skerryvore"), ((1, 1), "1844")):
        table.cell(*place).text = text
    slide.notes_slide.notes_text_frame.text = "Tell of the storm."
    shown.slides.add_slide(shown.slide_layouts[6])
    shown.slides.add_slide(shown.slide_layouts[5]).shapes.title.text = "Thanks"
    stream = io.BytesIO()
    shown.save(stream)
    return stream.getvalue()


def test_a_presentation_is_a_heading_a_slide_and_each_slide_is_a_page():
    document = extract_pptx(presentation())
    assert document.text == (
        "## Slide 1: Lights of the north\n\n- They were built of granite\n  - from Tiree\n\n"
        "| name | built |\n| --- | --- |\n| Skerryvore | 1844 |\n\nNotes: Tell of the storm.\n\n"
        "## Slide 2\n\n## Slide 3: Thanks"
    )
    assert [document.text[start : start + 10] for start in document.pages] == ["## Slide 1", "## Slide 2", "## Slide 3"]


def hwpx(section, **parts):
    spaces = (
        'xmlns:hs="http://www.hancom.co.kr/hwpml/2011/section" xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph"'
    )
    return zipped(
        {
            "mimetype": "application/hwp+zip",
            "Contents/content.hpf": '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata><opf:title>등대'
            '</opf:title><opf:meta name="creator" content="text">지기</opf:meta></opf:metadata></opf:package>',
            "Contents/section10.xml": f"<hs:sec {spaces}><hp:p><hp:run><hp:t>끝</hp:t></hp:run></hp:p></hs:sec>",
            "Contents/section2.xml": f"<hs:sec {spaces}>{section}</hs:sec>",
        }
        | parts
    )


def test_a_hwpx_keeps_the_order_of_sections_tables_and_line_breaks():
    def said(text):
        return f"<hp:p><hp:run><hp:t>{text}</hp:t></hp:run></hp:p>"

    cells = "".join(f"<hp:tc><hp:subList>{said(text)}</hp:subList></hp:tc>" for text in ("이름", "높이"))
    table = (
        f"<hp:p><hp:run><hp:t>표:</hp:t><hp:tbl><hp:tr>{cells}</hp:tr><hp:tr>{cells}</hp:tr></hp:tbl></hp:run></hp:p>"
    )
    document = extract_hwpx(hwpx(said("등대<hp:lineBreak/>지기") + table))
    assert document.text == "등대\n지기\n\n표:\n\n| 이름 | 높이 |\n| --- | --- |\n| 이름 | 높이 |\n\n끝"
    assert (document.title, document.author) == ("등대", "지기")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,built\nSkerryvore,1844\n", "| name | built |\n| --- | --- |\n| Skerryvore | 1844 |"),
        ('name;built\n"a; b|c";2\n', "| name | built |\n| --- | --- |\n| a; b\\|c | 2 |"),
        ("name\tbuilt\r\n\r\nx\ty\r\n", "| name | built |\n| --- | --- |\n| x | y |"),
        ("only one column\nof text\n", "| only one column |\n| --- |\n| of text |"),
        ("a,b\n1,2,3\n", "| a | b |  |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
    ],
)
def test_a_csv_is_a_table_whatever_its_delimiter(text, said):
    assert extract_csv(text.encode()).text == said


def test_json_has_a_line_for_each_part_and_broken_json_stays_as_it_is():
    assert extract_json('{"이름": ["a", 1]}'.encode()).text == '{\n "이름": [\n  "a",\n  1\n ]\n}'
    assert extract_json(b'{"a": 1}\n{"a": 2}').text == '{"a": 1}\n{"a": 2}'
    assert extract_json(b"[" * 100_000).text.startswith("[[[")


RSS = b"""<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel><title>Northern lights</title><description>All of them</description>
<item><title>A lamp is lit</title><link>http://x.example/1</link><pubDate>Mon, 1 Jan 2024 10:00:00 GMT</pubDate>
<description>&lt;p&gt;The keeper &lt;b&gt;lit&lt;/b&gt; it.&lt;/p&gt;</description></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Lights</title><updated>2024-02-03</updated>
<entry><title>Out</title><link rel="alternate" href="http://x.example/2"/><author><name>Keeper</name></author>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Lit &amp; out</p></div></content></entry></feed>"""


def test_feeds_list_their_entries_with_their_addresses():
    rss, atom = extract_feed(RSS), extract_feed(ATOM)
    assert rss.title == "Northern lights"
    assert rss.text == (
        "All of them\n\n## A lamp is lit\nhttp://x.example/1\nMon, 1 Jan 2024 10:00:00 GMT\n\nThe keeper lit it."
    )
    assert (atom.title, atom.date) == ("Lights", "2024-02-03")
    assert atom.text == "## Out\nhttp://x.example/2\nKeeper\n\nLit & out"


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("extract", "data", "said"),
    [
        (extract_docx, b"PK\x03\x04 and nothing", "broken"),
        (extract_docx, zipped({"a.txt": "x"}), "broken"),
        (extract_docx, word(""), "no text"),
        (
            extract_docx,
            word(paragraph("x"), **{"word/document.xml": f"<?xml version='1.0'?>{ENTITIES}<x>&b;</x>"}),
            "entities",
        ),
        (extract_docx, claiming(zipped({"word/document.xml": " "}), 61 * 2**20), "more than 60 MB"),
        (extract_xlsx, claiming(zipped({f"xl/{n}.bin": b"" for n in range(5)}), 50 * 2**20), "more than 200 MB"),
        (extract_xlsx, b"", "broken"),
        (extract_pptx, claiming(zipped({"ppt/x": b""}), 201 * 2**20), "more than 200 MB"),
        (extract_pptx, word(paragraph("x")), "broken"),
        (extract_hwpx, zipped({"mimetype": "application/hwp+zip"}), "no section"),
        (extract_hwpx, hwpx("", **{"META-INF/manifest.xml": "<x><encryption-data/></x>"}), "encrypted"),
        (extract_csv, b" \n", "empty"),
        (extract_json, b"", "empty"),
        (extract_feed, b"<rss><channel><title>x</title></channel></rss>", "no entries"),
        (extract_feed, f"<?xml version='1.0'?>{ENTITIES}<rss><channel/></rss>".encode(), "entities"),
        (extract_feed, b"", "broken"),
    ],
)
def test_broken_encrypted_empty_and_exploding_files_are_told_apart(extract, data, said):
    with pytest.raises(ToolError, match=said):
        extract(data)


def test_a_zip_whose_entry_lies_about_its_size_is_broken():
    with pytest.raises(ToolError, match="broken"):
        extract_docx(claiming(word(paragraph("The lamp. " * 5000)), 300))


def test_an_archive_of_very_many_files_is_refused():
    with pytest.raises(ToolError, match="10,000 files"):
        extract_pptx(zipped({f"{n}": b"" for n in range(10_001)}))


@pytest.mark.parametrize(
    ("data", "media", "name", "kind"),
    [
        (b"%PDF-1.7 x", "text/html", "", "pdf"),
        (b"\n  <!DOCTYPE html><p>", "", "a.txt", "html"),
        (b"<!-- made by hand -->\n<html>", "text/plain", "", "html"),
        (b'<?xml version="1.0"?>\n<!-- x --><rss version="2.0">', "text/xml", "", "feed"),
        (b"<feed xmlns='x'>", "application/xml", "", "feed"),
        (word(""), "application/octet-stream", "", "docx"),
        (workbook(), "application/zip", "", "xlsx"),
        (presentation(), "", "", "pptx"),
        (hwpx(""), "", "a.zip", "hwpx"),
        (b"a,b", "text/csv; charset=utf-8", "", "csv"),
        (b"a,b", "text/plain", "/data/a.csv?x=1", "csv"),
        (b"{}", "application/ld+json", "", "json"),
        (b"{}", "", "a.json", "json"),
        (b"# Lamp", "", "README.md", "text"),
        (b"<p>x", "text/html", "", "html"),
        (b"<p>x", "", "page.htm", "html"),
        ("등대".encode("utf-16"), "", "a.txt", "text"),
    ],
)
def test_the_kind_is_known_by_bytes_then_media_type_then_name(data, media, name, kind):
    assert kind_of(data, media, name) == kind


@pytest.mark.parametrize(
    ("data", "media", "name", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "image/png", "", "image/png"),
        (b"\0\0\0", "", "x", "binary"),
        (zipped({"a": "b"}), "", "a.zip", "archive"),
        (OLE, "", "a.doc", "old binary format"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "", "a.docx", "encrypted"),
        (b"hello", "", "a.docx", "broken"),
        (b"hello", "application/pdf; x", "a.pdf", ""),
    ],
)
def test_what_cannot_be_read_is_told(data, media, name, said):
    if not said:
        assert kind_of(data, media, name) == "pdf"  # the parser says that it is broken
        return
    with pytest.raises(ToolError, match=said):
        kind_of(data, media, name)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_every_kind_has_its_extractor_and_a_suffix(kind):
    assert callable(registry.load(EXTRACTORS, kind, "kind"))
    assert kind in SUFFIXES.values()
