"""The Models area: this computer, the models on it, those that can be had, and what answers now.

The only pane of the area that knows services: rows say what was wanted, the area does it and shows what came of it.
Nothing is fetched before a person presses Download.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QFrame, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from fathom.core.errors import FathomError, UserError
from fathom.core.events import EngineStatus
from fathom.core.settings import Settings
from fathom.services.downloads import Download
from fathom.services.machine import battery
from fathom.services.model_library import Model, Offer, Shelf, failure
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.models import words
from fathom.ui.models.aside import LearnedCard, NowCard, PowerCard
from fathom.ui.models.rows import FactTile, ModelRow, OfferRow
from fathom.ui.research.words import count
from fathom.ui.widgets.banner import Banner
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.error_dialog import Dialog
from fathom.ui.widgets.labels import Label, Rule
from fathom.ui.widgets.toast import Toast
from fathom.weights.memory import gigabytes

if TYPE_CHECKING:
    from fathom.services.application import Services

ASIDE_WIDTH = 320


class ModelsArea(QWidget):
    """``download_told(words)`` is for the status bar; ``recommended(words)`` for the page of a new question."""

    download_told = Signal(str)
    recommended = Signal(str)

    def __init__(self, bridge: Bridge, tasks: Tasks, settings: Settings) -> None:
        super().__init__()
        self._services: Services | None = None
        self._tasks = tasks
        self._shelf: Shelf | None = None
        self._status = EngineStatus(state="loading", message="Opening Fathom")
        self._testing = ""
        self._busy_sessions: set[str] = set()
        self._show_large = False
        self._last_folder = Path.home()
        self.model_rows: dict[str, ModelRow] = {}
        self.offer_rows: dict[str, OfferRow] = {}
        outer = column(self, gap=0)
        outer.addWidget(self._head())
        outer.addWidget(Rule())
        self.banner_box = QWidget()
        self.banner = Banner()
        column(self.banner_box, gap=0, margins=(32, 16, 32, 0)).addWidget(self.banner)
        self.banner_box.hide()
        outer.addWidget(self.banner_box)
        self.page = QScrollArea()
        self.page.setWidgetResizable(True)
        self.page.setFrameShape(QFrame.Shape.NoFrame)
        self.page.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setProperty("ground", "clear")
        self.page.setWidget(inside)
        across = row(inside, gap=32, margins=(32, 24, 32, 24))
        left = QWidget()
        left.setMaximumWidth(960)
        self._fill_left(column(left, gap=8))
        right = QWidget()
        right.setFixedWidth(ASIDE_WIDTH)
        self._fill_right(column(right, gap=8), settings)
        across.addWidget(left, 1)
        across.addWidget(right, 0)
        outer.addWidget(self.page, 1)
        self.toast = Toast(self)
        bridge.models_changed.connect(self._shelf_changed)
        bridge.download_changed.connect(self._download_changed)
        bridge.engine_changed.connect(self._engine_changed)
        bridge.session_changed.connect(self._session_changed)
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.Refresh), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.look)

    def attach(self, services: Services) -> None:
        """The services are open: look at what is there."""
        self._services = services
        self.power.attach(services.settings, battery())
        self._status = services.engine.status
        for session in services.sessions.sessions():
            self._note(session.id, session.state)
        self._tell_downloads()
        self.look()

    # --- layout ---------------------------------------------------------------------------------------------------

    def _head(self) -> QWidget:
        head = QWidget()
        head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head.setProperty("ground", "panel")
        across = row(head, gap=8, margins=(32, 16, 32, 16))
        texts = column(gap=2)
        texts.addWidget(Label("Models", "page", theme.BOLD))
        texts.addWidget(Label("Which model answers, and what it needs on this computer", tone="mut"))
        across.addLayout(texts, 1)
        self.add_folder = Button("Add a folder…", "folder", on_click=self.choose_folder)
        self.add_file = Button("Add a model file…", "plus", on_click=self.choose_file)
        across.addWidget(self.add_folder)
        across.addWidget(self.add_file)
        return head

    def _fill_left(self, left: QVBoxLayout) -> None:
        left.addWidget(_heading("This computer"))
        card = Card(gap=0)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(16)
        self.tiles = [FactTile() for _ in range(4)]
        for index, tile in enumerate(self.tiles):
            grid.addWidget(tile, 0, index)
            grid.setColumnStretch(index, 1)
        card.body.addLayout(grid)
        left.addWidget(card)
        left.addSpacing(16)
        line = row(gap=8)
        line.addWidget(_heading("On this computer"))
        self.here = Label("Looking for models", tone="mut")
        line.addWidget(self.here, 1)
        self.again = Button("Look again", "retry", "link", on_click=self.look)
        line.addWidget(self.again)
        left.addLayout(line)
        self.models_card = Card(gap=0, padding=0)
        left.addWidget(self.models_card)
        left.addSpacing(16)
        line = row(gap=8)
        line.addWidget(_heading("Models that can be had"))
        self.source = Label("", "label", tone="mut", align=Qt.AlignmentFlag.AlignRight)
        line.addWidget(self.source, 1)
        left.addLayout(line)
        self.offers_card = Card(gap=0, padding=0)
        left.addWidget(self.offers_card)
        self.large = Button("", "down", "link", flush=True, on_click=self._toggle_large)
        left.addWidget(self.large, 0, Qt.AlignmentFlag.AlignLeft)
        left.addStretch(1)
        for widget in (self.models_card, self.offers_card, self.large):
            widget.hide()

    def _fill_right(self, right: QVBoxLayout, settings: Settings) -> None:
        right.addWidget(_heading("Answers now"))
        self.now = NowCard()
        right.addWidget(self.now)
        right.addSpacing(16)
        right.addWidget(_heading("What it learned from you"))
        self.learned = LearnedCard()
        right.addWidget(self.learned)
        right.addSpacing(16)
        right.addWidget(_heading("Battery and noise"))
        self.power = PowerCard(settings)
        right.addWidget(self.power)
        right.addStretch(1)
        self.now.unload_wanted.connect(self._unload)
        self.now.load_wanted.connect(self._load)
        self.power.changed.connect(self._power_changed)
        self.now.show_now(self._status, None, None, "")

    # --- what happens ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the machine and the places again."""
        if self._services is not None:
            self.again.offer("Looking")
            self._tasks.start(self._look())

    async def _look(self) -> None:
        assert self._services is not None
        await self._services.models.look()
        self.again.offer()

    def _shelf_changed(self, shelf: Shelf) -> None:
        self._shelf = shelf
        for tile, fact in zip(self.tiles, words.facts(shelf), strict=True):
            tile.show_fact(*fact)
        self.here.setText(words.here(shelf))
        self.source.setText(f"From {shelf.host}, only when you press Download")
        self._show_models()
        self._show_offers()
        self._show_now()
        best = shelf.recommended
        self.recommended.emit(f"{best.entry.name}, {gigabytes(best.entry.bytes)}" if best is not None else "")

    def _show_models(self) -> None:
        assert self._shelf is not None
        models = {one.path: one for one in self._shelf.models}
        _arrange(self.models_card, self.model_rows, list(models), self._new_model_row)
        for path, shown in self.model_rows.items():
            shown.show_model(models[path], busy=self._busy())
        self.models_card.setVisible(bool(models))

    def _new_model_row(self) -> ModelRow:
        new = ModelRow()
        new.use_wanted.connect(self.use)
        new.test_wanted.connect(self.test)
        new.remove_wanted.connect(self.remove)
        return new

    def _show_offers(self) -> None:
        assert self._shelf is not None and self._services is not None
        downloads = self._services.models.downloads
        items = {offer.entry.id: downloads.of_model(offer.entry.id) for offer in self._shelf.offers}

        def offered(offer: Offer) -> bool:
            return offer.fit.usable or items[offer.entry.id] is not None

        ordered = sorted(self._shelf.offers, key=lambda o: (items[o.entry.id] is None, not o.recommended))
        kept = [offer for offer in ordered if offered(offer)]
        large = [offer for offer in ordered if not offered(offer)]
        shown = {offer.entry.id: offer for offer in (kept + large if self._show_large else kept)}
        _arrange(self.offers_card, self.offer_rows, list(shown), self._new_offer_row)
        for name, one in self.offer_rows.items():
            one.show_offer(shown[name], items[name])
        self.offers_card.setVisible(bool(shown))
        self.large.setVisible(bool(large))
        what = f"{count(len(large), 'larger model')} that {'does' if len(large) == 1 else 'do'} not fit now"
        self.large.set_face(f"{'Hide' if self._show_large else 'Show'} {what}", "up" if self._show_large else "down")

    def _new_offer_row(self) -> OfferRow:
        new = OfferRow()
        new.download_wanted.connect(self.download)
        new.pause_wanted.connect(lambda name: self._command("pause", name))
        new.resume_wanted.connect(lambda name: self._command("resume", name))
        new.cancel_wanted.connect(lambda name: self._command("cancel", name))
        return new

    def _toggle_large(self) -> None:
        self._show_large = not self._show_large
        self._show_offers()

    def _show_now(self) -> None:
        if self._services is None:
            return
        model = next((one for one in self._shelf.models if one.in_use), None) if self._shelf is not None else None
        self.now.show_now(self._status, self._services.engine.info, model, self._busy())

    def _engine_changed(self, status: EngineStatus) -> None:
        changed = status.state != self._status.state or status.model != self._status.model
        self._status = status
        self._show_now()
        if changed and status.state in ("ready", "unloaded", "failed"):
            self.look()

    def _session_changed(self, session: Any) -> None:
        before = bool(self._busy_sessions)
        self._note(session.id, session.state)
        if before != bool(self._busy_sessions) and self._shelf is not None:
            self._show_models()
            self._show_now()
        if session.state in ("done", "partial"):
            self.look()  # one more measured question

    def _note(self, session_id: str, state: str) -> None:
        if state == "running":
            self._busy_sessions.add(session_id)
        else:
            self._busy_sessions.discard(session_id)

    def _busy(self) -> str:
        return "A question is being answered. Wait until it is done." if self._busy_sessions else ""

    # --- commands -------------------------------------------------------------------------------------------------

    def use(self, model: Model) -> None:
        """Answer with a model from now on."""
        if self._services is not None:
            self._start(self._services.models.use(model))

    def test(self, model: Model) -> None:
        """A test sentence and its speed."""
        if self._services is not None and not self._testing:
            self._start(self._test(model))

    async def _test(self, model: Model) -> None:
        assert self._services is not None
        self._testing = model.path
        self._set_testing(True)
        try:
            await self._services.models.try_model(model)
        finally:
            self._set_testing(False)
            self._testing = ""

    def _set_testing(self, testing: bool) -> None:
        if self._testing in self.model_rows:
            self.model_rows[self._testing].set_testing(testing)

    def remove(self, model: Model) -> None:
        """Delete a model of Fathom's own after a question; take another one out of the list."""
        if self._services is None:
            return
        if not model.own:
            self._start(self._forget(model))
            return
        dialog = Dialog(self.window(), "bin", "red", f"Delete {model.name}?")
        dialog.content.addWidget(
            Label(f"{gigabytes(model.bytes)} become free. To have it again it must be downloaded again.", lines=0)
        )
        keep = Button("Keep it", kind="primary", on_click=dialog.reject)
        delete = Button("Delete", "bin", on_click=dialog.accept)
        dialog.buttons.addWidget(keep)
        dialog.buttons.addWidget(delete)
        dialog.buttons.addStretch(1)
        dialog.finish()
        library = self._services.models
        dialog.accepted.connect(lambda: self._start(library.remove(model)))
        dialog.open()

    async def _forget(self, model: Model) -> None:
        assert self._services is not None
        await self._services.models.forget(model)
        self.toast.say(
            f"{model.name} is out of the list; its file stays",
            action="Undo",
            on_action=lambda: self.add(model.path),
        )

    def choose_file(self) -> None:
        """Ask for a GGUF file."""
        dialog = self._dialog("Add a model file", "GGUF models (*.gguf);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.open()

    def choose_folder(self) -> None:
        """Ask for a folder with models."""
        dialog = self._dialog("Add a folder with models", "")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.open()

    def _dialog(self, title: str, filters: str) -> QFileDialog:
        dialog = QFileDialog(self, title, str(self._last_folder), filters)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.add)
        return dialog

    def add(self, path: str) -> None:
        """List a file or a folder."""
        if self._services is not None:
            self._last_folder = Path(path).parent
            self._start(self._services.models.add(Path(path)))

    def download(self, offer: Offer) -> None:
        """Fetch a model: the one place where the window reaches the network for one."""
        if self._services is not None:
            try:
                self._services.models.downloads.add(offer.entry)
            except UserError as error:
                self._show_error(error)

    def _command(self, name: str, download_id: str) -> None:
        if self._services is not None:
            getattr(self._services.models.downloads, name)(download_id)

    def _download_changed(self, item: Download) -> None:
        if self._services is None:
            return
        shown = self.offer_rows.get(item.model)
        if shown is not None and item.state != "done":
            current = self._services.models.downloads.of_model(item.model)
            if shown.offer is not None and (shown.item is None) != (current is None):
                shown.show_offer(shown.offer, current)
            else:
                shown.show_download(current)
        if item.state == "done":
            self.toast.say(f"{item.name} is here", action="Use it", on_action=lambda: self._use_path(item.path))
        self._tell_downloads()

    def _use_path(self, path: str) -> None:
        model = self._shelf.model(path) if self._shelf is not None else None
        if model is not None:
            self.use(model)

    def _tell_downloads(self) -> None:
        assert self._services is not None
        self.download_told.emit(words.footer(self._services.models.downloads.items()))

    def _unload(self) -> None:
        if self._services is not None:
            self._start(self._services.models.unload())

    def _load(self) -> None:
        if self._services is not None:
            self._services.engine.start()

    def _power_changed(self) -> None:
        if self._services is not None:
            self._start(self._services.power.check())

    def close_down(self) -> None:
        """Before the services close."""
        self.toast.dismiss()
        self._services = None

    # --- errors ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        self._hide_error()
        self._tasks.start(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except FathomError as error:
            self._show_error(failure(error))

    def _show_error(self, error: UserError) -> None:
        action: tuple[str, str, Callable[[], None]] = ("Close", "close", self._hide_error)
        if error.remedy == "choose_model":
            action = ("Choose another file…", "folder", self.choose_file)
        self.banner.show_message("red", error.message, needs=error.needs, has=error.has, do=error.do, action=action)
        self.banner_box.show()

    def _hide_error(self) -> None:
        self.banner_box.hide()


def _heading(text: str) -> Label:
    return Label(text, "title", theme.BOLD, fit=True)


def _arrange(card: Card, rows: dict[str, Any], wanted: list[str], new: Callable[[], QWidget]) -> None:
    """Give ``card`` one row a name in the order of ``wanted``, with lines between; rows that stay keep the focus."""
    if list(rows) == wanted:
        return
    kept = {name: rows.get(name) or new() for name in wanted}
    for name, old in rows.items():
        if name not in kept:
            old.deleteLater()
    while item := card.body.takeAt(0):
        widget = item.widget()
        if isinstance(widget, Rule):
            widget.deleteLater()
    for index, widget in enumerate(kept.values()):
        if index:
            card.body.addWidget(Rule())
        card.body.addWidget(widget)
    rows.clear()
    rows.update(kept)
