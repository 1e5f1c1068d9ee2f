"""Many generations at once on one MLX model, for rollouts and evaluation: rows join and leave between two steps.

Over mlx-lm's BatchGenerator. A finished row keeps its keys and values, so that the next turn of its conversation
computes only what is new. Ids and log-probabilities are as ``MlxBackend.generate`` tells them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fathom.core.protocols import GenerateRequest
from fathom.core.types import Sampling
from fathom.engines.batch import Finished, limit_of
from fathom.engines.generation import Generation
from fathom.engines.tokens import Vocabulary
from fathom.weights.mlx_runtime import mx

PREFILL_CHUNK_TOKENS = 128


@dataclass
class MlxFinished(Finished):
    """With the row's keys and values, for ``add(after=...)``."""

    cache: list[Any] = field(repr=False, default_factory=list)


@dataclass
class _Row:
    generation: Generation
    prompt_tokens: int
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    own: deque[Any] = field(default_factory=deque)  # (1, V) log-probabilities before the penalty, one a step


class MlxBatch:
    """Rows of generations. Not thread-safe; the model must not change while it lives."""

    def __init__(self, model: Any, vocabulary: Vocabulary, *, context_tokens: int, width: int) -> None:
        from mlx_lm.generate import BatchGenerator

        self._vocabulary = vocabulary
        self._context_tokens = context_tokens
        self._rows: dict[int, _Row] = {}
        self._generator: Any = BatchGenerator(
            model,
            stop_tokens=[[token] for token in sorted(vocabulary.eog)],
            completion_batch_size=width,
            prefill_batch_size=min(8, width),
            prefill_step_size=PREFILL_CHUNK_TOKENS,
        )

    @property
    def running(self) -> int:
        """Rows that have not ended, the waiting ones included."""
        return len(self._rows)

    def add(self, request: GenerateRequest, after: MlxFinished | None = None) -> int:
        """Queue a generation; returns its number.

        ``after`` is a finished row whose keys and values are used as far as the prompts agree, and used up by this.
        Raises EngineError when the prompt does not fit, nothing may be generated, or the request has a grammar.
        """
        prompt = self._vocabulary.prompt(request.messages, request.prefill)
        return self.add_tokens(prompt, request, after)

    def add_tokens(self, prompt: list[int], request: GenerateRequest, after: MlxFinished | None = None) -> int:
        """As :meth:`add` for a prompt of token ids; ``request.messages`` are not looked at.

        So sampled text is never tokenised again: a next prompt is ``after.tokens`` and the new turn's ids.
        """
        limit = limit_of(prompt, request, self._context_tokens)
        kept, cache = _reuse(prompt, after)
        generation = Generation(request, None, limit, len(prompt))
        generation.reused = kept
        row = _Row(generation, len(prompt))
        sampling = request.sampling
        penalised = sampling.repeat_penalty != 1.0
        (number,) = self._generator.insert(
            [prompt[kept:]],
            max_tokens=[limit],
            caches=[cache],
            all_tokens=[list(prompt[:kept])],
            samplers=[device_sampler(sampling)],
            logits_processors=[[_penalty(row, sampling.repeat_penalty)] if penalised else []],
        )
        self._rows[number] = row
        return int(number)

    def step(self, cancelled: Callable[[], bool] = lambda: False) -> list[MlxFinished]:
        """Compute one token for each running row (and a piece of the waiting prompts); the rows that ended with it.

        ``cancelled`` is asked before it: a step is short.
        """
        if not self._rows or cancelled():
            return []
        _prompts, responses = self._generator.next()
        ended = []
        for response in responses:
            row = self._rows[response.uid]
            own = row.own.popleft()[0] if row.own else response.logprobs
            row.ids.append(response.token)
            row.logprobs.append(float(own[response.token].item()))
            row.generation.logprobs.append(row.logprobs[-1])
            delta = row.generation.add([response.token], self._vocabulary)
            row.text += delta.text if delta is not None else ""
            if row.generation.reason is not None or response.finish_reason is not None:
                ended.append(self._end(response, row))
        return ended

    def drop(self, number: int) -> None:
        """Give a row up; an unknown number is no error."""
        if self._rows.pop(number, None) is not None:
            self._generator.remove([number])

    def close(self) -> None:
        """Drop all rows and free their memory."""
        for number in list(self._rows):
            self.drop(number)
        self._generator.close()
        mx.clear_cache()

    def _end(self, response: Any, row: _Row) -> MlxFinished:
        del self._rows[response.uid]
        if response.finish_reason is not None:
            cache, tokens = response.prompt_cache, response.all_tokens
        else:  # a stop string, which mlx-lm does not know of
            removed = self._generator.remove([response.uid], return_prompt_caches=True)
            cache, tokens = removed[response.uid]
        rest = row.generation.rest()
        return MlxFinished(
            number=response.uid,
            text=row.text + (rest.text if rest is not None else ""),
            ids=tuple(row.ids),
            logprobs=tuple(row.logprobs),
            reason=row.generation.reason or "length",
            usage=row.generation.usage(0.0),
            tokens=list(tokens),
            cache=cache,
        )


def _reuse(prompt: list[int], after: MlxFinished | None) -> tuple[int, list[Any] | None]:
    """(how many tokens of ``prompt`` the finished row's cache covers, the cache cut to them)."""
    if after is None or not after.cache:
        return 0, None
    from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

    cache, after.cache = after.cache, []
    common = 0
    for ours, wanted in zip(after.tokens, prompt[:-1], strict=False):
        if ours != wanted:
            break
        common += 1
    surplus = len(after.tokens) - common
    if not common:
        return 0, None
    if surplus and not (can_trim_prompt_cache(cache) and trim_prompt_cache(cache, surplus) == surplus):
        return 0, None
    return common, cache


def _penalty(row: _Row, penalty: float) -> Callable[[Any, Any], Any]:
    """Keskar et al. 2019, over the row's own tokens; remembers the log-probabilities from before it."""

    def process(context: Any, logits: Any) -> Any:
        row.own.append(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
        seen = context[row.prompt_tokens :]
        if not seen.size:
            return logits
        values = logits[:, seen]
        logits[:, seen] = mx.where(values > 0, values / penalty, values * penalty)
        return logits

    return process


def device_sampler(sampling: Sampling) -> Callable[[Any], Any]:
    """``sampling.Sampler``'s rules in MLX, for rows of log-probabilities of shape (B, V); returns ids (B,)."""
    if sampling.temperature <= 0:
        return lambda logprobs: mx.argmax(logprobs, axis=-1)
    state = [mx.random.key(sampling.seed) if sampling.seed is not None else None]

    def sample(logprobs: Any) -> Any:
        scaled = logprobs / sampling.temperature
        if 0 < sampling.top_k < scaled.shape[-1]:
            lowest = mx.topk(scaled, sampling.top_k, axis=-1).min(axis=-1, keepdims=True)
            scaled = mx.where(scaled < lowest, -mx.inf, scaled)
        if sampling.top_p < 1:
            order = mx.argsort(-scaled, axis=-1)
            ordered = mx.softmax(mx.take_along_axis(scaled, order, axis=-1), axis=-1)
            before = mx.cumsum(ordered, axis=-1) - ordered
            kept = mx.put_along_axis(mx.zeros_like(before), order, (before < sampling.top_p).astype(before.dtype), -1)
            scaled = mx.where(kept > 0, scaled, -mx.inf)
        if sampling.min_p > 0:
            chances = mx.softmax(scaled, axis=-1)
            likely = chances >= sampling.min_p * chances.max(axis=-1, keepdims=True)
            scaled = mx.where(likely, scaled, -mx.inf)
        if state[0] is None:
            return mx.random.categorical(scaled)
        state[0], key = mx.random.split(state[0])
        return mx.random.categorical(scaled, key=key)

    return sample
