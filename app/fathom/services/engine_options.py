"""What can answer a question: each model on this computer with each backend that takes it, and the server.

Reads headers of files, so it is asked off the event loop. Knows no process and no window.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fathom.core.settings import Settings
from fathom.core.types import COMPUTES, EngineSpec, Struct
from fathom.services.engine_choice import backend_of, with_choice
from fathom.services.mlx_install import MlxInstall
from fathom.services.model_library import Model
from fathom.weights import embedded


class EngineOption(Struct, frozen=True):
    """One way to have a question answered. ``leaves_for`` is the host that the text goes to, "" for none."""

    spec: EngineSpec
    name: str
    computes: str  # for people: "llama.cpp", "MLX", or the server's host
    leaves_for: str = ""


def options(
    models: Iterable[Model], settings: Settings, *, where: str = "", leaves_for: str = "", mlx: MlxInstall | None = None
) -> tuple[EngineOption, ...]:
    """What can be chosen, models in their order; ``where`` is the server's host, "" while there is none."""
    with_mlx = (mlx or MlxInstall()).installed()
    found = []
    for model in models:
        if model.problem:
            continue
        path = "" if model.embedded else model.path
        backends = [model.backend] if model.embedded or model.fit.usable or model.in_use else []
        backends += [backend for backend, fit in model.others if fit.usable and (backend != "mlx" or with_mlx)]
        found += [
            EngineOption(spec=EngineSpec(backend=backend, model=path), name=model.name, computes=COMPUTES[backend])
            for backend in backends
        ]
    if where:
        spec = EngineSpec(backend="endpoint", model=settings.endpoint.model)
        name = settings.endpoint.model or "The server’s model"
        found.append(EngineOption(spec=spec, name=name, computes=where, leaves_for=leaves_for))
    return tuple(found)


def chosen(among: Iterable[EngineOption], wanted: EngineSpec, settings: Settings) -> EngineOption | None:
    """The option that ``wanted`` comes to, None when it is not among them."""
    now = with_choice(settings, wanted)
    path = Path(now.model) if now.model else embedded.locate()
    backend = "endpoint" if now.backend == "endpoint" else backend_of(now, path)
    for option in among:
        if option.spec.backend == backend and (backend == "endpoint" or option.spec.model == now.model):
            return option
    return None
