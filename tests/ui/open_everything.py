"""Opens the window's every area, asks a question, and says what went wrong. Run by test_before_the_engine.py."""

from __future__ import annotations

import asyncio
import sys

import qasync
from PySide6.QtWidgets import QApplication

from fathom.core.settings import Settings
from fathom.ui import theme
from fathom.ui.app import App
from fathom.ui.main_window import MainWindow

AREAS = ("Research", "Library", "Models", "Settings")


async def main(app: QApplication) -> None:
    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
    theme.apply(app, "light")
    window = MainWindow()
    life = App(app, window, Settings())
    window.show()
    life.research.composer.begin()
    await life.open()
    services = life.services
    assert services is not None
    for name in AREAS:
        window.show_area(name)
        await asyncio.sleep(0.3)
    session = services.sessions.ask("Who wrote Armageddon in Retrospect?", Settings().scope)
    life.research.show_session(session.id)
    await services.models.look()
    await asyncio.sleep(0.5)
    said = [f"engine {services.engine.status.state}", f"session {services.sessions.session(session.id).state}"]
    window.hide()
    await life.close()
    sys.stdout.writelines(f"{line}\n" for line in [*said, *(f"wrong: {one}" for one in wrong)])


application = QApplication(sys.argv[:1])
with asyncio.Runner(loop_factory=lambda: qasync.QEventLoop(application, already_running=False)) as runner:
    runner.run(main(application))
