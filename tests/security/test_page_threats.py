"""Rows 28 and 33: archives that climb out of their folder, and pages that point at files."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import stat
import zipfile

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QImage, QTextDocument
from PySide6.QtWidgets import QTextBrowser, QTextEdit

import fathom.ui
from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.tools.extract import EXTRACTORS
from fathom.tools.extract.html import extract_html
from fathom.ui.research.detail_plain import PlainView

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

PARTS = {
    "docx": ("word/document.xml", "<w:p><w:r><w:t>lamp</w:t></w:r></w:p>"),
    "xlsx": ("xl/workbook.xml", "<sheets/>"),
    "pptx": ("ppt/presentation.xml", "<p/>"),
    "hwpx": ("Contents/section0.xml", "<p><run><t>lamp</t></run></p>"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_28_an_archive_that_climbs_out_writes_nothing_anywhere(kind, tmp_path, monkeypatch):
    part, body = PARTS[kind]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(part, f"<x>{body}</x>")
        for name in ("../canary.xml", "../../canary.txt", str(tmp_path / "canary.xml"), "a/../../canary.rels"):
            archive.writestr(name, "<x>canary</x>")
        link = zipfile.ZipInfo("word/media/link.xml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/hostname")
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    try:
        document = registry.load(EXTRACTORS, kind, "kind")(stream.getvalue(), "", "")
        assert "canary" not in document.text
    except ToolError as error:
        assert str(error)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "inside"]


PAGE = """<html><head><title>Lamp</title><link rel="stylesheet" href="file://{css}"><style>@import url("file://{css}");</style>
</head><body><main><p>The keeper lit the lamp and wrote the weather down in his book, as on every day. {more}</p>
<img src="file://{picture}"><iframe src="file:///etc/hostname"></iframe><object data="file:///etc/hostname"></object>
<p style="background: url(file://{picture})">And so did his daughter, who had come over from the other island.</p>
</main></body></html>"""


def test_33_the_text_of_a_page_points_at_no_file(tmp_path):
    page = PAGE.format(css=tmp_path / "canary.css", picture=tmp_path / "canary.png", more="It was cold. " * 20)
    text = extract_html(page.encode()).text
    assert "And so did his daughter" in text
    assert "file:" not in text and "canary" not in text and "<" not in text


def text_views():
    """Every class of the window that shows rich text."""
    for module in pkgutil.walk_packages(fathom.ui.__path__, "fathom.ui."):
        importlib.import_module(module.name)
    found, waiting = [], [QTextEdit]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__module__.startswith("fathom."):
                found.append(one)
    return found


def views(qtbot):
    for kind in text_views():
        view = kind("Test") if issubclass(kind, PlainView) else kind()
        qtbot.addWidget(view)
        yield view


def shown(view, html, picture):
    """The colour of the first word, and the width of the picture, as Qt has them once the page is drawn."""
    view.setHtml(html)
    view.resize(300, 200)
    view.grab()
    colour = view.document().begin().begin().fragment().charFormat().foreground().color().name()
    return colour, view.document().resource(QTextDocument.ResourceType.ImageResource.value, picture).width()


def test_33_no_view_of_rich_text_loads_a_file(qtbot, tmp_path):
    sheet, picture = tmp_path / "canary.css", tmp_path / "canary.png"
    sheet.write_text("p { color: #12ab34 }")
    image = QImage(7, 7, QImage.Format.Format_RGB32)
    image.fill(0)
    assert image.save(str(picture))
    html = f'<html><head><style>@import url("{sheet.as_uri()}");</style></head><body><p>lamp</p>'
    html += f'<img src="{picture.as_uri()}"></body></html>'
    address = QUrl(picture.as_uri())

    class Nothing(QTextBrowser):
        """What an override that gives nothing lets in: without it the test would prove nothing."""

        def loadResource(self, kind, name):
            return None

    careless = Nothing()
    qtbot.addWidget(careless)
    assert shown(careless, html, address) == ("#12ab34", 7)
    checked = list(views(qtbot))
    assert len(checked) >= 2
    for view in checked:
        colour, width = shown(view, html, address)
        assert colour != "#12ab34" and width == 1, type(view)
