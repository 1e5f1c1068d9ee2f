"""A model in this process through mlx-lm: from an MLX folder, or from a GGUF that is converted once and kept.

Owns the weights and the KV cache. On the CPU everything is float32 behind OpenBLAS, since the packed and the half types
are slow there; on a GPU (Metal, CUDA: not tested) the packed weights stay packed. Knows nothing of pipes, agents or
tools. Written for mlx 0.32 and mlx-lm 0.32.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fathom.core.errors import EngineError, ModelFileError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message
from fathom.engines import mlx_ahead
from fathom.engines.batch import Finished, run
from fathom.engines.constrain import Constrainer
from fathom.engines.generation import Generation, Reason
from fathom.engines.json_tokens import JsonVocabulary
from fathom.engines.mlx_adapters import Adapters
from fathom.engines.mlx_batch import MlxBatch
from fathom.engines.sampling import Sampler
from fathom.weights import convert, mlx_runtime
from fathom.weights.mlx_folder import MlxFolder, read_folder
from fathom.weights.mlx_runtime import mx

log = logging.getLogger(__name__)

DEFAULT_CONTEXT_TOKENS = 8192
FORCED_TOKENS = 64  # so many that a grammar forces are computed at once
GPU_CHUNK_TOKENS = 512
CPU_CHUNK_TOKENS = (16, 64)  # fewest and most tokens of the prompt that are computed between two looks at "cancelled"
CPU_CHUNK_WEIGHTS = 10e9  # weights times tokens of a chunk: about 0.2 s

_DTYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16, "float32": mx.float32}


class MlxBackend:
    """core.protocols.Backend over mlx-lm; beyond it batches, scores and adapters."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        threads: int = 0,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load the MLX folder or GGUF at ``spec.model``; ``on_progress`` gets 0 to 1.

        ``threads`` 0: one core is spared. The context is ``spec.context_tokens`` (8,192 when 0), at most what the model
        was trained on. Raises ModelFileError for what is no model, or none that can be converted or built.
        """
        progress = on_progress or (lambda _done: None)
        mlx_runtime.prepare()
        mlx_runtime.set_threads(threads)
        if mlx_runtime.blas_missing():
            log.warning("there is no OpenBLAS: MLX computes some 30 times slower; see fathom doctor")
        path = Path(spec.model)
        folder = read_folder(path if path.is_dir() else convert.converted(path, lambda done: progress(done * 0.6)))
        self.model: Any = _load(folder, lambda done: progress(0.6 + done * 0.4))
        size = int(self._forward([0], None).shape[-1])
        self.vocabulary = JsonVocabulary(folder, size)
        self.adapters = Adapters(self.model)
        self._constrainer = Constrainer(self.vocabulary)
        self._chunk = _chunk_tokens(self.model)
        self._cache: list[Any] = []
        self._cached: list[int] = []  # the tokens whose keys and values are in the cache
        self._reset()
        wanted = spec.context_tokens or DEFAULT_CONTEXT_TOKENS
        self.info = EngineInfo(
            backend="mlx",
            model=folder.name,
            path=str(path),
            architecture=folder.architecture,
            context_tokens=min(wanted, folder.context_length) if folder.context_length else wanted,
            train_context_tokens=folder.context_length,
            profile=spec.profile,
            device=mlx_runtime.device_name(),
        )
        progress(1.0)

    # --- Backend --------------------------------------------------------------------------------------------------

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, the assistant's turn opened; of one message of role "tool" its bare text."""
        if len(messages) == 1 and messages[0].role == "tool":
            return self.vocabulary.plain(messages[0].content)
        return len(self.vocabulary.prompt(messages))

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """As Backend.generate; ``cancelled`` is asked before every chunk of the prompt and every token.

        With ``logprobs``, a delta carries every sampled id, the one that ends the generation too, and its
        log-probability in nats under the model's own distribution (temperature 1, no penalty, no mask, no truncation).
        """
        prompt = self.vocabulary.prompt(request.messages, request.prefill)
        room = self._room(len(prompt))
        constraint = self._constrainer.constraint(request.grammar) if request.grammar else None
        generation = Generation(request, constraint, min(request.max_tokens, room), len(prompt))
        started = time.perf_counter()
        generation.reused = reused = self._keep_prefix(prompt)
        yield PrefillProgress(done=reused, total=len(prompt), reused=reused)
        logits: Any = None
        while len(self._cached) < len(prompt) and not cancelled():
            logits = self._decode(prompt[len(self._cached) :], last=len(prompt))
            yield PrefillProgress(done=len(self._cached), total=len(prompt), reused=reused)
        generation.prefill_seconds, started = time.perf_counter() - started, time.perf_counter()
        if logits is not None:
            ahead = constraint is None and mlx_ahead.suits(request.sampling)
            yield from (self._write_ahead if ahead else self._write)(generation, logits, cancelled)
        reason: Reason = generation.reason or "cancelled"
        rest = generation.rest()
        if rest is not None:
            yield rest
        yield GenerationFinished(reason=reason, usage=generation.usage(time.perf_counter() - started))

    def close(self) -> None:
        """Free the weights and the cache; the backend is of no use afterwards."""
        self._cache, self._cached = [], []
        self.model = None
        mx.clear_cache()

    # --- beyond the protocol: rollouts, evaluation, training --------------------------------------------------------

    def batch(self, width: int = 16) -> MlxBatch:
        """Many generations at once, at most ``width`` of them in the same step; see :class:`mlx_batch.MlxBatch`.

        They run beside the KV cache of ``generate``. An adapter must not be switched while a batch lives.
        """
        return MlxBatch(self.model, self.vocabulary, context_tokens=self.info.context_tokens, width=width)

    def generate_batch(
        self,
        requests: Sequence[GenerateRequest],
        cancelled: Callable[[], bool],
        width: int = 16,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, Finished]]:
        """Run all ``requests``; yields (place in ``requests``, result) as each one ends. ``on_step`` after each step.

        The results hold ids and log-probabilities. A cancel ends it between two steps: what runs is dropped. Raises
        EngineError for a request with a grammar, or one that does not fit.
        """
        prompts = [self.vocabulary.prompt(request.messages, request.prefill) for request in requests]
        batch = self.batch(width)
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

        Computed in chunks with a cache of its own. Sampled log-probabilities agree within 1e-3 on the CPU, with and
        without ``exact``. Raises EngineError when the text is longer than the context.
        """
        if start < 1:
            raise ValueError("the first token has no log-probability: nothing stands before it")
        if len(tokens) > self.info.context_tokens:
            raise EngineError(
                f"the text has {len(tokens)} tokens and does not fit into the context of {self.info.context_tokens}"
            )
        cache = _new_cache(self.model)
        scores: list[float] = []
        for at in range(0, len(tokens) - 1, self._chunk):
            if cancelled():
                break
            part = list(tokens[at : min(at + self._chunk, len(tokens) - 1)])
            logits = self._forward(part, cache)[0].astype(mx.float32)  # (T, V)
            wanted = mx.array(tokens[at + 1 : at + 1 + len(part)])
            chosen = mx.take_along_axis(logits, wanted[:, None], axis=-1)[:, 0]
            scores += (chosen - mx.logsumexp(logits, axis=-1)).tolist()
        return scores[start - 1 :]

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on, 0 for the default: a core is left free while training runs."""
        mlx_runtime.set_threads(threads)

    def use_adapter(self, name: str | None) -> None:
        """Compute with the loaded adapter ``name``, with none of them for None; what was cached is forgotten."""
        self.adapters.use(name)
        self._reset()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _room(self, prompt_tokens: int) -> int:
        room = self.info.context_tokens - prompt_tokens
        if not prompt_tokens or room < 1:
            raise EngineError(
                f"the prompt has {prompt_tokens} tokens and does not fit into the context of {self.info.context_tokens}"
            )
        return room

    def _reset(self) -> None:
        self._cache = _new_cache(self.model)
        self._cached = []

    def _keep_prefix(self, prompt: list[int]) -> int:
        """Cut the cache back to what it shares with ``prompt``; its last token is computed anew, for its logits."""
        from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

        common = 0
        for ours, wanted in zip(self._cached, prompt[:-1], strict=False):
            if ours != wanted:
                break
            common += 1
        surplus = len(self._cached) - common
        if surplus and not (
            can_trim_prompt_cache(self._cache) and trim_prompt_cache(self._cache, surplus) == surplus
        ):  # a recurrent model cannot go back
            self._reset()
            return 0
        del self._cached[common:]
        return common

    def _write(self, generation: Generation, logits: Any, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """Token by token from ``logits`` on, drawn on the CPU: a grammar looks at each before the next is computed."""
        sampler = Sampler(generation.request.sampling)
        while generation.reason is None and not cancelled():
            values: npt.NDArray[np.float32] = np.array(logits)
            sample = functools.partial(sampler.sample, values)
            tokens = generation.next_tokens(values, sample, self.vocabulary.eog, FORCED_TOKENS)
            delta = generation.add(tokens, self.vocabulary)
            if delta is not None:
                yield delta
            if generation.reason is None:
                logits = self._decode(tokens)

    def _write_ahead(self, generation: Generation, logits: Any, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """As :meth:`_write` without a grammar, each step begun before the token before it is known."""
        request = generation.request

        def step(token: Any) -> Any:
            return self.model(token[None], cache=self._cache)[0, -1].astype(mx.float32)

        with self._failures_told():
            drawn = mlx_ahead.Ahead(logits, step, request.sampling, logprobs=request.logprobs)
            for token, logprob, fed in drawn.tokens(lambda: 0 if cancelled() else generation.left):
                if fed:
                    self._cached.append(token)
                if request.logprobs:
                    generation.logprobs.append(logprob)
                delta = generation.add([token], self.vocabulary)
                if delta is not None:
                    yield delta

    @contextlib.contextmanager
    def _failures_told(self, tokens: int = 1) -> Iterator[None]:
        """What fails leaves an empty cache, since what has reached it is not known; MLX's own errors are told."""
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            self._reset()
            if isinstance(error, RuntimeError):
                raise EngineError(f"MLX failed to compute {tokens} tokens: {error}") from error
            raise

    def _decode(self, tokens: list[int], last: int = 0) -> Any:
        """Compute the next of ``tokens`` and add them to the cache; the logits (V,) after the last, None before it.

        With ``last`` (the prompt's length) it is one chunk, and the prompt's last token is computed alone: so the
        logits that a text begins with do not depend on where its prompt was cut.
        """
        if last:
            tokens = tokens[: max(1, min(self._chunk, last - 1 - len(self._cached)))]
        with self._failures_told(len(tokens)):
            logits = self._forward(tokens, self._cache)[0, -1].astype(mx.float32)
            wanted = len(self._cached) + len(tokens) >= last  # otherwise nothing asks for them: no head is computed
            mx.eval(logits if wanted else [layer.state for layer in self._cache])
        self._cached += tokens
        return logits if wanted else None

    def _forward(self, tokens: list[int], cache: list[Any] | None) -> Any:
        return self.model(mx.array([tokens]), cache=cache)


def _load(folder: MlxFolder, progress: Callable[[float], None]) -> Any:
    """The model, its weights in memory, in the type that suits the device."""
    from mlx.utils import tree_flatten
    from mlx_lm.utils import dequantize_model, load_model

    try:
        model, _config = load_model(Path(folder.path), lazy=True)
        if mlx_runtime.on_cpu():
            model = dequantize_model(model)
            model.set_dtype(mx.float32)
        elif folder.dtype in _DTYPES:
            model.set_dtype(_DTYPES[folder.dtype])
        model.eval()
        weights = [array for _name, array in tree_flatten(model.parameters())]
        total = sum(array.nbytes for array in weights) or 1
        done = 0
        for array in weights:
            mx.eval(array)
            done += array.nbytes
            progress(done / total)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as error:
        raise ModelFileError(
            f"MLX cannot load {folder.name}.",
            needs="a model of a kind that mlx-lm knows, with all its weights, and memory for them",
            has=f"{type(error).__name__}: {str(error)[:300]}",
            do="Use llama.cpp for this model, or choose another one.",
            remedy="choose_model",
        ) from error
    return model


def _new_cache(model: Any) -> list[Any]:
    from mlx_lm.models.cache import make_prompt_cache

    cache: list[Any] = make_prompt_cache(model)
    return cache


def _chunk_tokens(model: Any) -> int:
    """Tokens of a prompt that are computed at once: fixed for a model, so that the same prompt gives the same sums."""
    if not mlx_runtime.on_cpu():
        return GPU_CHUNK_TOKENS
    from mlx.utils import tree_flatten

    weights = sum(array.size for _name, array in tree_flatten(model.parameters()))
    fewest, most = CPU_CHUNK_TOKENS
    return min(most, max(fewest, int(CPU_CHUNK_WEIGHTS / weights) // 16 * 16))
