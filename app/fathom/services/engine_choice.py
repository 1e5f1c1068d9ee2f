"""Which model and which backend a session gets: from the settings, the file's own words and what is installed.

Knows no process. A GGUF runs on llama.cpp or, converted, on MLX; a folder for MLX on MLX alone.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fathom.core.errors import ModelFileError
from fathom.core.settings import Settings
from fathom.core.types import EngineInfo, EngineSpec
from fathom.prompting.profiles import Profile, load_profile
from fathom.services import engine_fit, machine
from fathom.services.mlx_install import MlxInstall
from fathom.weights import convertible, embedded, gguf, memory, mlx_folder


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A model, its backend, the way to talk to it, and whether a person chose it.

    ``notices`` are what is not as the settings have it, and what a run should be warned of.
    """

    spec: EngineSpec
    profile: Profile
    model_chosen: bool
    name: str
    notices: tuple[str, ...] = ()


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
        return "llamacpp" if path is None or convertible.why_not(gguf.read_header(path)) else "mlx"
    except ModelFileError:
        return "llamacpp"  # it is told when the file is opened


def model_path(settings: Settings) -> Path | None:
    """The chosen model, or the embedded one; None when that is not here."""
    return Path(settings.model) if settings.model else embedded.locate()


def graphics_layers(model: gguf.GgufHeader | mlx_folder.MlxFolder, context_tokens: int) -> int:
    """``EngineSpec.gpu_layers`` for a test of a model, by the free memory of the graphics cards now."""
    if not isinstance(model, gguf.GgufHeader):
        return -1
    return memory.gpu_layers(model.file_bytes, memory.of_header(model), context_tokens, machine.look())


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
    name = model.name or path.stem
    backend = backend_of(settings, path)
    profile = load_profile(EngineInfo(backend=backend, model=model.name, architecture=model.architecture))
    context = min(profile.context_tokens, model.context_length or profile.context_tokens)
    seen = machine.look()
    computer = engine_fit.seen_by(backend, seen)
    need = engine_fit.demand(model, path, backend, computer, kv_type=settings.kv_type)
    found = need.fit(context, computer)
    if settings.model and engine_fit.refused(found, need):  # the small one is tried everywhere
        other = None
        if backend == "mlx" and isinstance(model, gguf.GgufHeader):
            here = engine_fit.seen_by("llamacpp", seen)
            other = engine_fit.demand(model, path, "llamacpp", here).fit(context, here)
        raise engine_fit.too_little(name, found, need, computer, other)
    kv_type = engine_fit.kv_type_for(settings.kv_type, backend, need.shape)
    spec = EngineSpec(
        backend=backend,
        model=str(path),
        context_tokens=found.context_tokens if found.state == "shorter" else context,
        profile=profile.name,
        kv_type=kv_type,
        shift_memory=settings.shift_memory and backend == "llamacpp",
    )
    if backend == "llamacpp":
        layers = memory.gpu_layers(need.weights_bytes, need.shape, spec.context_tokens, computer, kv_type=kv_type)
        spec = msgspec.structs.replace(spec, gpu_layers=layers)
    notices = _notices(settings, spec, name, found, context, computer)
    return Chosen(spec=spec, profile=profile, model_chosen=bool(settings.model), name=name, notices=tuple(notices))


def _notices(
    settings: Settings, spec: EngineSpec, name: str, found: memory.Fit, wanted_context: int, computer: memory.Machine
) -> Iterator[str]:
    """What a run should be warned of: a view that became shorter, too little memory, what is not as it was set."""
    if spec.context_tokens < wanted_context:
        yield (
            f"{name} sees {spec.context_tokens:,} tokens at once instead of {wanted_context:,}: "
            "there is no memory for more."
        )
    if found.state in ("close_programs", "too_large"):
        yield (
            f"{name} needs {memory.gigabytes(found.needs_bytes)}, and {memory.gigabytes(computer.free_bytes)} "
            "are free: it will be slow until other programs are closed."
        )
    if spec.kv_type != settings.kv_type:
        why = "its heads cannot be packed" if spec.backend == "llamacpp" else "MLX does not pack it"
        yield f"What {name} has in view takes its full memory, not half as set: {why}."
    if spec.shift_memory:
        yield (
            "Experimental: old results are cut out of what the model has computed, without computing the rest again. "
            "It may write other things than it would otherwise."
        )
    elif settings.shift_memory:
        yield "Cutting old results out of what is computed is llama.cpp’s; MLX computes the rest again."
