"""Backends: models that run in this process. Listing them imports nothing.

A backend never runs in the window's process; ``workers.client.EngineClient`` is its face there. ``scripted`` is the
engine for tests and demonstrations, and implements Engine itself.
"""

from __future__ import annotations

BACKENDS: dict[str, str] = {
    "llamacpp": "fathom.engines.llamacpp:LlamaCppBackend",
    "mlx": "fathom.engines.mlx:MlxBackend",
}
"""Name -> "module:attr" of a class ``(spec: EngineSpec, *, threads: int, on_progress: Callable) -> Backend``."""
