"""Which model and which backend a session gets: from the settings, the file's own words and what is installed.

Knows no process. A GGUF runs on llama.cpp or, converted, on MLX; a folder for MLX on MLX alone.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import msgspec

from fathom.core.errors import ModelFileError
from fathom.core.settings import Settings
from fathom.core.types import EngineInfo, EngineSpec
from fathom.prompting.profiles import Profile, load_profile
from fathom.services import machine
from fathom.services.mlx_install import MlxInstall
from fathom.weights import convert, embedded, gguf, memory, mlx_folder


class Chosen:
    """A model, its backend, the way to talk to it, and whether a person chose it."""

    def __init__(self, spec: EngineSpec, profile: Profile, model_chosen: bool, name: str) -> None:
        self.spec = spec
        self.profile = profile
        self.model_chosen = model_chosen
        self.name = name


def wanted_by(settings: Settings) -> EngineSpec:
    """What the settings choose, as a session keeps it: the backend may be "", which is decided when it is loaded."""
    if settings.backend == "endpoint":
        return EngineSpec(backend="endpoint", model=settings.endpoint.model)
    return EngineSpec(backend=settings.backend, model=settings.model)


def with_choice(settings: Settings, wanted: EngineSpec) -> Settings:
    """A copy of the settings in which a session's own choice stands."""
    if wanted.backend == "endpoint":
        return msgspec.structs.replace(settings, backend="endpoint")
    backend = wanted.backend if wanted.backend in ("llamacpp", "mlx") else ""
    return msgspec.structs.replace(settings, backend=backend, model=wanted.model)


def read_model(path: Path) -> gguf.GgufHeader | mlx_folder.MlxFolder:
    """What a GGUF or an MLX folder says of itself. Raises ModelFileError when it is neither."""
    return mlx_folder.read_folder(path) if path.is_dir() else gguf.read_header(path)


def backend_of(settings: Settings, path: Path | None) -> str:
    """The backend for the model at ``path``: the folder's only one, the chosen one, or what suits this computer.

    That is MLX on Apple silicon when it is installed and can take the file, llama.cpp everywhere else.
    """
    if path is not None and path.is_dir():
        return "mlx"
    if settings.backend and settings.backend != "endpoint":  # that is no backend of a file
        return settings.backend
    if sys.platform != "darwin" or platform.machine() != "arm64" or not MlxInstall().installed():
        return "llamacpp"
    try:
        return "llamacpp" if path is None or convert.why_not(gguf.read_header(path)) else "mlx"
    except ModelFileError:
        return "llamacpp"  # it is told when the file is opened


def model_path(settings: Settings) -> Path | None:
    """The chosen model, or the embedded one; None when that is not here."""
    return Path(settings.model) if settings.model else embedded.locate()


def graphics_layers(
    model: gguf.GgufHeader | mlx_folder.MlxFolder, context_tokens: int, computer: memory.Machine | None = None
) -> int:
    """``EngineSpec.gpu_layers`` for a model, by the free memory of the graphics cards (looked up when not given)."""
    if not isinstance(model, gguf.GgufHeader):
        return -1
    return memory.gpu_layers(model.file_bytes, memory.of_header(model), context_tokens, computer or machine.look())


def choose(settings: Settings) -> Chosen:
    """What to load. Raises ModelFileError when there is no model, or one that cannot be loaded."""
    path = model_path(settings)
    if path is None:
        raise ModelFileError(
            "The small model that comes with Fathom is not here yet.",
            needs=f"{embedded.NAME}, 98 MB",
            has="no model file in the data folder",
            do="Fetch it once (`make setup`), or choose a GGUF file of your own.",
            remedy="fetch_model",
        )
    model = read_model(path)
    backend = backend_of(settings, path)
    profile = load_profile(EngineInfo(backend=backend, model=model.name, architecture=model.architecture))
    context = min(profile.context_tokens, model.context_length or profile.context_tokens)
    computer = machine.look()
    if isinstance(model, gguf.GgufHeader):
        found = memory.fit(path.stat().st_size, memory.of_header(model), context, computer)
        if found.state == "shorter":
            context = found.context_tokens
    layers = graphics_layers(model, context, computer)
    spec = EngineSpec(backend=backend, model=str(path), context_tokens=context, profile=profile.name, gpu_layers=layers)
    return Chosen(spec, profile, bool(settings.model), model.name or path.stem)
