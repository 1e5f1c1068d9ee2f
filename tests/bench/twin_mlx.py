"""mlx-lm's own loop, with its pipelining, in Fathom's engine process; see twins.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from twins import RAW

from fathom.core.events import EngineEvent, GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Usage
from fathom.engines.mlx import MlxBackend, _new_cache
from fathom.weights.mlx_runtime import mx


class Twin(MlxBackend):
    """The backend, and beside it the raw loop on its model."""

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        if request.stop != (RAW,):
            yield from super().generate(request, cancelled)
            return
        from mlx_lm.generate import generate_step  # MLX must come after its BLAS

        prompt = self.vocabulary.prompt(request.messages)
        ids: list[int] = []
        times = []
        started = time.perf_counter()
        for token, _logprobs in generate_step(
            mx.array(prompt), self.model, max_tokens=request.max_tokens + 1, prompt_cache=_new_cache(self.model)
        ):
            times.append(time.perf_counter())
            ids.append(int(token))
        text = b"".join(self.vocabulary.piece(token) for token in ids[:-1]).decode("utf-8", errors="replace")
        usage = Usage(
            prompt_tokens=len(prompt),
            completion_tokens=request.max_tokens,
            prefill_seconds=times[0] - started,
            decode_seconds=times[-1] - times[0],
        )
        yield TokenDelta(text=text, ids=tuple(ids))
        yield GenerationFinished(reason="length", usage=usage)
