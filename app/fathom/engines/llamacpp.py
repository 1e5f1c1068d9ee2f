"""A GGUF model in this process, through llama.cpp's own interface.

Owns the context and its KV cache. Lives in the engine's process only: a native abort takes the process with it. Knows
nothing of pipes, agents or tools. The low-level calls are those of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Before the library is loaded: OpenMP reads it once. Its threads spin for 14 ms by default when one has lost its
# core, hundreds of times a token; a hundredth of that costs nothing measurable on a quiet machine.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp
import numpy as np
import numpy.typing as npt

from fathom.core.errors import EngineError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message, Sampling
from fathom.engines.constrain import Constrainer
from fathom.engines.generation import Generation, Reason
from fathom.engines.llamacpp_tokens import LlamaCppVocabulary
from fathom.engines.threads import ThreadGovernor
from fathom.weights import gguf

lib: Any = llama_cpp

DEFAULT_CONTEXT_TOKENS = 8192
BATCH_TOKENS = 512
CHUNK_TOKENS = 256  # prefill is told and can be stopped after each
CANCEL_POLL_S = 0.02


class _Cancelled(Exception):
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


class LlamaCppBackend:
    """core.protocols.Backend over llama.cpp."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        threads: int = 0,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Check and load the GGUF at ``spec.model``; ``on_progress`` gets 0 to 1. ``threads`` 0: one per core.

        The context is ``spec.context_tokens`` (8,192 when 0), at most what the model was trained on. Raises
        ModelFileError for a file that is no model, EngineError when llama.cpp refuses it.
        """
        path = Path(spec.model)
        header = gguf.read_header(path)
        self._log = _native_log()
        self._log.errors.clear()
        self._closing = contextlib.ExitStack()
        self._model = self._load(path, on_progress or (lambda _done: None))
        try:
            self._vocabulary = LlamaCppVocabulary(lib.llama_model_get_vocab(self._model), header.chat_template)
            train = int(lib.llama_model_n_ctx_train(self._model)) or header.context_length
            wanted = spec.context_tokens or DEFAULT_CONTEXT_TOKENS
            threads = threads or os.cpu_count() or 1
            self._context = self._open_context(min(wanted, train) if train else wanted, threads)
        except BaseException:
            self._closing.close()
            raise
        self._threads = ThreadGovernor(threads, lambda now: lib.llama_set_n_threads(self._context, now, threads))
        self._constrainer = Constrainer(self._vocabulary)
        self._cached: list[int] = []  # the tokens whose keys and values are in the cache
        self._one = (lib.llama_token * BATCH_TOKENS)()
        gpu = bool(lib.llama_supports_gpu_offload())
        self.info = EngineInfo(
            backend="llamacpp",
            model=header.name or path.stem,
            path=str(path),
            architecture=header.architecture,
            context_tokens=int(lib.llama_n_ctx(self._context)),
            train_context_tokens=train,
            profile=spec.profile,
            device="gpu" if gpu else "cpu",
        )

    def _load(self, path: Path, on_progress: Callable[[float], None]) -> Any:
        params = lib.llama_model_default_params()

        def progress(done: float, _data: object) -> bool:
            on_progress(float(done))
            return True  # go on

        params.progress_callback = callback = lib.llama_progress_callback(progress)
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        del callback  # until here it had to stay referenced
        if not model:
            raise EngineError(f"llama.cpp cannot load {path.name}: {self._why()}")
        self._closing.callback(lib.llama_model_free, model)
        return model

    def _open_context(self, tokens: int, threads: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = tokens
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
        context = lib.llama_init_from_model(self._model, params)
        if not context:
            raise EngineError(f"llama.cpp cannot make a context of {tokens} tokens: {self._why()}")
        self._closing.callback(lib.llama_free, context)
        # llama.cpp asks this before every node of the graph, some thousand times a token: a Python function would cost
        # a tenth of the speed. strlen over a shared buffer is a native "is the flag set?": "" is false, "x" is true.
        self._stop_flag = ctypes.create_string_buffer(2)
        strlen = ctypes.cast(_c_library().strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(context, strlen, ctypes.addressof(self._stop_flag))
        return context

    def _why(self) -> str:
        return "; ".join(self._log.errors) or "it gives no reason"

    # --- Backend --------------------------------------------------------------------------------------------------

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, the assistant's turn opened; of one message of role "tool" its bare text."""
        if len(messages) == 1 and messages[0].role == "tool":
            return self._vocabulary.plain(messages[0].content)
        return len(self._vocabulary.prompt(messages))

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """As Backend.generate.

        ``cancelled`` is also asked from a thread of its own every 20 ms, so that a native computation stops at once.
        With ``logprobs``, a delta carries every sampled id, the one that ends the generation too, and its
        log-probability in nats under the model's own distribution (temperature 1, no penalty, no mask, no truncation).
        """
        prompt = self._vocabulary.prompt(request.messages, request.prefill)
        room = self.info.context_tokens - len(prompt)
        if not prompt or room < 1:
            raise EngineError(
                f"the prompt has {len(prompt)} tokens and does not fit into the context of {self.info.context_tokens}"
            )
        constraint = self._constrainer.constraint(request.grammar) if request.grammar else None
        self._stop_flag[0] = b"\0"
        done = threading.Event()

        def watch() -> None:
            while not done.wait(CANCEL_POLL_S):
                if cancelled():
                    self._stop_flag[0] = b"x"
                    return

        watcher = threading.Thread(target=watch, name="cancel", daemon=True)
        watcher.start()
        generation = Generation(request, constraint, min(request.max_tokens, room), len(prompt))
        sampler = _Sampler(request.sampling)
        try:
            yield from self._run(generation, sampler, prompt, cancelled)
        finally:
            done.set()
            watcher.join()
            sampler.close()

    def close(self) -> None:
        """Free the context and the model; the backend is of no use afterwards."""
        self._closing.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run(
        self, generation: Generation, sampler: _Sampler, prompt: list[int], cancelled: Callable[[], bool]
    ) -> Iterator[EngineEvent]:
        reason: Reason = "cancelled"
        started = time.perf_counter()
        try:
            reused = self._keep_prefix(prompt)
            generation.reused = reused
            yield PrefillProgress(done=reused, total=len(prompt), reused=reused)
            while len(self._cached) < len(prompt):
                if cancelled():
                    raise _Cancelled
                self._decode(prompt[len(self._cached) : len(self._cached) + CHUNK_TOKENS])
                yield PrefillProgress(done=len(self._cached), total=len(prompt), reused=reused)
            generation.prefill_seconds = time.perf_counter() - started
            started = time.perf_counter()
            if generation.repeatable:
                self._threads.all()
            while generation.reason is None:
                if cancelled():
                    raise _Cancelled
                tokens = self._next_tokens(generation, sampler)
                delta = generation.add(tokens, self._vocabulary)
                if delta is not None:
                    yield delta
                if generation.reason is None:
                    before = time.perf_counter()
                    self._decode(tokens)
                    if len(tokens) == 1 and not generation.repeatable:
                        self._threads.decoded(time.perf_counter() - before)
            reason = generation.reason
        except _Cancelled:
            if not generation.prefill_seconds:
                generation.prefill_seconds, started = time.perf_counter() - started, time.perf_counter()
        rest = generation.rest()
        if rest is not None:
            yield rest
        yield GenerationFinished(reason=reason, usage=generation.usage(time.perf_counter() - started))

    def _keep_prefix(self, prompt: list[int]) -> int:
        """Cut the cache back to what it shares with ``prompt``; its last token is computed anew, for its logits."""
        common = 0
        for ours, wanted in zip(self._cached, prompt[:-1], strict=False):
            if ours != wanted:
                break
            common += 1
        memory = lib.llama_get_memory(self._context)
        if not lib.llama_memory_seq_rm(memory, 0, common, -1):  # a recurrent model cannot go back
            lib.llama_memory_clear(memory, True)
            common = 0
        del self._cached[common:]
        return common

    def _decode(self, tokens: Sequence[int]) -> None:
        """Compute ``tokens`` (at most BATCH_TOKENS) and add them to the cache; the logits are those after the last."""
        self._one[: len(tokens)] = tokens
        code = lib.llama_decode(self._context, lib.llama_batch_get_one(self._one, len(tokens)))
        if code == 0:
            self._cached += tokens
            return
        lib.llama_memory_seq_rm(lib.llama_get_memory(self._context), 0, len(self._cached), -1)
        if code == 2:
            raise _Cancelled
        raise EngineError(f"llama.cpp failed to compute {len(tokens)} tokens (code {code}): {self._why()}")

    def _logits(self) -> npt.NDArray[np.float32]:
        """The logits after the last token, shape (V,), in llama.cpp's own memory."""
        pointer = lib.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary.size,))

    def _next_tokens(self, generation: Generation, sampler: _Sampler) -> list[int]:
        """Sample the next token; the grammar may force some more."""
        return generation.next_tokens(
            self._logits(),
            lambda: int(lib.llama_sampler_sample(sampler.chain, self._context, -1)),
            self._vocabulary.eog,
            BATCH_TOKENS,
        )


class _Sampler:
    """llama.cpp's sampler chain. Temperature first, then the truncations, as vLLM and the papers have it."""

    def __init__(self, sampling: Sampling) -> None:
        self.chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
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
        lib.llama_sampler_chain_add(self.chain, sampler)

    def close(self) -> None:
        lib.llama_sampler_free(self.chain)


def _c_library() -> Any:
    return ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)


_logs: list[_NativeLog] = []


def _native_log() -> _NativeLog:
    """The one log of this process; llama.cpp has a single callback, which must stay referenced."""
    if not _logs:
        lib.llama_backend_init()
        _logs.append(_NativeLog())
    return _logs[0]
