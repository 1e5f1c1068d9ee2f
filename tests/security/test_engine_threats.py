"""Rows 36, 37, 38 and 41: templates, model files and sockets of the engine's process; row 32: pictures in a report."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from pytestqt.qtbot import QtBot

from fathom.core.errors import EngineError, ModelFileError
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling
from fathom.weights.mlx_folder import read_folder
from fathom.workers.client import EngineClient

BOMBS = {
    "time": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "memory": "{% set n = namespace(x='ab') %}{% for i in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "recursion": "{% macro f(n) %}{% if n %}{{ f(n-1) + f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
}
RENDER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from fathom.core.errors import EngineError
from fathom.core.types import Message
from fathom.prompting import templates
try:
    templates.render(sys.argv[1], [Message(role="user", content="hello")])
except EngineError as error:
    sys.exit(7 if "chat template" in str(error) else 1)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_36_a_template_bomb_is_refused_in_a_process_with_little_time_and_memory(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", RENDER, BOMBS[name]], timeout=120, check=False)
    assert done.returncode == 7


def start(path: Path) -> EngineClient:
    return asyncio.run(EngineClient.start(EngineSpec(model=str(path), context_tokens=512)))


@pytest.mark.engine
@pytest.mark.parametrize("place", [8, 16, 40, 200, 2_000, 200_000])
def test_37_a_lying_model_file_ends_its_own_process_at_most(embedded_model: Path, tmp_path: Path, place: int) -> None:
    data = bytearray(embedded_model.read_bytes())
    data[place : place + 8] = b"\xff" * 8
    crafted = tmp_path / "crafted.gguf"
    crafted.write_bytes(data)

    async def main() -> None:
        engine = None
        try:
            engine = await EngineClient.start(EngineSpec(model=str(crafted), context_tokens=512))
            request = GenerateRequest(
                messages=(Message(role="user", content="Hi"),), max_tokens=2, sampling=Sampling(temperature=0)
            )
            async for _ in engine.generate(request):
                pass
        except (ModelFileError, EngineError) as error:  # EngineDied is one
            assert str(error)
        finally:
            if engine is not None:
                await engine.close()

    asyncio.run(main())  # whatever became of the child: this process is here and says so in plain words


class _Trap:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"open({str(self.canary)!r}, 'w').close()",))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.gguf"])
def test_38_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_Trap(canary)))
    with pytest.raises(ModelFileError):
        start(path)
    assert not canary.exists()


def test_38_a_folder_with_a_pickle_or_code_of_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(tmp_path / "canary")))
    with pytest.raises(ModelFileError, match="safetensors"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(ModelFileError, match="never run"):
        read_folder(tmp_path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.engine
def test_41_the_engine_opens_no_socket_at_all(embedded_model: Path) -> None:
    async def main() -> None:
        engine = await EngineClient.start(EngineSpec(model=str(embedded_model), context_tokens=512))
        try:
            process = psutil.Process(engine.pid)
            for one in (process, *process.children(recursive=True)):
                assert one.net_connections(kind="all") == []
        finally:
            await engine.close()

    asyncio.run(main())


class _Recorder(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Recorder", (_Recorder,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_32_a_picture_in_a_report_carries_nothing_out(qtbot: QtBot, listener: tuple[str, list[str]]) -> None:
    from fathom.core.types import Report
    from fathom.ui.research.report_html import render
    from fathom.ui.research.report_view import ReportBrowser

    base, asked = listener
    secret = f"{base}/leak?d=my-secret"
    body = (
        f'![x]({secret}) ![y][1] <img src="{secret}"> <style>@import url({secret});</style>\n\n[1]: {secret}\n\n'
        f"[click]({secret})"
    )
    browser = ReportBrowser()
    qtbot.addWidget(browser)
    browser.resize(400, 300)
    browser.show()
    browser.setHtml(render(Report(question="q", answer="a", answer_backed=False, body=body)))
    browser.grab()
    browser.setHtml(f'<img src="{secret}"><link rel="stylesheet" href="{secret}">')  # whatever gets past the renderer
    browser.grab()
    qtbot.wait(50)
    assert asked == []
