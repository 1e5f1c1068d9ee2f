"""The same question on llama.cpp, on MLX and on a server, with one click between them, in the real window."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.core.events import RunFinished
from fathom.ui.research.composer import examples
from llama_server import serving_model
from real_window import Home, Window, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

OpenWindow = Callable[[Home], Window]


def test_one_click_changes_what_answers_the_same_question(
    open_window: OpenWindow, embedded_model: Path, tmp_path: Path
) -> None:
    question = examples()[0]
    wanted = {"llamacpp": "on llama.cpp", "endpoint": "on 127.0.0.1"}
    if importlib.util.find_spec("mlx_lm") is not None:
        wanted["mlx"] = "on MLX"
    with serving_model(embedded_model, tmp_path / "server.log") as server:
        home = Home(tmp_path / "home", max_calls=1, server=server)
        window = open_window(home)
        for backend, words in wanted.items():
            window.desktop.keys("ctrl+n")
            window.wait("EditableText", "Your question", states="focused")
            window.click("Button", "Change what answers")
            window.click("MenuItem", re.compile(re.escape(words)))
            window.wait("StaticText", re.compile(re.escape(words)))
            window.click("Button", question)
            session = home.asked(question)
            eventually(lambda one=session: home.store.get(one.id).state in ("done", "partial"), f"{backend} answers")  # type: ignore[misc]
            assert home.store.get(session.id).engine.backend == backend
            assert isinstance(home.events(session)[-1], RunFinished)
            window.wait("PageTab", "Report", states="selected")
        window.close()
