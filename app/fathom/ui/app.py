"""Starts and ends the window: paint first, import after; one instance a data folder; every bug to the log and a dialog.

``run_gui`` returns an exit status: 0 closed by the person, 1 already open, 2 there is no display.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fathom.core.errors import FathomError, UserError
from fathom.core.redaction import RedactingFormatter, redact
from fathom.core.settings import Settings, data_dir

if TYPE_CHECKING:
    from PySide6.QtCore import QMessageLogContext, QtMsgType
    from PySide6.QtWidgets import QApplication

    from fathom.services.application import Services
    from fathom.ui.library.area import LibraryArea
    from fathom.ui.main_window import MainWindow
    from fathom.ui.models.area import ModelsArea

log = logging.getLogger(__name__)

LOG_BYTES = 2_000_000

NO_DISPLAY = """\
Fathom cannot open a window here: {why}.
Work without a window:
    fathom ask "your question"
"""


def run_gui(argv: list[str]) -> int:
    """Open the window and run until it is closed."""
    if why := display_missing():
        sys.stderr.write(NO_DISPLAY.format(why=why))
        return 2
    from PySide6.QtCore import QLockFile, qInstallMessageHandler
    from PySide6.QtWidgets import QApplication

    qInstallMessageHandler(_no_window)
    QApplication.setApplicationName("Fathom")
    QApplication.setDesktopFileName("fathom")
    app = QApplication(["fathom", *argv])
    qInstallMessageHandler(_qt_message)
    app.setQuitOnLastWindowClosed(False)

    from fathom.ui import theme
    from fathom.ui.main_window import MainWindow

    settings = Settings.load()
    theme.apply(app, settings.theme)
    lock = QLockFile(str(data_dir() / "window.lock"))
    lock.setStaleLockTime(0)
    if not lock.tryLock(0):
        return _already_open(app)
    window = MainWindow()
    session = App(app, window, settings)
    if not _offscreen():
        window.fit_to_screen()
    window.show()
    _wait_for_paint(app, window)
    if os.environ.get("FATHOM_MEASURE_FIRST_PAINT"):
        sys.stdout.write(f"first paint {_since_start_ms():.0f} ms\n")
        sys.stdout.flush()
        return 0
    _open_log()
    try:
        return session.run()
    finally:
        lock.unlock()


def display_missing() -> str:
    """Why there can be no window, "" when there can. Only a first look: a display may still refuse."""
    if os.environ.get("QT_QPA_PLATFORM") or sys.platform in ("win32", "darwin"):
        return ""
    display, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if wayland:
        return ""
    if not display:
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    host, _, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not number.isdigit():
        return f"DISPLAY is {display!r}, which names no display"
    return "" if _x_answers(host, int(number)) else f"nothing answers on the display {display}"


def _x_answers(host: str, number: int) -> bool:
    if host and not host.startswith(("unix", "/")):
        try:
            socket.create_connection((host, 6000 + number), timeout=3.0).close()
        except OSError:
            return False
        return True
    for address in (f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as found:
            try:
                found.connect(address)
            except OSError:
                continue
            return True
    return False


def _no_window(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    """Before there is a window, a fatal message of Qt means that there will be none."""
    from PySide6.QtCore import QtMsgType

    if kind == QtMsgType.QtFatalMsg:
        why = message.strip().splitlines()[0].rstrip(".") if message.strip() else "Qt could not start"
        sys.stderr.write(NO_DISPLAY.format(why=why))
        sys.stderr.flush()
        os._exit(2)
    log.info("Qt: %s", message)


def _qt_message(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    from PySide6.QtCore import QtMsgType

    levels = {QtMsgType.QtDebugMsg: logging.DEBUG, QtMsgType.QtInfoMsg: logging.INFO}
    log.log(levels.get(kind, logging.WARNING), "Qt: %s", message)


def _offscreen() -> bool:
    return os.environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal"))


def _wait_for_paint(app: QApplication, window: MainWindow) -> None:
    from PySide6.QtCore import QEventLoop

    until = time.monotonic() + 3.0
    while not window.painted and time.monotonic() < until:
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)


def _since_start_ms() -> float:
    """Milliseconds since this process was started, as the system counts it (10 ms steps)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1000
    except (OSError, ValueError, AttributeError, IndexError):
        return float("nan")


def _already_open(app: QApplication) -> int:
    from fathom.ui.widgets.error_dialog import ErrorDialog

    sys.stderr.write(f"Fathom is already open with the data folder {data_dir()}.\n")
    error = UserError(
        "Fathom is already open",
        has=f"another window works with {data_dir()}",
        do="Use that window, or start this one with another folder in FATHOM_HOME.",
    )
    dialog = ErrorDialog(None, error)
    dialog.finished.connect(app.quit)
    dialog.open()
    app.exec()
    return 1


def _open_log() -> None:
    path = log_path()
    if path.is_file() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".old.txt"))
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("qasync", "watchfiles", "httpx", "httpcore"):  # httpx would write down every address
        logging.getLogger(chatty).setLevel(logging.WARNING)


def log_path() -> Path:
    """The log's file."""
    return data_dir() / "log.txt"


class App:
    """The window's life from the first paint to the end. ``run`` is all of it; whoever has a loop of their own, as
    the maker of the README's pictures, awaits ``open`` and ``close``."""

    def __init__(self, app: QApplication, window: MainWindow, settings: Settings) -> None:
        from fathom.ui.bridge import Bridge, Tasks
        from fathom.ui.garbage import Collector
        from fathom.ui.research.area import ResearchArea

        self._app = app
        self._collector = Collector(app)
        self._window = window
        self._settings = settings
        self._bridge = Bridge()
        self._tasks = Tasks()
        self._close = asyncio.Event()
        self._services: Services | None = None
        self._library_area: LibraryArea | None = None
        self._bug_shown = False
        self._models: ModelsArea | None = None
        self.research = ResearchArea(self._bridge, self._tasks, settings.scope)
        window.add_area("search", "Research", self.research)
        window.close_asked.connect(self._close.set)
        self._bridge.engine_changed.connect(window.footer.show_engine)
        self.research.speed_changed.connect(window.footer.show_speed)
        self.research.web_changed.connect(window.footer.show_web)
        self.research.models_wanted.connect(self._show_models)
        window.footer.show_web(settings.scope.web)

    @property
    def services(self) -> Services | None:
        """What the window works with, None before it is open."""
        return self._services

    def run(self) -> int:
        """Run the event loop until the window was closed and everything has ended."""
        import qasync

        sys.excepthook = self._excepthook
        loop = qasync.QEventLoop(self._app, already_running=False)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._loop_exception)
        # As asyncio's own run_forever does and qasync's does not: a generator that nobody closed is closed on the loop.
        sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
        with loop:
            loop.run_until_complete(self._main(loop))
            loop.run_until_complete(loop.shutdown_asyncgens())
        return 0

    async def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._close.set)
            except (NotImplementedError, RuntimeError, ValueError):
                signal.signal(number, lambda *_: self._close.set())
        if os.environ.get("FATHOM_ACCESSIBLE_TREE"):
            from fathom.ui.accessible_tree import answer_signal

            answer_signal(loop)
        self.research.composer.begin()
        opening = self._tasks.start(self.open())
        await self._close.wait()
        opening.cancel()
        self._window.hide()
        await self.close()

    async def close(self) -> None:
        """End what runs, then the services."""
        if self._library_area is not None:
            self._library_area.close_down()
        await self._tasks.close()
        if self._services is not None:
            self.research.close_down()
            if self._models is not None:
                self._models.close_down()
            self._bridge.detach()
            await self._services.close()

    async def open(self) -> None:
        """Import and open the services; the window is painted and answers meanwhile."""
        from fathom.ui.library.area import LibraryArea
        from fathom.ui.models.area import ModelsArea
        from fathom.ui.settings.area import SettingsArea

        self._library_area = library_area = LibraryArea(self._bridge, self._tasks)
        self._window.add_area("library", "Library", library_area)
        self._models = models_area = ModelsArea(self._bridge, self._tasks, self._settings)
        models_area.download_told.connect(self._window.footer.show_download)
        models_area.recommended.connect(self.research.composer.model_card.show_recommended)
        self._window.add_area("models", "Models", models_area)
        settings_area = SettingsArea(self._bridge, self._tasks, self._settings)
        settings_area.model_wanted.connect(self.research.choose_model)
        settings_area.small_wanted.connect(lambda: self.research.use_model(""))
        settings_area.restart_wanted.connect(self.research.restart_engine)
        self._window.add_area("settings", "Settings", settings_area, at_bottom=True)
        application = await asyncio.to_thread(importlib.import_module, "fathom.services.application")
        try:
            services: Services = await application.open_services(self._settings)
        except FathomError as error:
            self._cannot_open(error)
            return
        self._services = services
        self._bridge.attach(services)
        services.sessions.take_up_waiting()
        self.research.attach(services)
        settings_area.attach(services)
        library_area.attach(services)
        models_area.attach(services)
        services.power.start()
        self._window.footer.show_engine(services.engine.status)
        services.engine.start()
        if loss := services.store.database.loss:
            self._tell_loss(loss)
        await asyncio.sleep(0)
        self.research.prepare()
        services.library.start_following()
        self._collector.settle()

    def _show_models(self) -> None:
        if self._models is not None:
            self._window.show_area("Models")

    def _tell_loss(self, loss: str) -> None:
        from fathom.ui.widgets.error_dialog import ErrorDialog

        ErrorDialog(self._window, UserError("A damaged database was replaced", has=loss)).open()

    def _cannot_open(self, error: FathomError) -> None:
        from fathom.ui.widgets.error_dialog import ErrorDialog

        log.error("the services cannot be opened", exc_info=error)
        shown = error if isinstance(error, UserError) else UserError(str(error))
        dialog = ErrorDialog(self._window, shown, ("Try again", "retry", self._open_again))
        dialog.rejected.connect(self._close.set)
        dialog.open()

    def _open_again(self) -> None:
        self._tasks.start(self._open_services_again())

    async def _open_services_again(self) -> None:
        for word in ("Library", "Models", "Settings"):
            self._window.remove_area(word)
        await self.open()

    # --- bugs -----------------------------------------------------------------------------------------------------

    def _excepthook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._close.set()
        else:
            self._bug(error, "".join(traceback.format_exception(kind, error, trace)))

    def _loop_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._bug(error, "".join(traceback.format_exception(error)))
        else:
            log.error("event loop: %s", context.get("message"))

    def _bug(self, error: BaseException, details: str) -> None:
        from fathom.ui.widgets.error_dialog import BugDialog, ErrorDialog

        details = redact(details)
        log.error("unexpected error\n%s", details)
        if self._bug_shown or self._close.is_set():
            return
        self._bug_shown = True
        if isinstance(error, UserError):
            dialog: BugDialog | ErrorDialog = ErrorDialog(self._window, error)
        else:
            summary = redact(f"{type(error).__name__}: {error}")[:300]
            dialog = BugDialog(self._window, summary, details, str(log_path()))
        dialog.finished.connect(self._bug_closed)
        dialog.open()

    def _bug_closed(self) -> None:
        self._bug_shown = False
