"""One row a model: name, fit, minutes a question, what can be done; and how far its download is.

A row shows what it is told and says what was wanted through signals; it knows no service.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from fathom.services.downloads import Download
from fathom.services.model_library import Model, Offer
from fathom.ui import theme
from fathom.ui.models import words
from fathom.ui.widgets.banner import NeedsHasDo
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Badge, Bar, column, row
from fathom.ui.widgets.labels import Icon, Label

BUTTONS_WIDTH = 176
BAR_WIDTH = 200


class _Line(QWidget):
    """An icon and its words; the icon stays with the first line."""

    def __init__(self, icon: str, token: str, tone: str = "text", weight: int = theme.REGULAR, text: str = "") -> None:
        super().__init__()
        across = row(self, gap=8)
        holder = column(margins=(0, 2, 0, 0))
        self.icon = Icon(icon, token)
        holder.addWidget(self.icon)
        holder.addStretch(1)
        self.label = Label(text, weight=weight, tone=tone, lines=0)
        across.addLayout(holder)
        across.addWidget(self.label, 1)


class _Row(QWidget):
    """Name and second line, fit and pace, buttons at the right; below them whatever else is to be said."""

    def __init__(self) -> None:
        super().__init__()
        outer = column(self, gap=8, margins=(16, 12, 12, 12))
        across = row(gap=16)
        left = column(gap=2)
        self.name = Label("", weight=theme.BOLD, lines=1)
        self.line = Label("", "label", tone="mut", lines=2)
        left.addWidget(self.name)
        left.addWidget(self.line)
        left.addStretch(1)
        middle = column(gap=2)
        self.fit = _Line("info", "mut")
        self.pace = _Line("clock", "mut", "mut")
        middle.addWidget(self.fit)
        middle.addWidget(self.pace)
        middle.addStretch(1)
        self.buttons = row(gap=4)
        self.buttons.setAlignment(Qt.AlignmentFlag.AlignRight)
        holder = QWidget()
        holder.setFixedWidth(BUTTONS_WIDTH)
        aside = column(holder, gap=0)
        aside.addLayout(self.buttons)
        aside.addStretch(1)
        across.addLayout(left, 44)
        across.addLayout(middle, 56)
        across.addWidget(holder)
        outer.addLayout(across)
        self.below: QVBoxLayout = column(gap=8)
        outer.addLayout(self.below)

    def say(self, name: str, line: str, fit: tuple[str, str, str], pace: str) -> None:
        """The row's own words, and all of them for a screen reader."""
        self.name.setText(name)
        self.line.setText(line)
        icon, token, text = fit
        self.fit.icon.set_icon(icon, token)
        self.fit.label.setText(text)
        self.pace.label.setText(pace)
        self.pace.setVisible(bool(pace))
        self.setAccessibleName(f"{name}. {line}. {text}. {pace}".rstrip(". "))


class ModelRow(_Row):
    """A model on this computer."""

    use_wanted = Signal(object)
    test_wanted = Signal(object)
    remove_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.model: Model | None = None
        self._testing = False
        self.badge = Badge("ok", "In use", "green")
        self.use = Button("Use", on_click=lambda: self.use_wanted.emit(self.model))
        self.test = Button("Test it", "play", "link", on_click=lambda: self.test_wanted.emit(self.model))
        self.remove = Button("", "close", "bare", on_click=lambda: self.remove_wanted.emit(self.model))
        self.buttons.addStretch(1)
        for widget in (self.test, self.badge, self.use, self.remove):
            self.buttons.addWidget(widget)
        self.note = Label("", "label", tone="mut", lines=0)
        self.said = _Line("quote", "mut", "mut")
        self.below.addWidget(self.note)
        self.below.addWidget(self.said)

    def show_model(self, model: Model, *, busy: str = "") -> None:
        """Show a model; ``busy`` is why it cannot be used or tested just now."""
        self.model = model
        problem = ("warn", "orange", model.problem)
        self.say(
            model.name,
            words.second_line(model),
            problem if model.problem else words.fit(model.fit),
            "" if model.problem else words.time_of(model.pace),
        )
        self.badge.setVisible(model.in_use)
        self.use.setVisible(not model.in_use and not model.problem)
        too_large = "It does not fit into this computer’s memory." if model.fit.state == "too_large" else ""
        self.use.offer(busy or too_large, "Answer with it from now on")
        self.use.setAccessibleName(f"Use {model.name}")
        self.test.setVisible(not model.problem and model.fit.state != "too_large")
        # Pressed once more while it tests, it does nothing; disabled, it would hand the focus to the next button.
        self.test.set_face("Testing" if self._testing else "Test it", "play")
        self.test.offer("" if self._testing else busy, "A test sentence and its speed, at most 20 s")
        self.test.setAccessibleName(f"Test {model.name}")
        self.remove.setVisible(not model.embedded and not model.in_use)
        self.remove.set_face("", "bin" if model.own else "close")
        what = f"Delete {model.name} from the disk" if model.own else f"Take {model.name} out of the list"
        self.remove.setAccessibleName(what)
        self.remove.setToolTip("Delete it from the disk" if model.own else "Take it out of the list; its file stays")
        self.note.setText(model.problem_do if model.problem else "")
        self.note.setVisible(bool(self.note.text()))
        if not self._testing:
            self._show_probe(model)

    def set_testing(self, testing: bool) -> None:
        """A test begins or is over."""
        self._testing = testing
        if testing:
            self.said.icon.set_icon("running", "teal")
            self.said.label.setText("Testing: it reads a page and writes a few sentences, at most 20 s")
            self.said.show()
        if self.model is not None:
            self.show_model(self.model)

    def _show_probe(self, model: Model) -> None:
        self.said.setVisible(model.probe is not None and not model.problem)
        if model.probe is not None:
            text = " ".join(model.probe.text.split())
            self.said.icon.set_icon("quote", "mut")
            self.said.label.setText(f"{words.probe(model)}.  “{text[:160]}{'…' if len(text) > 160 else ''}”")


class OfferRow(_Row):
    """A model that can be had, and its download."""

    download_wanted = Signal(object)
    pause_wanted = Signal(str)
    resume_wanted = Signal(str)
    cancel_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.offer: Offer | None = None
        self.item: Download | None = None
        self.download = Button("Download", "download", on_click=lambda: self.download_wanted.emit(self.offer))
        self.take = Button("Download", "download", "primary", on_click=lambda: self.download_wanted.emit(self.offer))
        self.pause = Button("Pause", "pause", on_click=lambda: self.pause_wanted.emit(self._id()))
        self.resume = Button("Resume", "download", on_click=lambda: self.resume_wanted.emit(self._id()))
        self.cancel = Button("", "close", "bare", on_click=lambda: self.cancel_wanted.emit(self._id()))
        self.buttons.addStretch(1)
        self._acts = (self.pause, self.resume, self.take, self.download, self.cancel)
        for button in self._acts:
            self.buttons.addWidget(button)
        self.mark = Badge("ok", "Recommended", "green")
        self.note = Label("", "label", tone="mut", lines=0)
        about = row(gap=8)
        about.addWidget(self.mark)
        about.addWidget(self.note, 1)
        self.progress = QWidget()
        line: QHBoxLayout = row(self.progress, gap=12)
        self.bar = Bar(width=BAR_WIDTH)
        self.progress_words = Label("", "label", tone="text", lines=1)
        line.addWidget(self.bar)
        line.addWidget(self.progress_words, 1)
        self.error = QWidget()
        self._error = column(self.error, gap=4)
        self._shown_error = ""
        self.below.addLayout(about)
        self.below.addWidget(self.progress)
        self.below.addWidget(self.error)

    def _id(self) -> str:
        return self.item.id if self.item is not None else ""

    def show_offer(self, offer: Offer, item: Download | None) -> None:
        """Show an offer, and its download when there is one."""
        self.offer, self.item = offer, item
        entry = offer.entry
        minutes = words.time_of(offer.pace) if offer.fit.usable else ""
        self.say(entry.name, words.offer_line(offer), words.fit(offer.fit), minutes)
        self.note.setText(f"{entry.note} From {entry.repo}.")
        self.mark.setVisible(offer.recommended)
        if offer.recommended:
            self.setAccessibleName(f"Recommended for this computer: {self.accessibleName()}")
        focused = self._has_focus()
        free = item is None
        self.download.setVisible(free and offer.fit.usable and not offer.recommended)
        self.take.setVisible(free and offer.fit.usable and offer.recommended)
        for button in (self.download, self.take):
            button.setAccessibleName(f"Download {entry.name}")
        self._show_download(item)
        self._keep_focus(focused)

    def show_download(self, item: Download | None) -> None:
        """How far its download is."""
        focused = self._has_focus()
        self._show_download(item)
        self._keep_focus(focused)

    def _has_focus(self) -> bool:
        return any(button.hasFocus() for button in self._acts)

    def _keep_focus(self, focused: bool) -> None:
        """When the pressed button goes, the focus would jump to the next row's Download."""
        if focused and not self._has_focus():
            shown = next((button for button in self._acts if button.isVisibleTo(self)), None)
            if shown is not None:
                shown.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_download(self, item: Download | None) -> None:
        self.item = item
        state = item.state if item is not None else ""
        self.pause.setVisible(state in ("waiting", "running"))
        self.resume.setVisible(state in ("paused", "failed"))
        self.cancel.setVisible(state in ("waiting", "running", "paused", "failed"))
        self.progress.setVisible(item is not None)
        if item is not None:
            self.download.hide()
            self.take.hide()
            for button, word in ((self.pause, "Pause"), (self.resume, "Resume"), (self.cancel, "Cancel")):
                button.setAccessibleName(f"{word} the download of {item.name}")
            self.cancel.setToolTip("Cancel, and remove what was fetched")
            self.bar.set_share(words.share(item), "ink" if item.active else "edge")
            text = words.download(item)
            self.progress_words.setText(text)
            self.progress.setAccessibleName(f"Download of {item.name}: {text}")
        self._show_error(item if state == "failed" else None)

    def _show_error(self, item: Download | None) -> None:
        key = f"{item.message}{item.needs}{item.has}{item.do}" if item is not None else ""
        self.error.setVisible(item is not None)
        if key == self._shown_error:
            return
        self._shown_error = key
        while taken := self._error.takeAt(0):
            if widget := taken.widget():
                widget.deleteLater()
        if item is not None:
            self._error.addWidget(_Line("warn", "red", weight=theme.BOLD, text=item.message))
            self._error.addWidget(NeedsHasDo(item.needs, item.has, item.do))


class FactTile(QWidget):
    """One fact of this computer: icon, what, how much, what of it is free."""

    def __init__(self) -> None:
        super().__init__()
        across = row(self, gap=12)
        self.icon = Icon("info", "mut", 20)
        across.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignTop)
        texts = column(gap=2)
        self.what = Label("", "label", tone="mut")
        self.much = Label("", "title", theme.BOLD)
        self.free = Label("", "label", tone="mut", lines=2)
        for label in (self.what, self.much, self.free):
            texts.addWidget(label)
        texts.addStretch(1)
        across.addLayout(texts, 1)

    def show_fact(self, icon: str, what: str, much: str, free: str) -> None:
        """Show another fact."""
        self.icon.set_icon(icon, "mut")
        self.what.setText(what)
        self.much.setText(much)
        self.free.setText(free)
        self.setAccessibleName(f"{what}: {much}, {free}")
