"""Reports become HTML that loads nothing and links only to saved passages and web pages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from PySide6.QtCore import QSize, QUrl
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot
from research_runs import report

from fathom.core.types import Report
from fathom.ui.research.detail_plain import PlainView
from fathom.ui.research.report_html import render
from fathom.ui.research.report_view import ReportBrowser


def test_marks_of_citations_become_links() -> None:
    html = render(report("A claim [1], another [2], a third [7].", step=2))
    assert '<a href="citation:1">[1]</a>' in html
    assert '<a href="citation:2">[2]</a>' in html
    assert "a third [7]." in html


def test_marks_in_code_links_and_escapes_stay_text() -> None:
    html = render(report("`x[1]` and \\[1\\] and [[1]](https://example.org/)"))
    assert "citation:" not in html


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<img src="file:///etc/passwd">',
        "![a](file:///etc/passwd)",
        "![a](https://example.org/track.png)",
        "[x](javascript:alert(1))",
        "[x](file:///etc/passwd)",
        "[x](citation:1)",
        "[x](data:text/html,hello)",
    ],
)
def test_nothing_but_web_links_and_own_citations_gets_through(body: str) -> None:
    html = render(report(body))
    for forbidden in ("<script", "<img", 'href="javascript', 'href="file', 'href="data', 'href="citation'):
        assert forbidden not in html


def test_tables_strikethrough_and_footnotes_are_drawn() -> None:
    html = render(report("| a | b |\n|---|--:|\n| 1 | 2 |\n\n~~gone~~ and a note[^1]\n\n[^1]: said here\n"))
    assert '<td align="right">2</td>' in html
    assert "<s>gone</s>" in html
    assert "said here" in html


def test_text_after_a_bracket_is_not_lost() -> None:
    assert "a &lt;b and c&gt; d" in render(report("a <b and c> d"))


class RecordingBrowser(ReportBrowser):
    """Notes what Qt asks for and what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.given: list[Any] = []

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        answer = super().loadResource(kind, name)
        self.asked.append(name if isinstance(name, str) else name.toString())
        self.given.append(answer)
        return answer


def test_a_view_gives_no_file_and_no_address_even_for_html_with_pictures(qtbot: QtBot) -> None:
    browser = RecordingBrowser()
    qtbot.addWidget(browser)
    browser.resize(300, 200)
    browser.show()
    browser.setHtml('<img src="file:///etc/hostname"><img src="https://example.org/a.png"><p>text</p>')
    browser.grab()
    assert len(browser.asked) >= 2, "the recorder must see the requests, or it proves nothing"
    assert all(isinstance(answer, QImage) and answer.size() == QSize(1, 1) for answer in browser.given)


def test_a_plain_view_gives_nothing_either(qtbot: QtBot) -> None:
    view = PlainView("Test")
    qtbot.addWidget(view)
    assert view.loadResource(2, QUrl("file:///etc/hostname")).size() == QSize(1, 1)
    assert view.loadResource(3, QUrl("file:///etc/hostname")) == ""  # Qt opens the file itself when it is given None


def test_reports_made_here_ask_for_nothing(qtbot: QtBot) -> None:
    browser = RecordingBrowser()
    qtbot.addWidget(browser)
    browser.setHtml(render(report("![a](https://example.org/x.png) <img src='file:///etc/hostname'> [1]")))
    browser.grab()
    assert browser.asked == []


def test_markdown_is_not_imported_before_the_first_report() -> None:
    code = "import sys, fathom.ui.research.report_html; print('markdown_it' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_answer_without_citations_is_drawn() -> None:
    bare = Report(question="?", answer="", answer_backed=False, body="*Nothing was found.*")
    assert render(bare) == "<p><em>Nothing was found.</em></p>\n"
