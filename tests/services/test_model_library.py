"""The shelf of models: found, checked, judged, added, used, tried, forgotten, removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fathom.core.errors import EngineError, ModelFileError, UserError
from fathom.core.settings import Settings
from fathom.core.types import Session, Task
from fathom.services.engine_service import EngineService
from fathom.services.model_library import Model, ModelLibrary, Shelf, failure
from fathom.weights import embedded
from fathom.weights.memory import Gpu, Machine
from tiny_gguf import gguf_bytes

T = TypeVar("T")
LAPTOP = Machine(ram_bytes=16_000_000_000, free_bytes=12_000_000_000, cores=8)


class Bench:
    """A library in a home of its own; the machine is a fixed one."""

    def __init__(self, home: Path, machine: Machine = LAPTOP) -> None:
        self.home = home
        self.user = home / "user"
        self.settings = Settings()
        self.sessions: Sequence[Session] = ()
        self.engine = EngineService(self.settings)
        self.library = ModelLibrary(
            self.settings,
            home,
            self.engine,
            lambda: self.sessions,
            user_home=self.user,
            look_at_machine=lambda: machine,
        )

    def put(self, where: str, data: bytes) -> Path:
        path = self.home / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def bench(fathom_home: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(embedded, "locate", lambda: None)
    return Bench(fathom_home)


def run(bench: Bench, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        try:
            return await work()
        finally:
            await bench.library.close()
            await bench.engine.close()

    return asyncio.run(asyncio.wait_for(main(), 240))


def only(shelf: Shelf) -> Model:
    (model,) = shelf.models
    return model


def test_a_model_of_the_own_folder_is_found_and_judged(bench: Bench) -> None:
    path = bench.put("models/tiny-Q4_K_M.gguf", gguf_bytes())
    model = only(run(bench, bench.library.look))
    assert (model.path, model.name, model.engine_name) == (str(path), "Tiny", "Tiny")
    assert model.own and not model.embedded and not model.in_use and not model.problem
    assert model.detail == "Q4_K_M · mit"
    # one kv head of 32 + 32 values x 2 layers x 2 bytes = 256 bytes a token, 2,048 tokens; logits of 152,000
    needs = path.stat().st_size + 256 * 2048 + 512 * 152_000 * 4 + 150_000_000
    assert (model.fit.state, model.fit.needs_bytes, model.fit.context_tokens) == ("fits", needs, 2048)


def test_other_programs_folders_are_looked_at_and_never_deleted(bench: Bench) -> None:
    bench.put("user/.lmstudio/models/org/repo/lm.gguf", gguf_bytes("LM"))
    blob = bench.put(f"user/.ollama/models/blobs/sha256-{'ab' * 32}", gguf_bytes("Blob"))
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'ab' * 32}"}]
    bench.put("user/.ollama/models/manifests/r/library/qwen3/8b", json.dumps({"layers": layers}).encode())

    async def main() -> None:
        shelf = await bench.library.look()
        assert {(one.name, one.place) for one in shelf.models} == {("LM", "LM Studio"), ("qwen3:8b", "Ollama")}
        model = shelf.model(str(blob))
        assert model is not None and not model.own
        with pytest.raises(UserError, match="not Fathom’s to delete"):
            await bench.library.remove(model)
        shelf = await bench.library.forget(model)
        assert shelf.model(str(blob)) is None
        assert blob.exists()
        assert Settings.load().forgotten_models == (str(blob),)

    run(bench, main)


def test_parts_of_other_models_are_not_listed(bench: Bench) -> None:
    bench.put("models/eyes.gguf", gguf_bytes("Eyes", architecture="clip"))
    bench.put("models/lora.gguf", gguf_bytes("Lora", kind="adapter"))
    assert run(bench, bench.library.look).models == ()


def test_what_a_file_calls_itself_is_shown_as_plain_words(bench: Bench) -> None:
    bench.put("models/a.gguf", gguf_bytes("Evil\x1b[2J <img src='file:///etc/passwd'>\n\u202e" + "x" * 500))
    model = only(run(bench, bench.library.look))
    assert model.name.startswith("Evil [2J img src='file:///etc/passwd'")
    assert model.name.isprintable() and len(model.name) <= 80 and "<" not in model.name


def test_a_broken_file_says_what_is_wrong_and_cannot_be_used(bench: Bench) -> None:
    bench.put("models/cut.gguf", gguf_bytes()[:-10])

    async def main() -> None:
        model = only(await bench.library.look())
        assert "should end at byte" in model.problem and model.problem_do
        with pytest.raises(ModelFileError) as caught:
            await bench.library.use(model)
        assert caught.value.has and caught.value.do
        shelf = await bench.library.remove(model)
        assert shelf.models == ()

    run(bench, main)
    assert not (bench.home / "models" / "cut.gguf").exists()


def test_a_split_model_needs_all_of_its_parts(bench: Bench) -> None:
    first = bench.put("models/big-00001-of-00002.gguf", gguf_bytes("Big"))

    async def main() -> None:
        model = only(await bench.library.look())
        assert "big-00002-of-00002.gguf is missing" in model.problem
        second = bench.put("models/big-00002-of-00002.gguf", gguf_bytes("Big"))
        model = only(await bench.library.look())
        assert not model.problem
        assert model.bytes == first.stat().st_size + second.stat().st_size
        await bench.library.remove(model)
        assert not first.exists() and not second.exists()

    run(bench, main)


def test_a_file_a_folder_and_nothing_can_be_added(bench: Bench) -> None:
    file = bench.put("elsewhere/mine.gguf", gguf_bytes("Mine"))
    bench.put("shelf/deep/other.gguf", gguf_bytes("Other"))
    (bench.home / "empty").mkdir()
    junk = bench.put("junk.gguf", b"<html>")

    async def main() -> None:
        assert only(await bench.library.add(file)).name == "Mine"
        shelf = await bench.library.add(bench.home / "shelf")
        assert {one.name for one in shelf.models} == {"Mine", "Other"}
        assert all(one.place == "Added" and not one.own for one in shelf.models)
        assert len((await bench.library.add(file)).models) == 2  # twice is once
        for wrong in (bench.home / "empty", junk, bench.home / "nothing.gguf"):
            with pytest.raises(ModelFileError) as caught:
                await bench.library.add(wrong)
            assert caught.value.has and caught.value.do and caught.value.remedy == "choose_model"
        mine = shelf.model(str(file))
        assert mine is not None
        shelf = await bench.library.forget(mine)
        assert {one.name for one in shelf.models} == {"Other"}
        shelf = await bench.library.add(file)  # adding it again brings it back
        assert {one.name for one in shelf.models} == {"Mine", "Other"}

    run(bench, main)
    assert Settings.load().model_places[-1] == str(file)


def test_one_file_by_two_ways_is_one_model(bench: Bench) -> None:
    file = bench.put("models/tiny.gguf", gguf_bytes())
    link = bench.home / "user" / ".lmstudio" / "models" / "a"
    link.mkdir(parents=True)
    (link / "tiny.gguf").symlink_to(file)
    assert only(run(bench, bench.library.look)).path == str(file)


def test_what_can_be_had_is_judged_and_one_is_recommended(bench: Bench) -> None:
    shelf = run(bench, bench.library.look)
    offers = {offer.entry.id: offer for offer in shelf.offers}
    assert offers["qwen3-1.7b"].fit.usable
    assert offers["qwen3-30b-a3b"].fit.state == "too_large"
    assert shelf.recommended is not None
    assert [offer.entry.id for offer in shelf.offers if offer.recommended] == ["qwen3-8b"]


def test_a_model_that_is_here_is_not_offered_again(bench: Bench) -> None:
    bench.put("models/Qwen3-8B-Q4_K_M.gguf", gguf_bytes("Qwen3 8B Instruct"))
    shelf = run(bench, bench.library.look)
    model = only(shelf)
    assert (model.name, model.entry, model.engine_name) == ("Qwen3 8B", "qwen3-8b", "Qwen3 8B Instruct")
    assert "qwen3-8b" not in {offer.entry.id for offer in shelf.offers}


def test_a_card_counts_only_when_the_engine_uses_it(fathom_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "locate", lambda: None)
    card = Gpu(name="Card", total_bytes=24_000_000_000, free_bytes=23_000_000_000)
    bench = Bench(fathom_home, Machine(ram_bytes=8_000_000_000, free_bytes=6_000_000_000, gpus=(card,)))
    shelf = run(bench, bench.library.look)
    assert shelf.machine.gpus == (card,)
    assert all(offer.fit.on == "memory" for offer in shelf.offers)


def test_nothing_is_tried_or_unloaded_while_a_session_runs(bench: Bench) -> None:
    bench.put("models/tiny.gguf", gguf_bytes())
    task = Task(question="q")
    bench.sessions = [Session(id="1", title="q", created="2026-01-01T00:00:00+00:00", task=task, state="running")]

    async def main() -> None:
        model = only(await bench.library.look())
        with pytest.raises(UserError, match="being answered"):
            await bench.library.try_model(model)
        with pytest.raises(UserError, match="answering"):
            await bench.library.unload()

    run(bench, main)


def test_any_error_becomes_one_to_act_on() -> None:
    shown = failure(EngineError("llama.cpp says no"))
    assert shown.has == "llama.cpp says no" and shown.do
    same = UserError("x")
    assert failure(same) is same


@pytest.mark.engine
def test_the_embedded_model_is_loaded_tried_unloaded_and_loaded_again(fathom_home: Path, embedded_model: Path) -> None:
    bench = Bench(fathom_home, Machine(ram_bytes=16 * 10**9, free_bytes=8 * 10**9))

    async def main() -> None:
        shelf = await bench.library.look()
        model = only(shelf)
        assert model.embedded and not model.own and model.place == "Comes with Fathom"
        assert model.pace is None
        await bench.library.use(model)
        await bench.engine.ready_or_raise()
        model = only(await bench.library.look())
        assert model.in_use
        found = await bench.library.try_model(model, 100)
        assert found.decode_tokens_per_s > 0 and found.text
        model = only(bench.library.shelf)
        assert model.pace is not None and model.pace.source == "estimate" and model.probe == found
        with pytest.raises(UserError):
            await bench.library.remove(model)
        await bench.library.unload()
        assert bench.engine.status.state == "unloaded" and bench.engine.pid == 0
        assert not only(await bench.library.look()).in_use
        again = await bench.library.try_model(only(bench.library.shelf), 100)  # in a process of its own
        assert again.decode_tokens_per_s > 0
        await bench.engine.ready_or_raise()
        assert bench.engine.info is not None

    run(bench, main)
