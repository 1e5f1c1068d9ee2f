"""What can answer a question, and what a choice comes to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fathom.core.settings import EndpointSettings, Settings
from fathom.core.types import EngineSpec
from fathom.services.engine_options import chosen, options
from fathom.services.mlx_install import MlxInstall
from fathom.services.model_library import Model
from fathom.weights.memory import Fit

FITS = Fit(state="fits", context_tokens=8192, needs_bytes=1, leaves_bytes=1)


def model(path: str, **fields: object) -> Model:
    base = Model(path=path, name=Path(path).stem, engine_name="", place="Chosen", bytes=1, fit=FITS)
    return msgspec.structs.replace(base, **fields)


class WithMlx(MlxInstall):
    """As on a computer that has it."""

    def installed(self) -> bool:
        return True


class WithoutMlx(MlxInstall):
    """As on one that has not."""

    def installed(self) -> bool:
        return False


def test_a_model_is_there_once_for_each_backend_that_takes_it(embedded_model: Path) -> None:
    models = [
        model(str(embedded_model), others=(("mlx", FITS),)),
        model("/models/folder", backend="mlx"),
        model("/models/wide.gguf", others=(("mlx", msgspec.structs.replace(FITS, state="close_programs")),)),
        model("/models/broken.gguf", problem="Cannot be loaded"),
        model("/models/large.gguf", fit=msgspec.structs.replace(FITS, state="too_large")),
    ]
    found = options(models, Settings(), mlx=WithMlx())
    assert [(one.spec.backend, one.spec.model, one.computes) for one in found] == [
        ("llamacpp", str(embedded_model), "llama.cpp"),
        ("mlx", str(embedded_model), "MLX"),
        ("mlx", "/models/folder", "MLX"),
        ("llamacpp", "/models/wide.gguf", "llama.cpp"),
    ]
    alone = options(models[:1], Settings(), mlx=WithoutMlx())
    assert [one.spec.backend for one in alone] == ["llamacpp"]


def test_the_server_is_one_of_them_and_says_where_the_text_goes() -> None:
    settings = Settings(endpoint=EndpointSettings(base_url="http://192.0.2.7:8000", model="qwen3-8b"))
    (option,) = options([], settings, where="192.0.2.7:8000", leaves_for="192.0.2.7:8000")
    assert option.spec == EngineSpec(backend="endpoint", model="qwen3-8b")
    assert (option.name, option.computes, option.leaves_for) == ("qwen3-8b", "192.0.2.7:8000", "192.0.2.7:8000")
    assert options([], settings) == ()


@pytest.mark.parametrize("backend", ["llamacpp", "mlx"])
def test_a_choice_is_found_again_among_them(embedded_model: Path, backend: str) -> None:
    found = options([model(str(embedded_model), others=(("mlx", FITS),))], Settings(), mlx=WithMlx())
    wanted = EngineSpec(backend=backend, model=str(embedded_model))
    option = chosen(found, wanted, Settings())
    assert option is not None and option.spec == wanted
    assert chosen(found, EngineSpec(backend="llamacpp", model="/models/gone.gguf"), Settings()) is None
