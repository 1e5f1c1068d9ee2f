"""Row 34: a link of a report opens after a yes to the host, and only when it is http or https."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtWidgets import QApplication

from fathom.ui import theme
from fathom.ui.research.area import web_address
from fathom.ui.research.report_view import ReportView

REFUSED = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "file:///etc/passwd",
    "data:text/html,<script>alert(1)</script>",
    "ftp://example.com/",
    "vbscript:x",
    "mailto:a@example.com",
    "https://",
    "//example.com/",
    "library://sample/x",
    " javascript:alert(1)",
    "ht\ttp://example.com",
    "",
]


@pytest.fixture
def view(qapp: QApplication) -> ReportView:
    theme.apply(qapp, "light")
    return ReportView()


@pytest.mark.parametrize("address", REFUSED)
def test_34_other_schemes_are_not_even_asked_for(view, address):
    view.ask_to_open(address)
    assert view.question is None
    assert web_address(address) is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://google.com@evil.example/login", "evil.example"),
        ("https://g\u043e\u043egle.com/", "xn--ggle-55da.com"),
        ("https://example.org/?to=https://bank.example", "example.org"),
        ("https://BANK.example.evil.net/", "bank.example.evil.net"),
    ],
)
def test_34_the_question_names_the_host_that_would_be_opened(view, address, host):
    view.ask_to_open(address)
    assert view.question is not None
    assert view.question.accessibleName() == f"Open {host} in your browser?"
    assert view.question.stays.isDefault() and not view.question.opens.isDefault()
    view.question.reject()


def test_34_only_after_a_yes_is_the_address_handed_on(view):
    opened = []
    view.open_url_requested.connect(opened.append)
    for press in ("stays", "opens"):
        view.ask_to_open("https://example.org/a")
        getattr(view.question, press).click()
    assert opened == ["https://example.org/a"]
    assert web_address(opened[0]) == QUrl("https://example.org/a")
