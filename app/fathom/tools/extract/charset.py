"""Bytes to text: byte order mark, then what the header said, then what the file says, then detection. Never raises.

Header and file are not believed where the bytes are UTF-8: text of another charset is so by accident only, while pages
that were saved or served anew keep the tag of what they once were.

Knows nothing of HTML beyond where it names its charset.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: it begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]{0,100}encoding=["']([\w.:-]+)""", re.I
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_SAMPLE = 64 * 1024
_NOT_CHARSETS = frozenset(
    {"utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined", "mbcs", "oem"}
)
_SURELY = 4
_DAMAGE = 0.03  # a file with fewer characters broken than that is of the charset that it names, and damaged


def decode(data: bytes, header_charset: str = "") -> str:
    """The text of ``data``; bytes that fit no charset become U+FFFD."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(name, "replace")
    utf8 = _utf8(data)
    if utf8 is not None:
        return utf8
    likely = list(dict.fromkeys(_named(data, header_charset)))
    for name in likely:
        try:
            return data.decode(name)
        except (LookupError, ValueError):
            continue
    for name in likely:
        text = _damaged(data, name)
        if text is not None:
            return text
    best = from_bytes(data[:_SAMPLE]).best() if data else None
    try:
        return data.decode(best.encoding if best is not None else "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def clean(text: str) -> str:
    """The text with Unix line ends, without control characters and halves of surrogate pairs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
    text = _CONTROLS.sub("", text.replace("\x0c", "\n\n"))
    return text.encode("utf-8", "replace").decode()


def tidy(text: str) -> str:
    """The text as ``clean`` gives it, with at most one empty line in a row and no white space around."""
    return re.sub(r"[ \t\u00a0]*\n(?:[ \t\u00a0]*\n)+", "\n\n", clean(text)).strip()


def _utf8(data: bytes) -> str | None:
    """The text if it is UTF-8 beyond doubt: four bytes of more than one make an accident unlikely in any charset."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(data) - len(text) >= _SURELY else None


def _named(data: bytes, header_charset: str) -> Iterator[str]:
    """What the header and the file say, and UTF-8. A file whose own tag can be read byte by byte is not UTF-16."""
    declared = _DECLARED.search(data[:4096])
    inside = (declared.group(1) or declared.group(2)).decode("ascii", "replace") if declared else ""
    for name, readable in ((header_charset, False), (inside, True)):
        name = _web_name(name)
        if name and name not in _NOT_CHARSETS and "\0" not in name:
            yield "utf-8" if readable and name.startswith(("utf-16", "utf-32", "ucs")) else name
    yield "utf-8"


def _damaged(data: bytes, name: str) -> str | None:
    """The text if all but a few of its foreign characters are good in this charset."""
    try:
        text = data.decode(name, "replace")
    except (LookupError, ValueError):
        return None
    foreign = sum(1 for character in text if character > "\x7f")
    return text if text.count("\ufffd") <= max(_DAMAGE * foreign, 1) and foreign > 2 else None


def _web_name(name: str) -> str:
    """What browsers take a label for: the superset that pages really use."""
    name = name.strip().lower().replace("_", "-")
    return {
        "iso-8859-1": "cp1252",
        "latin-1": "cp1252",
        "latin1": "cp1252",
        "ascii": "cp1252",
        "us-ascii": "cp1252",
        "euc-kr": "cp949",
        "ks-c-5601-1987": "cp949",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "x-gbk": "gb18030",
        "shift-jis": "cp932",
        "sjis": "cp932",
        "x-sjis": "cp932",
        "windows-31j": "cp932",
        "big5": "big5hkscs",
        "big5-hkscs": "big5hkscs",
        "x-euc-jp": "euc-jp",
        "iso-8859-9": "cp1254",
        "utf8": "utf-8",
    }.get(name, name)
