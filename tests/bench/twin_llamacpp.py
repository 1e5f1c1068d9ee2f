"""llama.cpp's own loop in Fathom's engine process; see twins.py."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from typing import Any

from twins import RAW

from fathom.core.events import EngineEvent, GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Usage
from fathom.engines.llamacpp import LlamaCppBackend
from fathom.engines.llamacpp_native import lib


class Twin(LlamaCppBackend):
    """The backend, and beside it the raw loop on its model and context."""

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        if request.stop != (RAW,):
            yield from super().generate(request, cancelled)
            return
        context = self._context.handle
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(context, lib.ggml_abort_callback(), None)
        try:
            usage, ids = self._raw(context, self.vocabulary.prompt(request.messages), request.max_tokens)
        finally:
            lib.llama_set_abort_callback(context, strlen, ctypes.addressof(self._context._stop_flag))
        text = b"".join(self.vocabulary.piece(token) for token in ids).decode("utf-8", errors="replace")
        yield TokenDelta(text=text, ids=tuple(ids))
        yield GenerationFinished(reason="length", usage=usage)

    def _raw(self, context: Any, prompt: list[int], count: int) -> tuple[Usage, list[int]]:
        """llama.cpp's own loop: the prompt in the largest batches, then sample and decode, nothing in between."""
        self._forget()
        size = self._context.batch_tokens
        started = time.perf_counter()
        for start in range(0, len(prompt), size):
            part = prompt[start : start + size]
            batch = (lib.llama_token * len(part))(*part)
            lib.llama_decode(context, lib.llama_batch_get_one(batch, len(part)))
        read = time.perf_counter() - started
        sampler = lib.llama_sampler_init_greedy()
        one = (lib.llama_token * 1)()
        ids: list[int] = []
        started = time.perf_counter()
        for _ in range(count):
            ids.append(lib.llama_sampler_sample(sampler, context, -1))
            one[0] = ids[-1]
            lib.llama_decode(context, lib.llama_batch_get_one(one, 1))
        written = time.perf_counter() - started
        lib.llama_sampler_free(sampler)
        self._forget()
        usage = Usage(prompt_tokens=len(prompt), completion_tokens=count, prefill_seconds=read, decode_seconds=written)
        return usage, ids
