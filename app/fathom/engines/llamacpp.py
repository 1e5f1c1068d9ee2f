"""A GGUF model in this process, through llama.cpp's own interface.

Owns the context and its KV cache. Lives in the engine's process only: a native abort takes the process with it. Knows
nothing of pipes, agents or tools.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fathom.core.errors import EngineError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message
from fathom.engines.batch import Finished, run
from fathom.engines.constrain import Constrainer
from fathom.engines.generation import Generation, Reason, log_probability
from fathom.engines.llamacpp_adapters import LlamaCppAdapters
from fathom.engines.llamacpp_batch import LlamaCppBatch, room_for
from fathom.engines.llamacpp_native import Cancelled, Context, SamplerChain, TokenBatch, lib, load_model
from fathom.engines.llamacpp_shift import find_cut
from fathom.engines.llamacpp_tokens import LlamaCppVocabulary
from fathom.engines.threads import ThreadGovernor
from fathom.weights import gguf

log = logging.getLogger(__name__)

DEFAULT_CONTEXT_TOKENS = 8192
CHUNK_S = 4.0  # about so long a prompt is read on a processor before its progress is told
CHUNK_TOKENS = 128  # at least so many are read at once: fewer are slower each
WEIGHTS_PER_S = 20e9  # weights times tokens that a core reads of a prompt: measured on two cores of a server
SCORE_TOKENS = 128  # whose logits, (128, V), are held at once


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
        self._spec = spec
        with contextlib.ExitStack() as closing:
            self._model = load_model(path, spec.gpu_layers, on_progress or (lambda _done: None))
            closing.callback(lib.llama_model_free, self._model)
            self.vocabulary = LlamaCppVocabulary(lib.llama_model_get_vocab(self._model), header.chat_template)
            train = int(lib.llama_model_n_ctx_train(self._model)) or header.context_length
            wanted = spec.context_tokens or DEFAULT_CONTEXT_TOKENS
            self._all_threads = threads or os.cpu_count() or 1
            self._context = Context(self._model, spec, min(wanted, train) if train else wanted, self._all_threads)
            closing.callback(self._context.close)
            self._scored = TokenBatch(SCORE_TOKENS)
            closing.callback(self._scored.close)
            self._closing = closing.pop_all()
        gpu = bool(lib.llama_supports_gpu_offload()) and spec.gpu_layers != 0
        self._chunk = self._context.batch_tokens if gpu else self._processor_chunk()
        self._threads = ThreadGovernor(
            self._all_threads, lambda now: lib.llama_set_n_threads(self._context.handle, now, self._all_threads)
        )
        self.adapters = LlamaCppAdapters(self._model, header.architecture)
        self._constrainer = Constrainer(self.vocabulary)
        self._cached: list[int] = []  # the tokens whose keys and values are in the cache
        self._shifted = False  # keys and values in the cache were moved, not computed where they stand
        self._may_shift = spec.shift_memory and bool(lib.llama_memory_can_shift(self._context.memory))
        if spec.shift_memory:
            log.warning("the KV cache is shifted: experimental, what the model writes may change")
        self._one = (lib.llama_token * self._context.batch_tokens)()
        self.info = EngineInfo(
            backend="llamacpp",
            model=header.name or path.stem,
            path=str(path),
            architecture=header.architecture,
            context_tokens=self._context.tokens,
            train_context_tokens=train,
            profile=spec.profile,
            device="gpu" if gpu else "cpu",
        )

    # --- Backend --------------------------------------------------------------------------------------------------

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, the assistant's turn opened; of one message of role "tool" its bare text."""
        if len(messages) == 1 and messages[0].role == "tool":
            return self.vocabulary.plain(messages[0].content)
        return len(self.vocabulary.prompt(messages))

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """As Backend.generate.

        ``cancelled`` is also asked from a thread of its own every 50 ms, so that a native computation stops at once.
        With ``logprobs``, a delta carries every sampled id, the one that ends the generation too, and its
        log-probability in nats under the model's own distribution (temperature 1, no penalty, no mask, no truncation).
        """
        prompt = self.vocabulary.prompt(request.messages, request.prefill)
        room = self.info.context_tokens - len(prompt)
        if not prompt or room < 1:
            raise EngineError(
                f"the prompt has {len(prompt)} tokens and does not fit into the context of {self.info.context_tokens}"
            )
        constraint = self._constrainer.constraint(request.grammar) if request.grammar else None
        generation = Generation(request, constraint, min(request.max_tokens, room), len(prompt))
        sampler = SamplerChain(request.sampling)
        try:
            with self._context.stopped_by(cancelled):
                yield from self._run(generation, sampler, prompt, cancelled)
        finally:
            sampler.close()

    def close(self) -> None:
        """Free the context and the model; the backend is of no use afterwards."""
        self._closing.close()

    # --- beyond the protocol: training, rollouts, evaluation --------------------------------------------------------

    def use_threads(self, threads: int) -> None:
        """Compute with ``threads`` from now on, 0 for one per core: a core is left free while training runs."""
        self._all_threads = threads or os.cpu_count() or 1
        self._threads.use(self._all_threads)

    def use_adapter(self, name: str | None, scale: float = 1.0) -> None:
        """Compute with the loaded adapter ``name``, with none of them for None; what was cached is forgotten."""
        self.adapters.use(self._context, name, scale)
        self._forget()

    def batch(self, width: int = 8, room_tokens: int = 0) -> LlamaCppBatch:
        """Many generations at once, at most ``width`` of them in the same step; see :class:`LlamaCppBatch`.

        They have a KV cache of ``room_tokens`` tokens of their own (0: as many as this engine's context), beside that
        of ``generate``; rows that do not fit at the same time wait. An adapter must not be switched while it lives.
        """
        return LlamaCppBatch(
            self._model,
            self._spec,
            self.vocabulary,
            self.adapters,
            row_tokens=self.info.context_tokens,
            room_tokens=room_tokens or self.info.context_tokens,
            width=width,
            threads=self._all_threads,
        )

    def generate_batch(
        self,
        requests: Sequence[GenerateRequest],
        cancelled: Callable[[], bool],
        width: int = 8,
        on_step: Callable[[], None] = lambda: None,
        room_tokens: int = 0,
    ) -> Iterator[tuple[int, Finished]]:
        """Run all ``requests``; yields (place in ``requests``, result) as each one ends. ``on_step`` after each step.

        The results hold ids and log-probabilities; these differ from a single run's as batches round otherwise (see
        ``score``). ``room_tokens`` 0: for ``width`` rows of the largest, nothing shared. A cancel ends it at once: what
        runs is dropped. Raises EngineError for a request with a grammar, or one that does not fit.
        """
        prompts = [self.vocabulary.prompt(request.messages, request.prefill) for request in requests]
        sizes = [(len(prompt), request.max_tokens) for prompt, request in zip(prompts, requests, strict=True)]
        batch = self.batch(width, room_tokens or room_for(sizes, width, self.info.context_tokens))
        try:
            yield from run(batch, prompts, requests, cancelled, on_step)
        finally:
            batch.close()

    def score(
        self,
        tokens: Sequence[int],
        start: int = 1,
        *,
        exact: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[float]:
        """Log-probabilities in nats of ``tokens[start:]``, each given all before it; fewer after a cancel.

        Computed from an empty cache, so that the same tokens give the same figures, in batches of 128. A packed model
        computes a batch and single tokens with other roundings: sampled log-probabilities agree within 0.1 nats in the
        mean and 0.6 at most; with ``exact`` within 1e-3, at the speed of writing, where the generation's prompt was
        not in the cache before. Raises EngineError when the text is longer than the context.
        """
        if len(tokens) > self.info.context_tokens:
            raise EngineError(
                f"the text has {len(tokens)} tokens and does not fit into the context of {self.info.context_tokens}"
            )
        if start < 1:
            raise ValueError("the first token has no log-probability: nothing stands before it")
        scores: list[float] = []
        if start >= len(tokens):
            return scores
        self._threads.all()
        self._forget()
        with self._context.stopped_by(cancelled), contextlib.suppress(Cancelled):
            while (at := len(self._cached)) < start:
                self._decode(tokens[at : min(at + self._chunk, start)])
            scores.append(log_probability(self._context.logits(-1), tokens[start]))
            step = 1 if exact else SCORE_TOKENS
            while (at := len(self._cached)) < len(tokens) - 1:
                part = list(tokens[at : min(at + step, len(tokens) - 1)])
                if exact:
                    self._decode(part)
                    scores.append(log_probability(self._context.logits(-1), tokens[at + 1]))
                    continue
                self._decode_with_all_logits(part)
                for place, wanted in enumerate(tokens[at + 1 : at + 1 + len(part)]):
                    scores.append(log_probability(self._context.logits(place), wanted))
        return scores

    def last_logits(self) -> npt.NDArray[np.float32]:
        """A copy of the logits after the last token that was computed, shape (V,); right after a generation only."""
        return self._context.logits(-1).copy()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run(
        self, generation: Generation, sampler: SamplerChain, prompt: list[int], cancelled: Callable[[], bool]
    ) -> Iterator[EngineEvent]:
        reason: Reason = "cancelled"
        started = time.perf_counter()
        try:
            if self._shifted and generation.request.logprobs:
                self._forget()
            elif self._may_shift and not generation.request.logprobs:
                self._shift(prompt)
            reused = self._keep_prefix(prompt)
            generation.reused = reused
            yield PrefillProgress(done=reused, total=len(prompt), reused=reused)
            while len(self._cached) < len(prompt):
                if cancelled():
                    raise Cancelled
                self._decode(prompt[len(self._cached) : len(self._cached) + self._chunk])
                yield PrefillProgress(done=len(self._cached), total=len(prompt), reused=reused)
            generation.prefill_seconds = time.perf_counter() - started
            started = time.perf_counter()
            if generation.repeatable:
                self._threads.all()
            while generation.reason is None:
                if cancelled():
                    raise Cancelled
                tokens = self._next_tokens(generation, sampler)
                delta = generation.add(tokens, self.vocabulary)
                if delta is not None:
                    yield delta
                if generation.reason is None:
                    before = time.perf_counter()
                    self._decode(tokens)
                    if len(tokens) == 1 and not generation.repeatable:
                        self._threads.decoded(time.perf_counter() - before)
            reason = generation.reason
        except Cancelled:
            if not generation.prefill_seconds:
                generation.prefill_seconds, started = time.perf_counter() - started, time.perf_counter()
        rest = generation.rest()
        if rest is not None:
            yield rest
        yield GenerationFinished(reason=reason, usage=generation.usage(time.perf_counter() - started))

    def _processor_chunk(self) -> int:
        """Tokens between two words of progress: fixed for a model, so that the same prompt gives the same sums."""
        weights = int(lib.llama_model_n_params(self._model)) or 1
        fitting = int(CHUNK_S * WEIGHTS_PER_S * self._all_threads / weights)
        return min(self._context.batch_tokens, max(CHUNK_TOKENS, 1 << max(fitting, 1).bit_length() - 1))

    def _shift(self, prompt: list[int]) -> None:
        """Experimental: cut out of the cache what ``prompt`` leaves out, and move up what follows."""
        while (cut := find_cut(self._cached, prompt)) is not None:
            memory = self._context.memory
            if not lib.llama_memory_seq_rm(memory, 0, cut.start, cut.end):
                return
            lib.llama_memory_seq_add(memory, 0, cut.end, -1, cut.start - cut.end)
            self._cached[cut.common : cut.end] = prompt[cut.common : cut.start]
            self._shifted = True

    def _keep_prefix(self, prompt: list[int]) -> int:
        """Cut the cache back to what it shares with ``prompt``; its last token is computed anew, for its logits."""
        common = 0
        for ours, wanted in zip(self._cached, prompt[:-1], strict=False):
            if ours != wanted:
                break
            common += 1
        if not lib.llama_memory_seq_rm(self._context.memory, 0, common, -1):  # a recurrent model cannot go back
            self._forget()
            return 0
        del self._cached[common:]
        return common

    def _forget(self) -> None:
        lib.llama_memory_clear(self._context.memory, True)
        self._cached.clear()
        self._shifted = False

    def _decode(self, tokens: Sequence[int]) -> None:
        """Compute ``tokens``, at most a batch, and add them to the cache; the logits are those after the last."""
        self._one[: len(tokens)] = tokens
        self._compute(lib.llama_batch_get_one(self._one, len(tokens)), tokens)

    def _decode_with_all_logits(self, tokens: Sequence[int]) -> None:
        """As :meth:`_decode` for at most SCORE_TOKENS; there are logits after each."""
        self._scored.clear()
        for place, token in enumerate(tokens):
            self._scored.add(token, len(self._cached) + place, 0, logits=True)
        self._compute(self._scored.native, tokens)

    def _compute(self, batch: object, tokens: Sequence[int]) -> None:
        try:
            self._context.decode(batch, len(tokens))
        except (Cancelled, EngineError):
            lib.llama_memory_seq_rm(self._context.memory, 0, len(self._cached), -1)
            raise
        self._cached += tokens

    def _next_tokens(self, generation: Generation, sampler: SamplerChain) -> list[int]:
        """Sample the next token; the grammar may force some more."""
        return generation.next_tokens(
            self._context.logits(-1),
            lambda: sampler.sample(self._context, -1),
            self.vocabulary.eog,
            self._context.batch_tokens,
        )
