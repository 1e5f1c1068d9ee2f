"""Settings, How it computes: what is chosen is kept, counts from the next question on, and can be loaded at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import keyring.backends.fail
import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication
from workbench import run_qt, until

from fathom.core.settings import EndpointSettings, Settings
from fathom.services.engine_service import EngineService
from fathom.services.keys import Keys
from fathom.services.mlx_install import MlxInstall
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.settings.computing import ComputingCard


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


class _Mlx(MlxInstall):
    """As where it is installed, or where the reason is ``why``."""

    def __init__(self, why: str = "") -> None:
        super().__init__()
        self._why = why

    def why_not(self) -> str:
        return self._why


@asynccontextmanager
async def card(settings: Settings, why: str = "") -> AsyncIterator[tuple[ComputingCard, EngineService]]:
    tasks, bridge = Tasks(), Bridge()
    engine = EngineService(settings, Keys(keyring.backends.fail.Keyring()))
    engine.mlx = _Mlx(why)
    engine.subscribe(bridge.engine_changed.emit)
    made = ComputingCard(bridge, tasks)
    made.resize(720, 500)
    made.show()
    made.attach(engine, settings)
    try:
        yield made, engine
    finally:
        await tasks.close()
        await engine.close()
        made.deleteLater()


def press(button: QAbstractButton) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=button.rect().center())


def chosen(made: ComputingCard) -> tuple[list[str], list[str], list[str]]:
    groups = (made.backends, made.memories, made.kv_types)
    return tuple([value for value, one in group.choices.items() if one.isChecked()] for group in groups)  # type: ignore[return-value]


def test_what_is_pressed_is_kept_and_explained(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        settings = Settings()
        async with card(settings) as (made, _engine):
            assert chosen(made) == ([""], ["auto"], ["f16"])
            press(made.backends.choices["mlx"])
            press(made.memories.choices["fast"])
            assert "for some turns the model sees a few results more" in made.memories.words.text()
            press(made.kv_types.choices["q8_0"])
            press(made.shift)
            kept = Settings.load()
            assert (kept.backend, kept.memory, kept.kv_type, kept.shift_memory) == ("mlx", "fast", "q8_0", True)
            assert chosen(made) == (["mlx"], ["fast"], ["q8_0"])
            made.shift.setFocus()
            QTest.keyClick(made.shift, Qt.Key.Key_Space)
            assert not Settings.load().shift_memory
            assert made.pending.isHidden()  # nothing is loaded that it could differ from

    run_qt(app, main())


def test_without_mlx_it_says_why_and_with_a_server_that_it_answers(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        server = EndpointSettings(base_url="http://127.0.0.1:8000")
        settings = Settings(backend="endpoint", endpoint=server)
        async with card(settings, "there is no wheel of mlx for this computer") as (made, _engine):
            assert not made.backends.choices["mlx"].isEnabled()
            assert chosen(made)[0] == []
            assert "A server answers now" in made.backends.words.text()
            press(made.backends.choices["llamacpp"])
            assert settings.backend == "llamacpp" and chosen(made)[0] == ["llamacpp"]
            assert "there is no wheel of mlx" in made.backends.words.text()

    run_qt(app, main())


@pytest.mark.engine
def test_what_is_loaded_stays_until_the_next_question_or_until_it_is_wanted(
    app: QApplication, fathom_home: Path, embedded_model: Path
) -> None:
    async def main() -> None:
        settings = Settings(model=str(embedded_model), backend="llamacpp")
        async with card(settings) as (made, engine):
            first, _profile = await engine.ready_or_raise()
            assert made.pending.isHidden()
            press(made.shift)
            await until(lambda: not made.pending.isHidden())
            assert engine.info is first.info and not first.info.notices
            press(made.load)
            await until(lambda: engine.info is not None and engine.info is not first.info)
            assert any("Experimental" in notice for notice in msgspec.to_builtins(engine.info)["notices"])
            await until(made.pending.isHidden)
            press(made.shift)
            again, _profile = await engine.ready_or_raise()  # the next question
            assert not again.info.notices
            await until(made.pending.isHidden)
            engine.busy = lambda: True
            press(made.kv_types.choices["q8_0"])
            await until(lambda: not made.pending.isHidden())
            assert not made.load.isEnabled() and "being answered" in made.load.toolTip()

    run_qt(app, main())
