"""LoRA adapters of a loaded MLX model: loaded from folders, switched in microseconds, removed without a trace.

A folder holds ``adapters.safetensors`` and ``adapter_config.json`` as mlx-lm writes them (``fine_tune_type`` lora or
dora, ``num_layers``, ``lora_parameters`` with ``scale``, not alpha).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from fathom.core.errors import EngineError, ModelFileError
from fathom.weights.mlx_runtime import mx

_LEAVES = frozenset({"lora_a", "lora_b", "m"})
_MAX_RANK = 1024


class _Parameters(msgspec.Struct):
    rank: int
    scale: float
    dropout: float = 0.0
    keys: list[str] | None = None


class _Config(msgspec.Struct):
    num_layers: int
    lora_parameters: _Parameters
    fine_tune_type: str = "lora"


class Adapters:
    """The adapters of one model. The model's own layers are kept, so that removing one is bit-exact."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._loaded: dict[str, dict[str, Any]] = {}  # adapter -> place in the model -> layer
        self._own: dict[str, Any] = dict(model.named_modules())
        self.active: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded ones."""
        return tuple(self._loaded)

    def load(self, name: str, folder: Path) -> None:
        """Read the adapter in ``folder`` and keep it as ``name``; it is not switched on.

        Raises ModelFileError when it is none, not whole, or made for another model; the model stays as it was.
        """
        active = self.active
        _read_config(folder)
        self._put_back()
        from mlx_lm.tuner.utils import load_adapters

        try:
            load_adapters(self._model, str(folder))
            layers = self._adapter_layers()
            missing = self._missing(layers, folder)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as error:
            raise _error(folder, f"{type(error).__name__}: {str(error)[:300]}") from error
        finally:
            self._restore(self._adapter_layers())
            self._switch_on(active)
        if missing or not layers:
            raise _error(folder, f"weights for only a part of its layers ({missing[0] if missing else 'none'})")
        dtype = next(layer for layer in layers.values()).lora_a.dtype
        wanted = self._dtype()
        for layer in layers.values() if dtype != wanted else ():
            layer.lora_a, layer.lora_b = layer.lora_a.astype(wanted), layer.lora_b.astype(wanted)
        for layer in layers.values():
            layer.eval()
            mx.eval(layer.parameters())
        if self.active == name:
            self._put_back()
        self._loaded[name] = layers

    def use(self, name: str | None) -> None:
        """Switch to the loaded adapter ``name``, or to the bare model. Raises EngineError when it is not loaded."""
        if name is not None and name not in self._loaded:
            raise EngineError(f"there is no adapter {name!r}; loaded: {', '.join(self._loaded) or 'none'}")
        self._put_back()
        self._switch_on(name)

    def remove(self, name: str) -> None:
        """Forget an adapter and free its memory; an unknown name is no error."""
        if self.active == name:
            self._put_back()
        self._loaded.pop(name, None)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _put_back(self) -> None:
        if self.active is not None:
            self._restore(self._loaded[self.active])
            self.active = None

    def _switch_on(self, name: str | None) -> None:
        if name is not None:
            self._update(self._loaded[name])
            self.active = name

    def _restore(self, places: dict[str, Any]) -> None:
        self._update({place: self._own[place] for place in places})

    def _update(self, layers: dict[str, Any]) -> None:
        from mlx.utils import tree_unflatten

        if layers:
            self._model.update_modules(tree_unflatten(list(layers.items())))

    def _adapter_layers(self) -> dict[str, Any]:
        return {
            place: module
            for place, module in self._model.named_modules()
            if place in self._own and module is not self._own[place] and "lora_a" in module
        }

    def _missing(self, layers: dict[str, Any], folder: Path) -> list[str]:
        """Adapter weights that the model now has and the file has not."""
        given = set(mx.load(str(folder / "adapters.safetensors")))
        wanted = {f"{place}.{leaf}" for place, layer in layers.items() for leaf in _LEAVES if leaf in layer}
        return sorted(wanted - given)

    def _dtype(self) -> Any:
        return self._model.model.norm.weight.dtype if hasattr(self._model, "model") else mx.float32


def _read_config(folder: Path) -> _Config:
    try:
        config = msgspec.json.decode((folder / "adapter_config.json").read_bytes(), type=_Config)
    except FileNotFoundError:
        raise _error(folder, "no adapter_config.json") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise _error(folder, f"an adapter_config.json that cannot be read: {error}") from error
    if config.fine_tune_type not in ("lora", "dora"):
        raise _error(folder, f"an adapter of the type {config.fine_tune_type!r}")
    if not 0 < config.lora_parameters.rank <= _MAX_RANK:
        raise _error(folder, f"a rank of {config.lora_parameters.rank}")
    return config


def _error(folder: Path, has: str) -> ModelFileError:
    return ModelFileError(
        f"{folder.name} is not an adapter that this model can use.",
        needs="adapters.safetensors and adapter_config.json as mlx-lm writes them, made for this model",
        has=has,
        do="Choose another adapter, or the model that it was trained on.",
    )
