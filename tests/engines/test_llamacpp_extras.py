"""llama.cpp beyond plain generation: KV types, threads, adapters, log-probabilities of a given text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from fathom.core.errors import EngineError, ModelFileError
from fathom.core.events import GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
QUESTION = Message(role="user", content="Name three rivers of Europe.")


def load(model: Path, **options: Any) -> Any:
    from fathom.engines.llamacpp import LlamaCppBackend

    return LlamaCppBackend(EngineSpec(**({"model": str(model), "context_tokens": 512} | options)), threads=1)


@pytest.fixture(scope="module")
def backend(embedded_model: Path) -> Iterator[Any]:
    backend = load(embedded_model)
    yield backend
    backend.close()


def write(backend: Any, tokens: int = 16, **options: Any) -> tuple[str, list[int], list[float]]:
    request = GenerateRequest(
        messages=(QUESTION,), max_tokens=tokens, **({"sampling": GREEDY, "logprobs": True} | options)
    )
    deltas = [event for event in backend.generate(request, lambda: False) if isinstance(event, TokenDelta)]
    return (
        "".join(delta.text for delta in deltas),
        [token for delta in deltas for token in delta.ids],
        [value for delta in deltas for value in delta.logprobs],
    )


def write_adapter(path: Path, *, width: int = 576, architecture: str = "llama", kind: str = "adapter") -> Path:
    """A LoRA of rank 2 on the first layer's queries of SmolLM2 135M, strong enough to be seen."""
    numbers = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0)
    for layer in range(4):
        name = f"blk.{layer}.attn_q.weight"
        writer.add_tensor(f"{name}.lora_a", numbers.normal(size=(2, width)).astype(np.float32))
        writer.add_tensor(f"{name}.lora_b", numbers.normal(size=(width, 2)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# --- the cache's type, batches, threads ---------------------------------------------------------------------------


def test_a_q8_0_cache_writes_nearly_what_an_f16_cache_writes(backend: Any, embedded_model: Path) -> None:
    packed = load(embedded_model, kv_type="q8_0", batch_tokens=64)
    text, ids, logprobs = write(backend, 6)
    _text, packed_ids, packed_logprobs = write(packed, 6)
    assert packed_ids[0] == ids[0] and text
    assert packed_logprobs[0] == pytest.approx(logprobs[0], abs=0.5)
    packed.close()


def test_a_q8_0_cache_without_flash_attention_is_refused_plainly(embedded_model: Path) -> None:
    with pytest.raises(EngineError, match="needs flash attention, which is switched off"):
        load(embedded_model, kv_type="q8_0", flash_attention=False)


def test_without_flash_attention_it_writes_as_well(backend: Any, embedded_model: Path) -> None:
    plain = load(embedded_model, flash_attention=False)
    assert write(plain, 4)[1][0] == write(backend, 4)[1][0]
    plain.close()


def test_the_number_of_threads_changes_without_a_reload(backend: Any) -> None:
    wanted = write(backend)[0]
    backend.use_threads(2)
    assert backend._threads.threads == 2
    assert write(backend, 4)[0]
    backend.use_threads(1)
    assert backend._threads.threads == 1
    assert write(backend)[0] == wanted


# --- adapters -----------------------------------------------------------------------------------------------------


def test_an_adapter_comes_and_goes_without_a_trace(backend: Any, tmp_path: Path) -> None:
    bare = write(backend)
    backend.adapters.load("tiny", write_adapter(tmp_path / "tiny.gguf"))
    assert write(backend)[2] == pytest.approx(bare[2], abs=1e-6)  # loaded is not switched on
    backend.use_adapter("tiny")
    changed = write(backend)
    assert abs(changed[2][0] - bare[2][0]) > 0.01
    backend.use_adapter("tiny", 0.0)
    assert write(backend)[1] == bare[1]
    backend.use_adapter(None)
    backend.adapters.remove("tiny")
    assert write(backend) == bare  # to the last bit
    assert backend.adapters.names == ()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 64}, "tensor"),
        ({"architecture": "qwen2"}, "for qwen2, where the model is llama"),
        ({"kind": "model"}, "no LoRA adapter"),
    ],
)
def test_a_bad_adapter_is_an_error_and_changes_nothing(
    backend: Any, tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    bare = write(backend)
    with pytest.raises(ModelFileError, match=why):
        backend.adapters.load("bad", write_adapter(tmp_path / "bad.gguf", **options))
    assert backend.adapters.names == ()
    assert write(backend)[1] == bare[1]


def test_a_cut_off_adapter_is_refused_and_an_unknown_one_too(backend: Any, tmp_path: Path) -> None:
    whole = write_adapter(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="not an adapter"):
        backend.adapters.load("cut", cut)
    with pytest.raises(EngineError, match="no adapter 'cut'; loaded: none"):
        backend.use_adapter("cut")


# --- log-probabilities --------------------------------------------------------------------------------------------


def test_scores_agree_with_what_was_sampled(backend: Any) -> None:
    backend._forget()
    _text, ids, sampled = write(backend, 24, sampling=Sampling(temperature=1.0, seed=4))
    prompt = backend.vocabulary.prompt((QUESTION,))
    exact = backend.score([*prompt, *ids], len(prompt), exact=True)
    assert exact == pytest.approx(sampled, abs=1e-3)
    scores = np.array(backend.score([*prompt, *ids], len(prompt)))
    gaps = np.abs(scores - sampled)
    assert gaps.mean() < 0.1 and gaps.max() < 0.6
    assert backend.score([*prompt, *ids], len(prompt)) == scores.tolist()  # and repeat themselves


def test_a_whole_text_is_scored_in_several_batches(backend: Any) -> None:
    tokens = backend.vocabulary.tokenize("The cat sat on the mat, and the dog lay on the rug. " * 20, special=False)
    assert 200 < len(tokens) < 512
    scores = backend.score(tokens)
    assert len(scores) == len(tokens) - 1
    assert max(scores) <= 0
    assert np.mean(scores[:20]) < np.mean(scores[-100:])  # what repeats itself is likely
    assert backend.score(tokens[:1]) == []
    with pytest.raises(EngineError, match="does not fit into the context of 512"):
        backend.score(tokens * 5)


def test_a_cancelled_score_is_short_and_leaves_the_engine_usable(backend: Any) -> None:
    bare = write(backend)
    tokens = backend.vocabulary.tokenize("word " * 400, special=False)
    assert len(backend.score(tokens, cancelled=lambda: True)) < len(tokens) - 1
    assert write(backend)[1] == bare[1]


def test_a_generation_still_ends_after_all_this(backend: Any) -> None:
    request = GenerateRequest(messages=(QUESTION,), max_tokens=3, sampling=GREEDY)
    assert isinstance(list(backend.generate(request, lambda: False))[-1], GenerationFinished)


# --- shifting, experimental ---------------------------------------------------------------------------------------


def test_the_cut_is_the_result_that_left() -> None:
    from fathom.engines.llamacpp_shift import Cut, find_cut

    before, result, after = list(range(50)), list(range(1000, 1100)), list(range(300, 360))
    blank = [7, 8, 9]
    assert find_cut(before + result + after, before + blank + after + [1, 2]) == Cut(common=50, start=53, end=150)
    assert find_cut(before + result + after, before + after) == Cut(common=50, start=50, end=150)
    assert find_cut(before + result + after, before + result + after + [1, 2]) is None  # only more of it
    assert find_cut(before + result + after, before + blank + after[:10]) is None  # too little to be sure
    assert find_cut(before + result[:5] + after, before + blank + after) is None  # not worth it
    assert find_cut(before + result + after, list(range(60, 160))) is None
    assert find_cut([], before) is None


def test_shifting_computes_less_and_is_never_under_log_probabilities(embedded_model: Path) -> None:
    from fathom.engines.llamacpp import LlamaCppBackend

    def view(result: str) -> tuple[Message, ...]:
        return (
            QUESTION,
            Message(role="assistant", content="I search for it."),
            Message(role="user", content=result),
            Message(role="assistant", content="I have found a list of rivers, and look at the longest of them now."),
            Message(role="user", content="The Volga is the longest river of Europe. It ends in the Caspian Sea."),
        )

    spec = EngineSpec(model=str(embedded_model), context_tokens=512, shift_memory=True)
    backend = LlamaCppBackend(spec, threads=1)

    def read(messages: tuple[Message, ...], **options: Any) -> Any:
        request = GenerateRequest(messages=messages, max_tokens=2, sampling=GREEDY, **options)
        return list(backend.generate(request, lambda: False))[-1].usage

    full, short = view("The Danube and the Rhine are rivers. " * 15), view("[left out]")
    read(full)
    shifted = read(short)
    assert shifted.reused_tokens == shifted.prompt_tokens - 1  # all but the token whose logits are asked for
    assert backend._shifted
    asked = read(short, logprobs=True)
    assert asked.reused_tokens == 0 and not backend._shifted
    backend.close()
