"""The Report tab: the report with its citations as links, and below it the saved passage that the chosen one opens.

Nothing is loaded from anywhere, no address is opened without asking, and the Markdown is rendered off the window's
thread. Knows one report at a time and nothing of the store.
"""

from __future__ import annotations

import logging
from typing import Any

from PySide6.QtCore import QMimeData, QObject, QRunnable, Qt, QThreadPool, QUrl, Signal
from PySide6.QtGui import QResizeEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QBoxLayout, QFrame, QSplitter, QStackedWidget, QTextBrowser, QTextEdit, QWidget
from shiboken6 import isValid

from fathom.core.types import Report
from fathom.ui import theme
from fathom.ui.research import timeline_words as words
from fathom.ui.research.detail_empty import EmptyState
from fathom.ui.research.detail_passage import PassageView, is_web
from fathom.ui.research.detail_plain import without_joiners
from fathom.ui.research.report_html import render, without_first_heading
from fathom.ui.research.timeline_rows import saved_steps
from fathom.ui.research.timeline_state import RunState
from fathom.ui.research.timeline_text import display
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Badge, Card, column
from fathom.ui.widgets.error_dialog import Dialog
from fathom.ui.widgets.labels import Label, Rule
from fathom.ui.widgets.resources import placeholder

log = logging.getLogger(__name__)

BESIDE = 360  # in a narrower pane the badge stands below the heading


class _Rendered(QObject):
    """Carries a rendered report into the window's thread."""

    done = Signal(object, str)


class _Rendering(QRunnable):
    def __init__(self, report: Report, out: _Rendered) -> None:
        super().__init__()
        self._report, self._out = report, out

    def run(self) -> None:
        try:
            html = display(render(self._report))
        except Exception:
            log.exception("the report cannot be rendered")
            html = ""
        if isValid(self._out):  # the window may be gone by now
            self._out.done.emit(self._report, html)


class ReportBrowser(QTextBrowser):
    """Shows HTML made here. No file and no address is loaded, links only tell."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setAccessibleName("Report")
        self.document().setDocumentMargin(16)
        self.document().setIndentWidth(16)

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        return placeholder(kind)

    def createMimeDataFromSelection(self) -> QMimeData:
        return without_joiners(super().createMimeDataFromSelection())


class ReportView(QWidget):
    """``show_state`` draws whatever the run has by now; ``show_citation`` opens a passage."""

    step_requested = Signal(int)
    open_url_requested = Signal(str)
    rendered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._report: Report | None = None
        self._html = ""
        self._ready = False
        self._wanted = 0
        self._number = 0
        self._carrier = _Rendered()
        self._carrier.done.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self.empty = EmptyState("flag", "", "")
        self.label = Label("Short answer", "title", theme.BOLD, fit=True)  # the report's own first heading
        self.badges = {
            "backed": Badge("ok", "Stands in a saved passage", "green"),
            "not": Badge("no", "No saved passage contains it", "red"),
            "none": Badge("half", "None was found", "orange"),
        }
        self.browser = ReportBrowser()
        self.browser.anchorClicked.connect(self._clicked)
        self.passage = PassageView()
        self.passage.chosen.connect(self.show_citation)
        self.passage.step_requested.connect(self.step_requested)
        self.passage.address_requested.connect(self.ask_to_open)
        self.passage.closed.connect(self._close_passage)
        self.question: OpenPage | None = None
        top = QWidget()
        body = column(top, gap=0)
        self._head = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._head.setContentsMargins(16, 16, 16, 0)
        self._head.setSpacing(8)
        self._head.addWidget(self.label)
        for badge in self.badges.values():
            self._head.addWidget(badge)
        self._head.addStretch(1)
        body.addLayout(self._head)
        body.addWidget(self.browser, 1)
        bottom = QWidget()
        below = column(bottom, gap=0)
        below.addWidget(Rule())
        below.addWidget(self.passage, 1)
        self._bottom = bottom
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.addWidget(top)
        self.splitter.addWidget(bottom)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setSizes([500, 400])
        bottom.hide()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.splitter)
        column(self, gap=0).addWidget(self.stack)
        theme.notifier().changed.connect(self._draw)
        self.show_state(RunState())

    def resizeEvent(self, event: QResizeEvent) -> None:
        beside = event.size().width() >= BESIDE
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._head.setDirection(direction)
        super().resizeEvent(event)

    @property
    def ready(self) -> bool:
        """Whether the report that it was given is drawn."""
        return self._ready

    def show_state(self, state: RunState) -> None:
        """Show the run's report, or say when there will be one."""
        if state.report is None:
            self._report, self._ready = None, False
            self.empty.say(*_no_report(state))
            self.stack.setCurrentIndex(0)
            return
        if state.report is self._report:
            return
        self._report, self._ready, self._number = state.report, False, 0
        self._close_passage()
        self.passage.set_citations(state.report.citations)
        kind = "backed" if state.report.answer_backed else "not"
        kind = kind if state.report.answer else "none"
        for name, badge in self.badges.items():
            badge.setVisible(name == kind)
        self.empty.say("running", "teal", "Drawing the report", "It takes a moment when the report is long.")
        self.stack.setCurrentIndex(0)
        QThreadPool.globalInstance().start(_Rendering(state.report, self._carrier))

    def _take(self, report: Report, html: str) -> None:
        if report is not self._report:
            return
        self._html = html
        if not html:
            self.browser.setPlainText(display(without_first_heading(report.body)))
        self._ready = True
        self._draw()
        self.stack.setCurrentIndex(1)
        if self._wanted:
            self.show_citation(self._wanted)
        self.rendered.emit()

    def _draw(self) -> None:
        if not self._ready or not self._html:
            return
        bar = self.browser.verticalScrollBar()
        at = bar.value()
        self.browser.document().setDefaultFont(theme.font("title"))
        self.browser.document().setDefaultStyleSheet(_style())
        self.browser.setHtml(self._html)
        frame = self.browser.document().rootFrame()
        shape = frame.frameFormat()
        shape.setTopMargin(8)  # below its heading
        frame.setFrameFormat(shape)
        bar.setValue(at)
        self._mark_chosen()

    # --- citations ---

    def show_citation(self, number: int) -> bool:
        """Open the passage behind [number]; False when there is no such citation. Waits for a report being drawn."""
        if self._report is not None and not self._ready:
            self._wanted = number
            return any(citation.number == number for citation in self._report.citations)
        self._wanted = 0
        if not self.passage.show_citation(number):
            return False
        self._number = number
        if self._bottom.isHidden():
            self._bottom.show()
            height = max(self.splitter.height(), 400)
            self.splitter.setSizes([height // 2, height - height // 2])
            self.passage.view.show_mark()
        self._mark_chosen()
        return True

    def _close_passage(self) -> None:
        self._number = 0
        self._bottom.hide()
        self._mark_chosen()

    def _mark_chosen(self) -> None:
        """The chosen [n] wears the mark ground wherever it stands."""
        places: list[QTextEdit.ExtraSelection] = []
        block = self.browser.document().begin()
        while self._number and block.isValid():
            for span in block.textFormats():
                if span.format.anchorHref() == f"citation:{self._number}":
                    place = QTextEdit.ExtraSelection()
                    cursor = QTextCursor(block)
                    cursor.setPosition(block.position() + span.start)
                    cursor.setPosition(block.position() + span.start + span.length, QTextCursor.MoveMode.KeepAnchor)
                    look = QTextCharFormat()
                    look.setBackground(theme.color("mark"))
                    place.cursor, place.format = cursor, look
                    places.append(place)
            block = block.next()
        self.browser.setExtraSelections(places)

    # --- links ---

    def _clicked(self, url: QUrl) -> None:
        address = url.toString()
        if url.scheme() == "citation":
            number = url.path()
            if number.isdigit():
                self.show_citation(int(number))
        elif address.startswith("#"):
            self.browser.scrollToAnchor(url.fragment())
        else:
            self.ask_to_open(address)

    def ask_to_open(self, address: str) -> None:
        """Show the host and ask; ``open_url_requested`` only after a yes. Anything but http(s) is not offered."""
        url = QUrl(address)
        host = url.host(QUrl.ComponentFormattingOption.FullyEncoded)
        if not is_web(address) or not host:
            return
        self.question = question = OpenPage(self, host, words.one_line(address, 200))

        def answered(result: int) -> None:
            self.question = None
            if result == OpenPage.DialogCode.Accepted:
                self.open_url_requested.emit(url.toString(QUrl.ComponentFormattingOption.FullyEncoded))

        question.finished.connect(answered)
        question.open()  # never exec(): it would stop the event loop's other tasks


class OpenPage(Dialog):
    """Asks before an address is opened: the two ways weigh the same, and the silent one is not to open it."""

    def __init__(self, parent: QWidget | None, host: str, address: str) -> None:
        super().__init__(parent, "hand", "orange", f"Open {host} in your browser?")
        self.content.addWidget(Label("The page is on the internet and sees that you opened it.", lines=0))
        page = Card("sunk", padding=12)
        page.body.addWidget(Label(address, lines=0))
        self.content.addWidget(page)
        self.opens = Button("Open once", on_click=self.accept)
        self.stays = Button("Do not open", on_click=self.reject)
        self.buttons.addWidget(self.opens)
        self.buttons.addWidget(self.stays)
        self.buttons.addStretch(1)
        self.finish()
        self.stays.setDefault(True)
        self.stays.setFocus()


def _no_report(state: RunState) -> tuple[str, str, str, str]:
    saved = saved_steps(state)
    match state.ending:
        case "stopped":
            return "stop", "mut", "No report", f"You stopped the run before the report. {saved}"
        case "failed":
            return "warn", "red", "No report", f"The run ended with an error before the report. {saved}"
        case "interrupted":
            return "warn", "orange", "No report yet", f"The run was interrupted before the report. {saved}"
    if state.answering:
        return "running", "violet", "The report is being written", "You can watch it at the end of the steps."
    text = "It comes when the model is ready to answer, or when you press Finish now."
    return "flag", "mut", "No report yet", text


def _style() -> str:
    value = theme.value
    families = ", ".join(f"'{family}'" for family in theme.font("title").families())
    mono = ", ".join(f"'{family}'" for family in theme.font("mono").families())
    return f"""
        body, p, li, td, th {{ font-family: {families}; font-size: 15px; color: {value("text")}; }}
        p {{ margin: 0 0 12px 0; line-height: 24px; }}
        li {{ margin: 0 0 4px 0; line-height: 24px; }}
        ul, ol {{ margin: 0 0 12px 0; }}
        b, strong {{ font-weight: 600; }}
        .h1, .h2, .h3, .h4, .h5, .h6 {{ font-weight: 600; margin: 16px 0 8px 0; }}
        a {{ color: {value("blue")}; text-decoration: none; }}
        code, pre {{ font-family: {mono}; font-size: 13px; color: {value("text")}; }}
        pre {{ background-color: {value("sunk")}; white-space: pre-wrap; margin: 0 0 12px 0; }}
        blockquote {{ color: {value("mut")}; margin: 0 16px 12px 16px; }}
        blockquote p {{ color: {value("mut")}; }}
        table {{ border-collapse: collapse; border-color: {value("line")}; margin: 4px 0 16px 0; }}
        th {{ background-color: {value("sunk")}; color: {value("mut")}; font-size: 13px; font-weight: 600;
            padding: 6px 12px; border: 1px solid {value("line")}; }}
        td {{ font-size: 13px; padding: 6px 12px; border: 1px solid {value("line")}; }}
        s {{ color: {value("mut")}; }}
        hr {{ color: {value("line")}; }}
    """
