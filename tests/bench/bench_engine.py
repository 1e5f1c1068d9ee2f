"""Decode speed of Fathom's engine, through its process and pipe, against llama.cpp's own loop in the same run.

Both get the same prompt ids, thread count, context and greedy sampling, and make the same tokens. They are measured by
turns (raw, engine, raw, engine, ...), never at the same time, and the median of the pairs' ratios is told.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import statistics
import time
from pathlib import Path
from typing import Any

# As the engine sets it, so that both spin alike on a machine that others use, too.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp
from options import Options

from fathom.core.events import GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling
from fathom.workers.client import EngineClient

TARGETS = {"engine_decode_ratio": ("at least", 0.95)}
TOKENS = 192
PAIRS = 5
CONTEXT, BATCH = 2048, 512
MESSAGES = (Message(role="user", content="Tell a long story about a lighthouse keeper and the sea."),)
GREEDY = Sampling(temperature=0, repeat_penalty=1.0)


class RawLoop:
    """The library alone: prompt, then sample and decode, nothing in between."""

    def __init__(self, path: Path, threads: int) -> None:
        llama_cpp.llama_backend_init()
        self._log = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._log, ctypes.c_void_p(0))
        self.model: Any = llama_cpp.llama_model_load_from_file(
            os.fsencode(path), llama_cpp.llama_model_default_params()
        )
        self.vocab: Any = llama_cpp.llama_model_get_vocab(self.model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, BATCH, BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self.context: Any = llama_cpp.llama_init_from_model(self.model, params)

    def run(self, prompt: list[int], count: int) -> tuple[float, list[int]]:
        """(tokens per second, the ids); the clock starts when the prompt is read."""
        memory = llama_cpp.llama_get_memory(self.context)
        kept = min(llama_cpp.llama_memory_seq_pos_max(memory, 0) + 1, len(prompt) - 1)  # as the engine reuses it
        llama_cpp.llama_memory_seq_rm(memory, 0, kept, -1)
        sampler = llama_cpp.llama_sampler_init_greedy()
        batch = (llama_cpp.llama_token * (len(prompt) - kept))(*prompt[kept:])
        llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(batch, len(batch)))
        one = (llama_cpp.llama_token * 1)()
        ids: list[int] = []
        started = time.perf_counter()
        for _ in range(count):
            ids.append(llama_cpp.llama_sampler_sample(sampler, self.context, -1))
            one[0] = ids[-1]
            llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(one, 1))
        seconds = time.perf_counter() - started
        llama_cpp.llama_sampler_free(sampler)
        return count / seconds, ids

    def read(self, prompt: list[int]) -> float:
        """Seconds that an empty cache takes to be filled with ``prompt``, in the largest batches."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        started = time.perf_counter()
        for start in range(0, len(prompt), BATCH):
            part = prompt[start : start + BATCH]
            batch = (llama_cpp.llama_token * len(part))(*part)
            llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(batch, len(part)))
        return time.perf_counter() - started

    def close(self) -> None:
        """Free it."""
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


async def _engine_run(engine: EngineClient, count: int) -> tuple[float, str, int]:
    """(tokens per second as a reader at the pipe's end sees them, the text, the number of tokens)."""
    text, first, last = "", 0.0, 0.0
    request = GenerateRequest(messages=MESSAGES, max_tokens=count, sampling=GREEDY)
    made = 0
    async for event in engine.generate(request):
        last = time.perf_counter()
        if isinstance(event, TokenDelta):
            text += event.text
            first = first or last
        elif isinstance(event, GenerationFinished):
            made = event.usage.completion_tokens
    return (made - 1) / (last - first), text, made


async def _measure(path: Path, pairs: int, tokens: int) -> list[dict[str, float]]:
    from fathom.engines.llamacpp_tokens import LlamaCppVocabulary
    from fathom.weights.gguf import read_header

    threads = os.cpu_count() or 1
    raw = RawLoop(path, threads)
    vocabulary = LlamaCppVocabulary(raw.vocab, read_header(path).chat_template)
    prompt = vocabulary.prompt(MESSAGES)
    engine = await EngineClient.start(EngineSpec(model=str(path), context_tokens=CONTEXT), threads=threads)
    rows: list[dict[str, float]] = []
    try:
        _, ids = raw.run(prompt, tokens)  # warm-up of both, and how far the text goes
        tokens = next((place for place, token in enumerate(ids) if token in vocabulary.eog), tokens)
        await _engine_run(engine, tokens)
        for _ in range(pairs):
            raw_speed, ids = raw.run(prompt, tokens)
            engine_speed, text, made = await _engine_run(engine, tokens)
            expected = b"".join(vocabulary.piece(token) for token in ids).decode("utf-8", errors="replace")
            same = made == tokens and text == expected
            rows.append(
                {"raw": raw_speed, "engine": engine_speed, "ratio": engine_speed / raw_speed, "same": float(same)}
            )
    finally:
        await engine.close()
        raw.close()
    return rows


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """The medians; ``engine_same_text`` is the share of pairs in which both made the same text."""
    return {
        "engine_decode_ratio": round(statistics.median(row["ratio"] for row in rows), 4),
        "engine_tokens_per_s": round(statistics.median(row["engine"] for row in rows), 1),
        "raw_tokens_per_s": round(statistics.median(row["raw"] for row in rows), 1),
        "engine_same_text": statistics.mean(row["same"] for row in rows),
    }


def measure(options: Options) -> dict[str, float]:
    """``engine_decode_ratio`` and what it was made of. Takes some ten generations of ``tokens`` tokens."""
    return summary(asyncio.run(_measure(options.model, PAIRS, TOKENS)))
