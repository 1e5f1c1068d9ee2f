"""HTML, PDF and text extraction, and the charset."""

from __future__ import annotations

import pytest

from fathom.core.errors import ToolError
from fathom.tools.extract.charset import decode, tidy
from fathom.tools.extract.drawing import draw
from fathom.tools.extract.html import extract_html
from fathom.tools.extract.pdf import extract_pdf
from fathom.tools.extract.text import extract_text

SENTENCES = [f"The keeper number {n} of the tower lit the lamp and wrote the weather down." for n in range(8)]
ARTICLE = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)


def pdf_of(*pages, trailer=b"", texts=True):
    """A PDF by hand: one line of text a page."""
    kids = b" ".join(b"%d 0 R" % (10 + 2 * n) for n in range(len(pages)))
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: b"<< /Title (A report) >>",
        5: b"<< /Filter /Standard /V 1 /R 2 /O (%s) /U (%s) /P -4 >>" % (b"x" * 32, b"y" * 32),
    }
    for n, text in enumerate(pages):
        stream = b"BT /F1 12 Tf 72 700 Td (%s) Tj ET" % text if texts else b"0 0 100 100 re f"
        objects[10 + 2 * n] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (11 + 2 * n)
        )
        objects[11 + 2 * n] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)
    data = b"%PDF-1.4\n"
    offsets = {}
    for number, body in sorted(objects.items()):
        offsets[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n" + b"".join(b"%d 1\n%010d 00000 n \n" % pair for pair in offsets.items())
    return data + b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (
        max(offsets) + 1,
        trailer,
        start,
    )


def test_the_article_is_kept_and_the_frame_around_it_is_not():
    frame = (
        "<html><head><title>Towers</title></head><body><nav>Home Shop</nav><div>%s</div><footer>Imprint 2020</footer>"
    )
    page = frame % ARTICLE
    document = extract_html(page.encode(), "http://x/")
    assert document.title == "Towers" and document.uri == "http://x/"
    assert all(sentence in document.text for sentence in SENTENCES)
    assert "Shop" not in document.text and "Imprint" not in document.text


def test_a_documentation_page_keeps_code_tables_and_lists():
    page = (
        f"<html><body><main><h1>open</h1>{ARTICLE}<pre>def f(x):\n    return x\n</pre><table><tr><th>mode</th><th>means"
        "</th></tr><tr><td>r</td><td>read</td></tr></table><ul>"
        + "".join(f"<li>item {n}</li>" for n in range(6))
        + "</ul></main></body></html>"
    )
    text = extract_html(page.encode()).text
    assert "```\ndef f(x):\n    return x\n```" in text
    assert "| mode | means |\n| --- | --- |\n| r | read |" in text
    assert "- item 0\n- item 1" in text and "# open" in text


def test_an_xml_declaration_and_an_encoding_in_the_page_do_not_confuse():
    page = '<?xml version="1.0" encoding="EUC-KR"?><html><head><meta charset="euc-kr"></head><body>'
    page += f"<p>등대지기는 등불을 켰다. </p>{ARTICLE}"
    assert "등대지기는 등불을 켰다." in extract_html(page.encode("euc-kr")).text


def test_a_short_page_shows_what_it_has():
    assert extract_html(b"<p>Only this.</p>").text == "Only this."


@pytest.mark.parametrize("page", [b"", b"<html></html>", b"<script>document.write('x')</script>"])
def test_a_page_without_text_is_told(page):
    with pytest.raises(ToolError):
        extract_html(page)


def test_scripts_styles_and_hidden_parts_are_not_drawn():
    from lxml.html import document_fromstring

    root = document_fromstring("<div>a<script>b</script>c<p style='display: none'>d</p>e<!-- f -->g</div>")
    assert "".join(piece.text for piece in draw(root)) == "aceg"


def test_pdf_pages_become_text_with_the_title():
    document = extract_pdf(pdf_of(b"The lighthouse report", b"Second page here"), "http://x/a.pdf")
    assert document.title == "A report"
    assert document.text == "The lighthouse report\n\nSecond page here"
    assert [document.text[start:][:6] for start in document.pages] == ["The li", "Second"]


def test_a_page_without_text_keeps_its_number():
    document = extract_pdf(pdf_of(b"The first page of three", b"", b"The last page of three"))
    assert len(document.pages) == 3
    assert document.text[document.pages[2] :] == "The last page of three"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.4\nnothing", "broken"),
        (b"", "broken"),
        (pdf_of(b"x", texts=False), "scanned"),
        (pdf_of(b"secret", trailer=b"/Encrypt 5 0 R /ID [(a)(b)]"), "encrypted"),
    ],
)
def test_broken_scanned_and_encrypted_pdfs_are_told_apart(data, said):
    with pytest.raises(ToolError, match=said):
        extract_pdf(data)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("euc-kr", "등대지기는 저녁마다 등불을 켜고 날씨를 적었다. 마을 사람들은 모두 그를 알았다."),
        ("shift_jis", "灯台守は毎晩ランプに火をともし、天気を書きとめた。村の人はみな彼を知っていた。"),
        ("gb18030", "灯塔看守人每天晚上点亮灯，记下天气。村里的人都认识他。"),
        ("big5", "燈塔看守人每天晚上點亮燈，記下天氣。村裡的人都認識他。"),
    ],
)
class TestCharsets:
    def test_the_header_is_believed(self, encoding, text):
        assert decode(text.encode(encoding), encoding) == text

    def test_the_meta_tag_is_believed(self, encoding, text):
        page = f'<meta charset="{encoding}">{text}'
        assert decode(page.encode(encoding)) == page

    def test_a_wrong_header_does_not_raise(self, encoding, text):
        assert decode(text.encode(encoding), "utf-8")

    def test_a_wrong_header_and_no_meta_tag_are_detected(self, encoding, text):
        assert decode((text * 5).encode(encoding), "utf-8") == text * 5

    def test_one_broken_byte_does_not_change_the_charset(self, encoding, text):
        data = (text * 3).encode(encoding)
        read = decode(data[:40] + b"\xff" + data[40:], encoding)
        assert sum(character in text for character in read) > 0.9 * len(read)


def test_a_byte_order_mark_wins_over_the_header():
    assert decode("\ufeffträumen".encode("utf-16-le"), "ascii") == "träumen"
    assert decode("\ufeffträumen".encode(), "euc-kr") == "träumen"


@pytest.mark.parametrize(
    "charset",
    ["no-such-charset", "hex", "idna", "undefined", "utf-7", "unicode_escape", "rot13", "punycode", "a\0b", "utf-16"],
)
@pytest.mark.parametrize("data", [b"", b"\xff\xfe\xfd", bytes(range(256)) * 3, b"\xc3\x28", b"\\u0041 xn--a+AGE-"])
def test_decoding_never_raises(data, charset):
    assert isinstance(decode(data), str)
    assert isinstance(decode(data, charset), str)
    assert isinstance(decode(b"<meta charset=" + charset.encode() + b">" + data), str)


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1251", "euc-kr", "utf-16", "x-none"])
def test_utf8_is_utf8_whatever_the_tag_and_the_header_say(charset):
    page = f"<meta charset={charset}>Träume über größere Schlösser"
    assert decode(page.encode(), charset) == decode(page.encode()) == page


def test_utf8_with_a_broken_byte_stays_utf8():
    assert decode("träumen über Schlösser".encode() + b"\xc3 x") == "träumen über Schlösser\ufffd x"


def test_a_page_that_says_utf16_in_ascii_is_not_utf16():
    assert decode(b"<meta charset=utf-16>lamp") == "<meta charset=utf-16>lamp"


def test_text_is_tidied_and_its_heading_is_the_title():
    document = extract_text(b"# Towers\r\n\r\n\r\n\r\nA\x00\x1b[31m lamp.\x0cNext")
    assert document.title == "Towers"
    assert document.text == "# Towers\n\nA[31m lamp.\n\nNext"


def test_tidying_twice_changes_nothing():
    once = tidy("a \n \n\n b\u2029c\x07")
    assert tidy(once) == once == "a\n\n b\n\nc"
