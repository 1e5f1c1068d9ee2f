"""Which backend a model gets, and what a person without MLX is told."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import msgspec
import pytest

import tiny_models
from fathom.core.errors import EngineMissing, ModelFileError
from fathom.core.settings import Settings
from fathom.core.types import EngineSpec
from fathom.services import engine_choice
from fathom.services.engine_build import EngineBuild
from fathom.services.engine_choice import backend_of, choose
from fathom.services.engine_service import EngineService
from fathom.services.mlx_install import MlxInstall
from fathom.weights.memory import Gpu, Machine

needs_mlx = pytest.mark.mlx


def write_state(prefix: Path, **fields: object) -> MlxInstall:
    (prefix / "mlx-install.json").write_bytes(
        msgspec.json.encode({"updated": time.time(), "pid": os.getpid()} | fields)
    )
    return MlxInstall(prefix)


def test_the_setting_decides_and_a_folder_is_always_mlxs(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    assert backend_of(Settings(backend="mlx"), file) == "mlx"
    assert backend_of(Settings(backend="llamacpp"), file) == "llamacpp"
    assert backend_of(Settings(backend="llamacpp"), tmp_path) == "mlx"
    assert backend_of(Settings(backend="mlx"), None) == "mlx"


def test_without_a_setting_linux_runs_on_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert backend_of(Settings(), tmp_path / "model.gguf") == "llamacpp"


@needs_mlx
def test_without_a_setting_apple_silicon_runs_what_it_can_on_mlx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, odd = tmp_path / "good.gguf", tmp_path / "odd.gguf"
    tiny_models.write(good)
    tiny_models.write(odd, llama__expert_count=8)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert backend_of(Settings(), good) == "mlx"
    assert backend_of(Settings(), odd) == "llamacpp"
    assert backend_of(Settings(), tmp_path / "none.gguf") == "llamacpp"
    monkeypatch.setattr(engine_choice, "MlxInstall", lambda: write_state(tmp_path, state="installing"))
    assert backend_of(Settings(), good) == "llamacpp"


@needs_mlx
def test_a_folder_and_a_gguf_are_chosen_with_their_names(tmp_path: Path) -> None:
    from fathom.weights import convert

    file, folder = tmp_path / "tiny.gguf", tmp_path / "mlx"
    tiny_models.write(file)
    convert.convert(file, folder)
    for path, backend in ((file, "llamacpp"), (folder, "mlx")):
        chosen = choose(Settings(model=str(path), backend="llamacpp"))
        assert (chosen.spec.backend, chosen.spec.model, chosen.name) == (backend, str(path), "Tiny")
        assert chosen.spec.context_tokens == 256
        assert chosen.model_chosen
    with pytest.raises(ModelFileError, match="no such"):
        choose(Settings(model=str(tmp_path / "none.gguf")))


def test_a_person_without_mlx_sees_a_plain_reason(tmp_path: Path) -> None:
    assert "has not been installed" in MlxInstall(tmp_path).why_not() or MlxInstall(tmp_path).installed()
    why = "there is no wheel of mlx for Linux on riscv64"
    install = write_state(tmp_path, state="failed", error=why)
    if not install.installed():
        assert install.why_not() == why
        error = install.missing()
        assert error.has == why
        assert "llama.cpp" in error.do


def test_an_installation_under_way_is_not_believed_and_a_dead_one_is_told(tmp_path: Path) -> None:
    install = write_state(tmp_path, state="installing")
    assert install.installing() and not install.installed()
    assert install.why_not() == "it is being installed"
    dead = write_state(tmp_path, state="installing", updated=time.time() - 3600, pid=2**22 + 1)
    assert not dead.installing()
    (tmp_path / "mlx-install.json").write_text("{")
    assert not MlxInstall(tmp_path).installing()


def test_the_service_says_why_mlx_cannot_be_had(
    fathom_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.services.mlx_install.MODULES", ("no_such_module",))
    install = write_state(tmp_path, state="failed", error="there is no wheel of mlx for this computer")

    async def main() -> None:
        service = EngineService(Settings(backend="mlx"))
        service.mlx = install
        with pytest.raises(EngineMissing) as caught:
            await service.ready_or_raise()
        assert caught.value.has == "there is no wheel of mlx for this computer"
        assert service.status.state == "failed"
        await service.close()

    asyncio.run(main())


def test_as_many_layers_go_to_the_graphics_card_as_it_has_room_for(
    embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for = "cuda"
    monkeypatch.setattr(EngineBuild, "graphics", lambda _self: built_for)

    def layers(free_bytes: int | None) -> int:
        cards = () if free_bytes is None else (Gpu(name="card", total_bytes=8_000_000_000, free_bytes=free_bytes),)
        computer = Machine(ram_bytes=16_000_000_000, free_bytes=12_000_000_000, gpus=cards)
        monkeypatch.setattr("fathom.services.machine.look", lambda: computer)
        return choose(Settings(model=str(embedded_model))).spec.gpu_layers

    assert layers(None) == -1
    assert layers(6_000_000_000) == -1
    # logits 512 x 49,152 x 4 = 100,663,296, with the process and the reserve 750,663,296; a layer holds
    # 98 MB / 31 of weights and 188,743,680 / 30 of context: some 9.4 MB
    assert 4 <= layers(800_000_000) <= 6
    assert layers(700_000_000) == 0
    built_for = ""  # then a card is of no use
    assert layers(700_000_000) == -1


def test_the_engine_turns_to_what_a_session_chose_and_stays_with_what_is_the_same(
    embedded_model: Path, fathom_home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    shutil.copyfile(embedded_model, other)

    async def main() -> None:
        service = EngineService(Settings(model=str(embedded_model)))
        try:
            first, _ = await service.ready_or_raise()
            same, _ = await service.ready_or_raise(EngineSpec(backend="llamacpp", model=str(embedded_model)))
            assert same is first
            second, _ = await service.ready_or_raise(EngineSpec(backend="", model=str(other)))
            assert second.info.path == str(other) and service.info is second.info
            with pytest.raises(ModelFileError):
                await service.ready_or_raise(EngineSpec(model=str(tmp_path / "gone.gguf")))
            assert service.status.state == "failed"
            third, _ = await service.ready_or_raise()
            assert third.info.path == str(embedded_model)
        finally:
            await service.close()

    asyncio.run(main())


def test_a_choice_of_ones_own_that_cannot_be_had_is_told_at_once(
    embedded_model: Path, fathom_home: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        service = EngineService(Settings(model=str(embedded_model)))
        with pytest.raises(ModelFileError, match=r"gone.gguf"):
            await service.ready(EngineSpec(model=str(tmp_path / "gone.gguf")))
        ready = asyncio.Event()
        service.subscribe(lambda status: ready.set() if status.state == "ready" else None)
        await asyncio.wait_for(ready.wait(), 60)  # the usual one, without another question
        assert service.info is not None and service.info.path == str(embedded_model)
        engine, _ = await service.ready(EngineSpec(backend="", model=str(embedded_model)))
        assert engine.info.path == str(embedded_model)
        await service.close()

    asyncio.run(main())


def test_another_model_that_the_person_chooses_answers_instead_of_one_that_is_gone(
    embedded_model: Path, fathom_home: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        gone = str(tmp_path / "gone.gguf")
        service = EngineService(Settings(model=gone))
        failed = asyncio.Event()
        service.subscribe(lambda status: failed.set() if status.state in ("failed", "no_model") else None)
        waiting = asyncio.create_task(service.ready(EngineSpec(backend="", model=gone)))
        await failed.wait()
        await service.use_model(str(embedded_model))
        engine, _ = await waiting
        assert engine.info.path == str(embedded_model)
        await service.close()

    asyncio.run(main())
