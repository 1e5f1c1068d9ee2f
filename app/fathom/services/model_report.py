"""The doctor's part about models: device, backends, memory, and for each model whether it fits. Starts no engine."""

from __future__ import annotations

import importlib.util

from fathom.core.settings import Settings, data_dir
from fathom.engines import BACKENDS
from fathom.services import machine
from fathom.services.engine_service import EngineService
from fathom.services.model_library import ModelLibrary
from fathom.weights import memory

_LIBRARIES = {"llamacpp": "llama_cpp"}  # a backend without an entry is looked for under its own name


async def model_report(settings: Settings) -> dict[str, object]:
    """ "machine", "backends" and "models", ready for JSON."""
    library = ModelLibrary(settings, data_dir(), EngineService(settings), lambda: ())
    try:
        shelf = await library.look()
    finally:
        await library.close()
    models = [
        {
            "name": one.name,
            "path": one.path,
            "bytes": one.bytes,
            "fits": one.fit.usable and not one.problem,
            "needs_bytes": one.fit.needs_bytes,
            "context_tokens": one.fit.context_tokens,
            "summary": one.problem or memory.words(one.fit),
        }
        for one in shelf.models
    ]
    offers = [
        {"name": one.entry.name, "id": one.entry.id, "fits": one.fit.usable, "summary": memory.words(one.fit)}
        for one in shelf.offers
    ]
    backends = {name: importlib.util.find_spec(_LIBRARIES.get(name, name)) is not None for name in BACKENDS}
    return {
        "machine": shelf.machine,
        "battery": machine.battery(),
        "backends": backends,
        "models": models,
        "available": offers,
    }
