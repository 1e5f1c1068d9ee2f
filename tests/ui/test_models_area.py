"""The Models area on real services: what is here, what fits, downloads from a local hub, errors with a way out."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget
from workbench import QUESTION, READY, Workbench, run_qt, until

from fathom.core.events import EngineStatus, Notice, RunPaused
from fathom.core.settings import Settings
from fathom.services.pace import Probe
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.models.area import ModelsArea
from fathom.ui.research.engine_card import ModelCard
from fathom.ui.widgets.error_dialog import Dialog
from fathom.weights import embedded
from fathom.weights.catalog import catalog
from fathom.weights.memory import Machine
from hub_server import Hub, HubFile
from tiny_gguf import gguf_bytes

DATA = random.Random(3).randbytes(2_000_000)
LAPTOP = Machine(ram_bytes=16_000_000_000, free_bytes=12_000_000_000, cores=8)
MINE = "miromind-ai_MiroThinker-v1.0-8B-Q4_K_M.gguf"
REPO = "bartowski/miromind-ai_MiroThinker-v1.0-8B-GGUF"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(files={REPO: {MINE: HubFile(DATA)}}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


class Stage:
    """The area in a window of its own, on a workbench's services."""

    def __init__(self, home: Path) -> None:
        self.bench = Workbench(home)
        self.services = self.bench.services
        self.services.models._look_at_machine = lambda: LAPTOP
        self.bridge, self.tasks = Bridge(), Tasks()
        self.area = ModelsArea(self.bridge, self.tasks, self.services.settings)
        self.area.resize(1200, 720)
        self.area.show()

    async def open(self) -> None:
        self.bridge.attach(self.services)
        self.area.attach(self.services)
        await until(lambda: self.services.models.looked and self.area.offer_rows, 60)

    async def close(self) -> None:
        self.area.close_down()
        self.bridge.detach()
        await self.tasks.close()
        await self.services.close()
        self.area.hide()
        self.area.deleteLater()


def play(
    qapp: QApplication, home: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage], Coroutine[Any, Any, None]]
) -> None:
    monkeypatch.setattr(embedded, "locate", lambda: None)
    theme.apply(qapp, "light")

    async def main() -> None:
        stage = Stage(home)
        try:
            await stage.open()
            await act(stage)
        finally:
            await stage.close()

    run_qt(qapp, main())


def put(home: Path, where: str, data: bytes) -> Path:
    path = home / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def shown(widget: QWidget) -> bool:
    return widget.isVisible()


def test_it_shows_this_computer_its_models_and_what_can_be_had(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    put(fathom_home, "models/tiny-Q4_0.gguf", gguf_bytes("Tiny"))
    put(fathom_home, "models/cut.gguf", gguf_bytes()[:-10])

    async def act(stage: Stage) -> None:
        area = stage.area
        assert [tile.much.text() for tile in area.tiles][:3] == ["16 GB", "None to use", "8 cores"]
        assert area.here.text() == "2 models in 1 place"
        tiny, cut = (area.model_rows[str(fathom_home / "models" / name)] for name in ("tiny-Q4_0.gguf", "cut.gguf"))
        assert tiny.name.text() == "Tiny" and "Fits, leaves" in tiny.fit.label.text()
        assert shown(tiny.use) and shown(tiny.test) and shown(tiny.remove)
        assert "Cannot be loaded" in cut.fit.label.text() and not shown(cut.use) and shown(cut.note)
        assert hub.endpoint.removeprefix("http://") in area.source.text()
        recommended = area.offer_rows["qwen3-8b"]
        assert shown(recommended.take) and shown(recommended.mark) and not shown(recommended.download)
        assert "qwen3-30b-a3b" not in area.offer_rows  # it does not fit: no preset
        area.large.click()
        large = area.offer_rows["qwen3-30b-a3b"]
        assert "Too large" in large.fit.label.text()
        assert not shown(large.download) and not shown(large.take)
        assert hub.requests == []  # nothing was asked of the network

    play(qapp, fathom_home, monkeypatch, act)


def test_every_control_has_a_name_and_the_keyboard_reaches_it(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fathom_home, "models/tiny.gguf", gguf_bytes("Tiny"))

    async def act(stage: Stage) -> None:
        for button in stage.area.findChildren(QPushButton):
            if button.isVisible():
                assert button.accessibleName(), button.text()
                assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
        row = stage.area.model_rows[str(fathom_home / "models" / "tiny.gguf")]
        assert row.use.accessibleName() == "Use Tiny"
        assert row.remove.accessibleName() == "Delete Tiny from the disk"
        assert row.accessibleName().startswith("Tiny. Fathom’s folder")

    play(qapp, fathom_home, monkeypatch, act)


def test_a_download_runs_pauses_resumes_and_becomes_a_model(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    file = hub.files[REPO][MINE]
    file.hold, file.cut_after = threading.Event(), 1_500_000
    file.data = gguf_bytes("Miro") + DATA
    told: list[str] = []

    async def act(stage: Stage) -> None:
        area = stage.area
        area.download_told.connect(told.append)
        row = area.offer_rows["mirothinker-1.0-8b"]
        area.activateWindow()
        row.download.setFocus()
        had_focus = row.download.hasFocus()
        row.download.click()
        await until(lambda: row.item is not None and row.item.done_bytes > 500_000, 90)
        assert row.pause.hasFocus() == had_focus  # not the next row's Download
        assert shown(row.pause) and shown(row.cancel) and shown(row.progress)
        assert "time left" in row.progress_words.text() or "left" in row.progress_words.text()
        assert "Downloading MiroThinker 1.0 8B from 127.0.0.1" in told[-1]
        QTest.keyClick(row.pause, Qt.Key.Key_Space)
        await until(lambda: shown(row.resume))
        assert "Paused" in row.progress_words.text() and told[-1] == ""
        assert file.hold is not None
        file.hold.set()
        file.hold = None
        row.resume.click()
        path = str(fathom_home / "models" / MINE)
        await until(lambda: path in area.model_rows, 90)
        assert area.model_rows[path].name.text() == "MiroThinker 1.0 8B"
        assert "mirothinker-1.0-8b" not in area.offer_rows
        assert area.toast.isVisible()

    play(qapp, fathom_home, monkeypatch, act)


def test_a_failed_download_says_needs_has_do_and_can_be_cancelled(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    async def act(stage: Stage) -> None:
        row = stage.area.offer_rows["qwen3-8b"]
        row.take.click()
        await until(lambda: shown(row.resume), 90)
        assert shown(row.error)
        words = {child.text() for child in row.error.findChildren(type(row.name))}
        assert {"Needs", "Has", "Do"} <= words
        assert any("404" in text for text in words)
        row.cancel.click()
        await until(lambda: shown(row.take))
        assert not shown(row.error) and not shown(row.progress)
        assert stage.services.models.downloads.items() == []

    play(qapp, fathom_home, monkeypatch, act)


def test_a_file_that_is_no_model_is_refused_with_a_way_out(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junk = put(fathom_home, "junk.gguf", b"<html>")
    good = put(fathom_home, "good.gguf", gguf_bytes("Good"))

    async def act(stage: Stage) -> None:
        area = stage.area
        area.add(str(junk))
        await until(lambda: shown(area.banner_box))
        words = {label.text() for label in area.banner.findChildren(type(area.here))}
        assert {"Needs", "Has", "Do"} <= words
        assert any(button.text().startswith("Choose another") for button in area.banner.findChildren(QPushButton))
        area.add(str(good))
        await until(lambda: str(good) in area.model_rows)
        assert not shown(area.banner_box)
        row = area.model_rows[str(good)]
        row.remove.click()  # not Fathom's: only forgotten, and it can be undone
        await until(lambda: str(good) not in area.model_rows)
        assert good.exists()
        await until(area.toast.isVisible)
        area.toast._action.click()
        await until(lambda: str(good) in area.model_rows)

    play(qapp, fathom_home, monkeypatch, act)


def test_deleting_asks_first(qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(fathom_home, "models/tiny.gguf", gguf_bytes("Tiny"))

    def dialogs(stage: Stage) -> list[Dialog]:
        return [one for one in stage.area.window().findChildren(Dialog) if one.isVisible()]

    async def act(stage: Stage) -> None:
        area = stage.area
        area.model_rows[str(path)].remove.click()
        await until(lambda: dialogs(stage))
        dialogs(stage)[0].reject()
        await asyncio.sleep(0)
        assert path.exists()
        await until(lambda: not dialogs(stage))
        area.model_rows[str(path)].remove.click()
        await until(lambda: dialogs(stage))
        dialogs(stage)[0].accept()
        await until(lambda: str(path) not in area.model_rows)
        assert not path.exists()

    play(qapp, fathom_home, monkeypatch, act)


def test_a_running_session_keeps_its_model(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(fathom_home, "models/tiny.gguf", gguf_bytes("Tiny"))

    async def act(stage: Stage) -> None:
        row = stage.area.model_rows[str(path)]
        states: list[bool] = []
        stage.bridge.session_changed.connect(
            lambda session: states.append(row.use.isEnabled()) if session.state == "running" else None
        )
        stage.services.sessions.ask(QUESTION)
        await until(lambda: states)
        await stage.services.sessions.idle()
        await until(row.use.isEnabled)
        assert states and not any(states)

    play(qapp, fathom_home, monkeypatch, act)


def test_what_answers_now_and_its_figures(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(stage: Stage) -> None:
        now = stage.area.now
        stage.area._engine_changed(READY)
        assert now.name.text() == "The small model"
        stage.area._engine_changed(EngineStatus(state="unloaded", model="Tiny"))
        assert shown(now.load) and not shown(now.unload)
        assert "next question loads it" in now.state.label.text()

    play(qapp, fathom_home, monkeypatch, act)


def test_battery_settings_are_kept(qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(stage: Stage) -> None:
        power = stage.area.power
        assert power.group.buttons()[0].isChecked() and not power.pause.isChecked()
        power.group.buttons()[2].click()
        power.pause.click()
        await until(lambda: stage.services.engine.threads > 0)
        kept = Settings.load()
        assert (kept.quiet, kept.pause_on_low_battery) == ("always", True)

    play(qapp, fathom_home, monkeypatch, act)


def test_a_tested_model_says_how_fast_it_is(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(fathom_home, "models/tiny.gguf", gguf_bytes("Tiny"))

    async def act(stage: Stage) -> None:
        stage.services.models.probes.put(
            str(path), Probe(prefill_tokens_per_s=200, decode_tokens_per_s=8.25, text="It was\ndug.")
        )
        row = stage.area.model_rows[str(path)]
        stage.area.look()
        await until(lambda: shown(row.said))
        assert row.said.label.text() == "Reads 200, writes 8.2 tokens a second.  “It was dug.”"
        assert "estimate" in row.pace.label.text()

    play(qapp, fathom_home, monkeypatch, act)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("size", [(1200, 720), (1360, 820)])
def test_nothing_is_cut_off_at_the_usual_sizes(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch, mode: Any, size: tuple[int, int]
) -> None:
    put(fathom_home, "models/한국어-모델-Q4_K_M.gguf", gguf_bytes("한국어 연구용 질문 답변 모델 8B"))

    async def act(stage: Stage) -> None:
        theme.apply(qapp, mode)
        stage.area.resize(*size)
        await asyncio.sleep(0.05)
        inside = stage.area.page.widget()
        assert inside is not None and inside.minimumSizeHint().width() <= stage.area.page.viewport().width()
        for row in [*stage.area.model_rows.values(), *stage.area.offer_rows.values()]:
            for label in (row.name, row.fit.label, row.pace.label, row.line):
                assert not label.is_cut(), label.text()
            for button in row.findChildren(QPushButton):
                if button.isVisible():
                    assert button.geometry().right() <= button.parentWidget().width()

    play(qapp, fathom_home, monkeypatch, act)


def test_the_page_of_a_new_question_recommends_one(qapp: QApplication) -> None:
    card = ModelCard()
    card.show()
    assert not shown(card.advice)
    card.show_recommended("Qwen3 8B, 5.0 GB")
    assert shown(card.advice) and "Qwen3 8B, 5.0 GB" in card.advice.label.text()
    card.show_recommended("")
    assert not shown(card.advice)
    card.hide()
    card.deleteLater()


def test_a_download_left_from_before_can_be_taken_up(
    qapp: QApplication, fathom_home: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    from fathom.services.downloads import Download

    entry = catalog()["mirothinker-1.0-8b"]
    left = Download(
        id="a", model=entry.id, name=entry.name, repo=entry.repo, file=entry.file, target=entry.target, state="running"
    )
    put(fathom_home, "models/downloads.json", msgspec.json.encode([left]))

    async def act(stage: Stage) -> None:
        row = stage.area.offer_rows["mirothinker-1.0-8b"]
        assert shown(row.resume) and "closed" in row.progress_words.text()
        assert hub.requests == []
        row.resume.click()
        await until(lambda: (fathom_home / "models" / MINE).is_file(), 90)

    play(qapp, fathom_home, monkeypatch, act)


def test_a_running_session_is_paused_with_a_notice(fathom_home: Path) -> None:
    async def main() -> list[object]:
        bench = Workbench(fathom_home)
        runner = bench.services.sessions
        events: list[object] = []
        paused = asyncio.Event()

        def see(_session: str, event: object) -> None:
            events.append(event)
            if type(event).__name__ == "StepStarted" and not paused.is_set():
                runner.pause_with("The battery is at 12 %.")
            if isinstance(event, RunPaused):
                paused.set()

        runner.subscribe(see)
        session = runner.ask(QUESTION)
        await asyncio.wait_for(paused.wait(), 90)
        assert runner.busy
        runner.resume(session.id)
        await asyncio.wait_for(runner.idle(), 90)
        stored = runner.events(session.id)
        await bench.services.close()
        assert any(isinstance(one, Notice) and one.level == "warning" for one in stored)
        return events

    events = asyncio.run(main())
    notice = next(one for one in events if isinstance(one, Notice) and "battery" in one.text)
    assert notice.level == "warning"
