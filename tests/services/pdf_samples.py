"""PDFs made by hand: with text, and as a scanner makes them."""

from __future__ import annotations

from collections.abc import Sequence

import pypdfium2


def pdf(pages: Sequence[str], *, size: int = 14, title: str = "", author: str = "") -> bytes:
    """A PDF with one line or more a page, in Helvetica."""
    contents = []
    for text in pages:
        lines = " ".join(f"({line}) Tj T*" for line in text.split("\n"))
        contents.append(f"BT /F1 {size} Tf {size * 2} TL 60 760 Td {lines} ET".encode())
    streams = [b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content) for content in contents]
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    resources = b"<< /Font << /F1 3 0 R >> >>"
    return _file(streams, font, resources, f"<< /Title ({title}) /Author ({author}) >>".encode())


def scan(pages: Sequence[str], *, size: int = 28) -> bytes:
    """The same drawn as pictures, without any text in the file."""
    drawn = pypdfium2.PdfDocument(pdf(pages, size=size))
    streams = []
    for number in range(len(drawn)):
        bitmap = drawn[number].render(scale=1.5, grayscale=True)
        rows = memoryview(bitmap.buffer).cast("B")
        lines = [bytes(rows[y * bitmap.stride : y * bitmap.stride + bitmap.width]) for y in range(bitmap.height)]
        picture = b"".join(lines)
        inline = b"q 595 0 0 842 0 0 cm BI /W %d /H %d /CS /G /BPC 8 ID " % (bitmap.width, bitmap.height)
        content = inline + picture + b"\nEI Q"
        streams.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    drawn.close()
    return _file(streams, b"<< >>", b"<< >>", b"<< >>")


def _file(streams: Sequence[bytes], third: bytes, resources: bytes, info: bytes) -> bytes:
    first = 4
    kids = b" ".join(b"%d 0 R" % (first + 2 * number + 1) for number in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(streams)),
        third,
    ]
    for number, stream in enumerate(streams):
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources %s >>"
        objects += [stream, page % (first + 2 * number, resources)]
    objects.append(info)
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (count, table, count, len(objects), len(out))
    )
