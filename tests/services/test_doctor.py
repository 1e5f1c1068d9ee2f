"""The doctor's look at a server of the person's own: only at one that is set, and that may be asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import keyring
import keyring.backends.fail
import pytest

from chat_server import ChatServer, serving
from fathom.core.settings import EndpointSettings, Settings
from fathom.services.doctor import CHECKS, Check


@pytest.fixture(autouse=True)
def no_keyring() -> None:
    keyring.set_keyring(keyring.backends.fail.Keyring())


def look(settings: Settings) -> Check:
    async def main() -> Check:
        return await CHECKS["server"](settings)

    return asyncio.run(main())


def test_without_a_server_there_is_nothing_to_mend_unless_it_is_to_answer(fathom_home: Path) -> None:
    assert look(Settings()).state == "ok"
    chosen = look(Settings(backend="endpoint"))
    assert chosen.state == "error" and chosen.remedy


def test_another_computer_is_not_asked_before_that_was_allowed(fathom_home: Path) -> None:
    there = EndpointSettings(base_url="http://192.0.2.7:8000")
    found = look(Settings(endpoint=there))
    assert found.state == "ok" and "was not asked" in found.summary
    assert look(Settings(endpoint=there, backend="endpoint")).state == "error"


def test_a_server_that_answers_tells_its_models_and_one_that_does_not_what_is_wrong(fathom_home: Path) -> None:
    async def main() -> tuple[Check, str]:
        async with serving(ChatServer("vllm", ("small", "qwen3-8b"), max_model_len=40960)) as server:
            here = EndpointSettings(base_url=server.base)
            return await CHECKS["server"](Settings(endpoint=here, backend="endpoint")), server.base

    found, gone = asyncio.run(main())
    assert (found.state, found.detail) == ("ok", "small\nqwen3-8b")
    assert found.summary.startswith("in use: ") and "40,960 tokens" in found.summary
    unused = look(Settings(endpoint=EndpointSettings(base_url=gone)))
    assert unused.state == "warning" and unused.remedy and unused.summary.startswith("not in use: ")
    assert look(Settings(endpoint=EndpointSettings(base_url=gone), backend="endpoint")).state == "error"
