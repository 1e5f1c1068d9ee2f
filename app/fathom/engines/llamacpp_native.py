"""llama.cpp's own objects with an owner each: the log, a model, a context that can be stopped, a batch, a sampler.

Knows files and parameters; no request, no text. The calls are those of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before the library is loaded: OpenMP reads it once. Its threads spin for 14 ms by default when one has lost its
# core, hundreds of times a token; a hundredth of that costs nothing measurable on a quiet machine.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp
import numpy as np
import numpy.typing as npt

from fathom.core.errors import EngineError, ModelFileError
from fathom.core.types import EngineSpec, Sampling
from fathom.weights.memory import KV_BLOCK

lib: Any = llama_cpp

BATCH_TOKENS = 512
CANCEL_POLL_S = 0.05


class Cancelled(Exception):
    """The native computation was stopped on request."""


class _NativeLog:
    """llama.cpp's log: warnings and errors go to stderr, the last errors are kept for messages to people."""

    def __init__(self) -> None:
        self.errors: deque[str] = deque(maxlen=5)
        self._level = 0
        self._callback = lib.llama_log_callback(self._log)
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _log(self, level: int, text: bytes, _data: object) -> None:
        level = self._level if level == 5 else level  # 5 continues the line before
        self._level = level
        if level in (3, 4):
            line = text.decode("utf-8", errors="replace")
            sys.stderr.write(line)
            if level == 4 and line.strip():
                self.errors.append(line.strip())

    def why(self) -> str:
        """The last errors, in one line."""
        return "; ".join(self.errors) or "it gives no reason"

    def short_of_memory(self) -> bool:
        """Whether one of the last errors is a refused allocation."""
        return any("alloc" in error or "memory" in error.lower() for error in self.errors)


_logs: list[_NativeLog] = []


def native_log() -> _NativeLog:
    """The one log of this process; llama.cpp has a single callback, which must stay referenced."""
    if not _logs:
        lib.llama_backend_init()
        _logs.append(_NativeLog())
    return _logs[0]


def load_model(path: Path, gpu_layers: int, on_progress: Callable[[float], None]) -> Any:
    """A llama_model_p, to be freed by the caller; ``gpu_layers`` -1: all.

    Raises ModelFileError without the memory for it, EngineError with llama.cpp's reason otherwise. Without
    support for a graphics card in the library ``gpu_layers`` has no effect.
    """
    log = native_log()
    log.errors.clear()
    params = lib.llama_model_default_params()
    params.n_gpu_layers = gpu_layers

    def progress(done: float, _data: object) -> bool:
        on_progress(float(done))
        return True  # go on

    params.progress_callback = callback = lib.llama_progress_callback(progress)
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    del callback  # until here it had to stay referenced
    if not model:
        if log.short_of_memory():
            raise _too_little(f"There is too little memory for {path.name}.", "all of its weights", log)
        raise EngineError(f"llama.cpp cannot load {path.name}: {log.why()}")
    return model


class Context:
    """A llama_context_p: keys and values of ``sequences`` sequences that share ``tokens`` cells."""

    def __init__(
        self, model: Any, spec: EngineSpec, tokens: int, threads: int, *, sequences: int = 1, batch_tokens: int = 0
    ) -> None:
        """Raises EngineError when ``spec`` asks for what cannot be, ModelFileError without the memory for it."""
        log = native_log()
        log.errors.clear()
        params = lib.llama_context_default_params()
        params.n_ctx = tokens
        self.batch_tokens = batch_tokens or spec.batch_tokens or BATCH_TOKENS
        params.n_batch = params.n_ubatch = self.batch_tokens
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = sequences
        params.kv_unified = sequences > 1  # so that a prefix that rows share is kept once
        params.flash_attn_type = (
            lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if spec.flash_attention else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        if spec.kv_type != "f16":
            _check_kv_type(model, spec)
            params.type_k = params.type_v = lib.GGML_TYPE_Q8_0
        self.handle: Any = lib.llama_init_from_model(model, params)
        if not self.handle:
            if log.short_of_memory():
                raise _too_little("There is too little memory for the model.", f"a context of {tokens:,} tokens", log)
            raise EngineError(f"llama.cpp cannot make a context of {tokens} tokens: {log.why()}")
        self.memory: Any = lib.llama_get_memory(self.handle)
        self.tokens = int(lib.llama_n_ctx(self.handle))
        self._rows: dict[int, npt.NDArray[np.float32]] = {}
        self._vocabulary_size = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model)))
        # llama.cpp asks this before every node of the graph, some thousand times a token: a Python function would cost
        # a tenth of the speed. strlen over a shared buffer is a native "is the flag set?": "" is false, "x" is true.
        self._stop_flag = ctypes.create_string_buffer(2)
        strlen = ctypes.cast(_c_library().strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(self.handle, strlen, ctypes.addressof(self._stop_flag))

    @contextlib.contextmanager
    def stopped_by(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Meanwhile ``cancelled`` is asked every 50 ms from a thread of its own; it stops a native computation."""
        self._stop_flag[0] = b"\0"
        done = threading.Event()

        def watch() -> None:
            while not done.wait(CANCEL_POLL_S):
                if cancelled():
                    self._stop_flag[0] = b"x"
                    return

        watcher = threading.Thread(target=watch, name="cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def decode(self, batch: Any, size: int) -> None:
        """Compute a llama_batch. Raises Cancelled or EngineError; what has reached the cache is then the caller's."""
        code = lib.llama_decode(self.handle, batch)
        if code == 2:
            raise Cancelled
        if code != 0:
            raise EngineError(f"llama.cpp failed to compute {size} tokens (code {code}): {native_log().why()}")

    def logits(self, place: int) -> npt.NDArray[np.float32]:
        """The logits of a place of the last batch (-1: the last), shape (V,), in llama.cpp's own memory."""
        row = lib.llama_get_logits_ith(self.handle, place)
        address = ctypes.addressof(row.contents)
        if address not in self._rows:  # it stays where it is from token to token, and to wrap it takes long
            self._rows[address] = np.ctypeslib.as_array(row, shape=(self._vocabulary_size,))
        return self._rows[address]

    def close(self) -> None:
        """Free it."""
        lib.llama_free(self.handle)


class TokenBatch:
    """A llama_batch of tokens that each belong to one sequence; at most ``capacity`` of them."""

    def __init__(self, capacity: int) -> None:
        self.native: Any = lib.llama_batch_init(capacity, 0, 1)
        self.native.n_tokens = 0

    @property
    def size(self) -> int:
        """Tokens in it."""
        return int(self.native.n_tokens)

    def clear(self) -> None:
        """Empty it."""
        self.native.n_tokens = 0

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        """Append a token; its place, by which its logits are asked for."""
        place = self.size
        self.native.token[place] = token
        self.native.pos[place] = position
        self.native.n_seq_id[place] = 1
        self.native.seq_id[place][0] = sequence
        self.native.logits[place] = logits
        self.native.n_tokens = place + 1
        return place

    def close(self) -> None:
        """Free it."""
        lib.llama_batch_free(self.native)


class SamplerChain:
    """llama.cpp's sampler chain. Temperature first, then the truncations, as vLLM and the papers have it."""

    def __init__(self, sampling: Sampling) -> None:
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
            return
        self._add(lib.llama_sampler_init_temp(sampling.temperature))
        if sampling.top_k > 0:
            self._add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        seed = secrets.randbits(32) if sampling.seed is None else sampling.seed & 0xFFFFFFFF
        self._add(lib.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self._chain, sampler)

    def sample(self, context: Context, place: int) -> int:
        """A token from the logits of a place of the last batch (-1: the last)."""
        return int(lib.llama_sampler_sample(self._chain, context.handle, place))

    def close(self) -> None:
        """Free it."""
        lib.llama_sampler_free(self._chain)


def _too_little(message: str, needs: str, log: _NativeLog) -> ModelFileError:
    return ModelFileError(
        message,
        needs=f"room for {needs}",
        has=f"the system refused it ({log.errors[-1]})",
        do="Close other programs, or choose a smaller model.",
        remedy="choose_model",
    )


def _check_kv_type(model: Any, spec: EngineSpec) -> None:
    if spec.kv_type != "q8_0":
        raise EngineError(f"there is no KV cache of the type {spec.kv_type!r}; there are f16 and q8_0")
    if not spec.flash_attention:
        raise EngineError("a q8_0 KV cache needs flash attention, which is switched off; use f16, or switch it on")
    heads = int(lib.llama_model_n_head(model)) or 1
    width = int(lib.llama_model_n_embd(model)) // heads
    if width % KV_BLOCK:
        raise EngineError(
            f"a q8_0 KV cache needs heads of a multiple of {KV_BLOCK} values; this model has {width}: use f16"
        )


def _c_library() -> Any:
    return ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
