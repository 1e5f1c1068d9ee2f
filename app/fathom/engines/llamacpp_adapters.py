"""LoRA adapters (GGUF) of a model that llama.cpp has loaded: switched without loading the model again.

The weights of the model are never changed: an adapter is added while computing, so that removing it is bit-exact.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fathom.core.errors import EngineError, ModelFileError
from fathom.engines.llamacpp_native import Context, lib, native_log
from fathom.weights import gguf


class LlamaCppAdapters:
    """The adapters of one model. Those that are loaded live until the model is freed, or they are removed."""

    def __init__(self, model: Any, architecture: str) -> None:
        self._model = model
        self._architecture = architecture
        self._loaded: dict[str, Any] = {}
        self.active: str | None = None
        self.scale = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded ones."""
        return tuple(self._loaded)

    def load(self, name: str, path: Path) -> None:
        """Read the adapter at ``path`` and keep it as ``name``; it is not switched on.

        Raises ModelFileError when it is none, damaged, or made for another model; nothing is changed then.
        """
        if name in self._loaded:
            raise EngineError(f"an adapter {name!r} is loaded already; remove it first")
        try:
            header = gguf.read_header(path)
        except ModelFileError as error:
            raise _error(path, error.has) from error
        if header.metadata.get("general.type") != "adapter" or header.metadata.get("adapter.type") != "lora":
            raise _error(path, "a GGUF file that is no LoRA adapter")
        if header.architecture != self._architecture:
            raise _error(path, f"an adapter for {header.architecture}, where the model is {self._architecture}")
        log = native_log()
        log.errors.clear()
        handle = lib.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not handle:
            raise _error(path, log.why())
        self._loaded[name] = handle

    def use(self, context: Context, name: str | None, scale: float = 1.0) -> None:
        """Compute with the loaded adapter ``name`` in ``context``, with none of them for None.

        Raises EngineError when it is not loaded or llama.cpp refuses it; what was on stays on.
        """
        if name is not None and name not in self._loaded:
            raise EngineError(f"there is no adapter {name!r}; loaded: {', '.join(self._loaded) or 'none'}")
        before = self.active, self.scale
        self.active, self.scale = name, scale
        try:
            self.apply(context)
        except EngineError:
            self.active, self.scale = before
            raise

    def apply(self, context: Context) -> None:
        """Switch ``context`` to what is on."""
        handles = [self._loaded[self.active]] if self.active is not None else []
        array = (lib.llama_adapter_lora_p_ctypes * len(handles))(*handles)
        scales = (lib.ctypes.c_float * len(handles))(*[self.scale] * len(handles))
        code = lib.llama_set_adapters_lora(context.handle, array, len(handles), scales)
        if code != 0:
            raise EngineError(f"llama.cpp cannot switch to the adapter {self.active!r} (code {code})")

    def remove(self, name: str) -> None:
        """Forget an adapter that is not on and free its memory; an unknown name is no error."""
        if name == self.active:
            raise EngineError(f"the adapter {name!r} is on; switch it off first")
        handle = self._loaded.pop(name, None)
        if handle is not None:
            lib.llama_adapter_lora_free(handle)


def _error(path: Path, has: str) -> ModelFileError:
    return ModelFileError(
        f"{path.name} is not an adapter that this model can use.",
        needs="a complete LoRA adapter in GGUF format, made for this model",
        has=has,
        do="Choose another adapter, or the model that it was trained on.",
    )
