"""Bytes to text: byte order mark, then what the header said, then what the file says, then detection. Never raises.

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


def decode(data: bytes, header_charset: str = "") -> str:
    """The text of ``data``; bytes that fit no charset become U+FFFD."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(name, "replace")
    for name in _candidates(data, header_charset):
        try:
            return data.decode(_web_name(name))
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("utf-8", "replace")


def clean(text: str) -> str:
    """The text with Unix line ends, without control characters and halves of surrogate pairs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
    text = _CONTROLS.sub("", text.replace("\x0c", "\n\n"))
    return text.encode("utf-8", "replace").decode()


def tidy(text: str) -> str:
    """The text as ``clean`` gives it, with at most one empty line in a row and no white space around."""
    text = clean(text)
    return re.sub(r"[ \t\u00a0]*\n(?:[ \t\u00a0]*\n)+", "\n\n", text).strip()


def _candidates(data: bytes, header_charset: str) -> Iterator[str]:
    if header_charset:
        yield header_charset
    declared = _DECLARED.search(data[:4096])
    if declared:
        yield (declared.group(1) or declared.group(2)).decode("ascii", "replace")
    yield "utf-8"
    best = from_bytes(data[:_SAMPLE]).best()
    if best is not None:
        yield best.encoding


def _web_name(name: str) -> str:
    """What browsers take a label for: the superset that pages really use."""
    name = name.strip().lower().replace("_", "-")
    return {
        "iso-8859-1": "cp1252",
        "latin-1": "cp1252",
        "ascii": "cp1252",
        "us-ascii": "cp1252",
        "euc-kr": "cp949",
        "ks-c-5601-1987": "cp949",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "shift-jis": "cp932",
        "x-sjis": "cp932",
        "big5": "big5hkscs",
    }.get(name, name)
