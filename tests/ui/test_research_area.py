"""The area on real services: ask, watch, pause, stop, export, copy, delete, go on. Only the model follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog, QPushButton
from workbench import QUESTION, READY, Workbench, run_qt, until

from fathom.core.events import RunFailed, RunInterrupted, StepStarted
from fathom.core.types import EngineSpec
from fathom.tools.sandbox.attacks import NAMES
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.main_window import MainWindow
from fathom.ui.research.area import ResearchArea, file_name
from fathom.ui.settings.area import SettingsArea


class Desk:
    """A window on a workbench."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.bridge, self.tasks = Bridge(), Tasks()
        self.window = MainWindow()
        self.area = ResearchArea(self.bridge, self.tasks, bench.services.settings.scope)
        self.settings = SettingsArea(self.bridge, self.tasks, bench.services.settings)
        self.window.add_area("search", "Research", self.area)
        self.window.add_area("settings", "Settings", self.settings, at_bottom=True)
        self.area.web_changed.connect(self.window.footer.show_web)
        self.area.speed_changed.connect(self.window.footer.show_speed)
        self.bridge.engine_changed.connect(self.window.footer.show_engine)
        self.window.show()

    def attach(self) -> None:
        self.bridge.attach(self.bench.services)
        self.area.attach(self.bench.services)
        self.bridge.engine_changed.emit(READY)

    def state(self) -> str:
        return self.bench.services.sessions.session(self.area.shown).state

    async def close(self) -> None:
        self.area.close_down()
        await self.tasks.close()
        self.bridge.detach()
        await self.bench.services.close()
        self.window.deleteLater()


@asynccontextmanager
async def desk(home: Path, *, attached: bool = True) -> AsyncIterator[Desk]:
    bench = Workbench(home)
    await bench.services.library.ensure_sample()
    found = Desk(bench)
    if attached:
        found.attach()
    try:
        yield found
    finally:
        await found.close()


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


def test_an_example_pressed_ends_in_a_report(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.area.composer.examples[0].click()
            await until(lambda: one.area.shown and one.state() == "done")
            page = one.area.page
            assert page is not None
            await until(lambda: page.header.facts.text().startswith("Done in"))
            assert page.header.export.isEnabled()
            assert one.area.list.view.currentIndex().data().startswith("What government position")
            page.header.copy.click()
            assert "Shirley Temple" in QGuiApplication.clipboard().text()
            assert one.area.toast.isVisible()

    run_qt(app, main())


def test_a_question_is_answered_by_what_was_chosen_for_it(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            chosen = EngineSpec(backend="mlx", model="/models/some.gguf")
            one.area.composer.engine_wanted.emit(chosen)
            one.area.ask(QUESTION)
            first = one.area.shown
            await until(lambda: one.state() == "done")
            assert one.bench.wanted == [chosen]
            assert one.bench.services.sessions.session(first).engine.model == chosen.model

    run_qt(app, main())


def test_a_question_asked_before_the_services_are_open_is_kept(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home, attached=False) as one:
            one.area.composer.input.edit.setPlainText(QUESTION)
            one.area.composer.input.ask.click()
            assert one.area.shown == ""
            one.attach()
            await until(lambda: one.area.shown and one.state() == "done")

    run_qt(app, main())


def test_a_question_waits_for_the_engine_and_can_be_stopped(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.bench.gate.clear()
            one.area.ask(QUESTION)
            page = one.area.page
            assert page is not None
            assert page.header.facts.text().startswith("Waiting")
            page.header.stop.click()
            assert one.state() == "stopped"
            assert page.header.go_on.isVisible()
            page.header.go_on.click()
            assert one.state() == "waiting"
            one.bench.gate.set()
            await until(lambda: one.state() == "done")

    run_qt(app, main())


def test_events_of_other_sessions_touch_only_the_list(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            shown = one.bench.add_session("Shown", "running", steps=2)
            other = one.bench.add_session("Other", "running", steps=2)
            one.area.list.searched.emit("")
            one.area.show_session(shown.id)
            page = one.area.page
            assert page is not None
            before = page.header.memory_words.text()
            one.bridge.happened.emit(other.id, StepStarted(step=9, prompt_tokens=8000, context_tokens=8192))
            assert page.header.memory_words.text() == before
            assert one.area.list.model.step(other.id) == 9

    run_qt(app, main())


def test_a_dead_engine_and_an_interruption_have_a_banner_with_a_way_on(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            session = one.bench.add_session("Died", "failed", steps=2)
            one.area.show_session(session.id)
            page = one.area.page
            assert page is not None
            one.bridge.happened.emit(session.id, RunFailed(message="The engine stopped.", has="Safe.", engine=True))
            assert page.banner.isVisible()
            assert "The engine stopped." in page.banner.accessibleDescription()
            broken = one.bench.add_session("Cut off", "interrupted", steps=2)
            one.area.show_session(broken.id)
            one.bridge.happened.emit(broken.id, RunInterrupted(step=3))
            assert (
                page.banner.accessibleDescription() == "Fathom was closed in the middle of step 3. 2 steps are saved."
            )
            page.go_on_wanted.emit()
            await until(lambda: one.state() == "done")
            assert not page.banner.isVisible()

    run_qt(app, main())


def test_the_report_is_saved_where_the_person_says(app: QApplication, fathom_home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            session = one.bench.add_session(QUESTION)
            one.area.show_session(session.id)
            one.area.export()
            dialog = one.area.findChild(QFileDialog)
            assert dialog is not None
            assert dialog.selectedFiles()[0].endswith("Who portrayed Corliss Archer in the film Kiss and Tell.md")
            target = tmp_path / "report.md"
            dialog.fileSelected.emit(str(target))
            dialog.close()
            assert "Chief of Protocol" in target.read_text("utf-8")
            assert one.area.toast.accessibleName() == "Report saved as report.md"

    run_qt(app, main())


def test_deleting_can_be_undone_until_the_message_goes(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            session = one.bench.add_session(QUESTION)
            sessions = one.bench.services.sessions
            one.area.show_session(session.id)
            one.area.delete(session.id)
            assert one.area.shown == ""
            assert one.area.list.model.row_of(session.id) == -1
            one.area.toast.findChildren(type(one.area.composer.input.ask))[0].click()  # Undo
            assert one.area.list.model.row_of(session.id) >= 0
            one.area.delete(session.id)
            one.area.toast.dismiss()
            assert session.id not in [found.id for found in sessions.sessions()]

    run_qt(app, main())


def test_search_goes_through_the_store(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.bench.add_session("Heat pumps in winter")
            wanted = one.bench.add_session("Sea level at Busan", days_ago=1)
            one.area.list.search.setText("Busan")
            await until(lambda: one.area.list.model.rowCount() == 2)
            assert one.area.list.model.row_of(wanted.id) == 1

    run_qt(app, main())


def test_a_folder_is_added_and_a_missing_one_says_what_to_do(
    app: QApplication, fathom_home: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        folder = tmp_path / "notes"
        folder.mkdir()
        (folder / "a.md").write_text("# Busan\n\nThe sea rose.", "utf-8")
        async with desk(fathom_home) as one:
            one.area.look_in()
            dialog = one.area._look_in
            assert dialog is not None
            dialog.add(tmp_path / "nowhere")
            await until(dialog._problems.isVisible)
            dialog.add(folder)
            await until(lambda: "1 page from 1 folder" in one.area.composer.documents.text.text())
            assert "My documents (1)" in one.area.composer.input.places.text()
            dialog.web.setChecked(True)
            assert one.bench.services.settings.scope.web
            assert one.window.footer.leaves.text().startswith("Web is on")
            dialog.close_it()
            await until(lambda: one.area._look_in is None)

    run_qt(app, main())


def test_the_same_question_can_be_asked_elsewhere(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            session = one.bench.add_session(QUESTION)
            one.area.show_session(session.id)
            assert one.area.page is not None
            one.area.page.header.elsewhere.click()
            assert one.area.shown == ""
            assert one.area.composer.input.edit.toPlainText() == QUESTION
            assert one.area._look_in is not None
            one.area._look_in.close_it()
            await asyncio.sleep(0)

    run_qt(app, main())


def test_settings_test_the_sandbox_and_change_the_theme(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.settings.attach(one.bench.services)
            await until(lambda: "sandbox" in one.settings.sandbox_line.label.text().lower())
            await until(lambda: one.settings.sandbox_line.icon.name != "running")
            lines = [one.settings.attacks.itemAt(n).widget() for n in range(one.settings.attacks.count())]
            assert [line.label.text() for line in lines] == list(NAMES.values()) and len(lines) == 10
            one.settings.test.click()
            await until(lambda: one.settings.sandbox_line.icon.name == "running")
            await until(lambda: one.settings.sandbox_line.icon.name != "running")
            assert one.settings.attacks.count() == 10
            dark = next(button for button in one.settings.modes.buttons() if button.text() == "Dark")
            dark.click()
            assert theme.is_dark()
            assert '"dark"' in (fathom_home / "settings.json").read_text("utf-8")

    run_qt(app, main())


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Who? What: a/b", "Who What a b.md"),
        ("한국 전기차", "한국 전기차.md"),
        ("???", "report.md"),
    ],
)
def test_a_file_name_holds_what_a_file_system_takes(title: str, name: str) -> None:
    assert file_name(title) == name


def test_a_long_name_ends_at_a_word() -> None:
    name = file_name("What government position was held by the woman who portrayed Corliss Archer in the film Kiss?")
    assert name == "What government position was held by the woman who portrayed Corliss Archer in.md"


def test_the_keyboard_goes_to_the_steps_and_no_button_gets_a_ring(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            sample = one.bench.add_session("How tall is K2?", sample=True)
            one.area.list.searched.emit("")
            one.window.activateWindow()
            one.area.composer.begin()
            await until(lambda: one.area.composer.input.edit.hasFocus())
            one.area.composer.engine_card.sample.click()
            assert one.area.shown == sample.id
            page = one.area.page
            assert page is not None
            await until(lambda: page.timeline.list.hasFocus())
            assert not page.timeline.list.drawing.focused

            one.window.show_area("Settings")
            await until(lambda: one.window.places["Settings"].hasFocus())

    run_qt(app, main())


def test_a_failed_run_offers_its_way_out_once(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            session = one.bench.add_session("A question", "running", steps=2)
            one.bench.store.record(session.id, RunFailed(message="The engine stopped.", engine=True))
            one.bench.store.set_state(session.id, "failed")
            one.area.list.searched.emit("")
            one.area.show_session(session.id)
            page = one.area.page
            assert page is not None
            words = [button.text() for button in page.findChildren(QPushButton) if button.isVisible()]
            assert words.count("Start again and go on") == 1
            assert not {"Go on", "Restart the engine", "New question"} & set(words)

    run_qt(app, main())
