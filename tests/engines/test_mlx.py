"""The MLX backend: a tiny model of random weights for how it behaves, the embedded one for what it says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from fathom.core.errors import EngineError, ModelFileError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling

pytestmark = pytest.mark.mlx

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
POLICY = Sampling(temperature=1.0, top_p=1.0, repeat_penalty=1.0, seed=11)
QUESTION = Message(role="user", content="the rain in the")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A backend on some thousand random weights; its words are noise, its bookkeeping is not."""
    from fathom.engines.mlx import MlxBackend
    from fathom.weights import convert

    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.write(folder / "tiny.gguf", "qwen2", "Q8_0")
    convert.convert(folder / "tiny.gguf", folder / "mlx")
    progress: list[float] = []
    backend = MlxBackend(EngineSpec(model=str(folder / "mlx")), threads=1, on_progress=progress.append)
    assert progress[-1] == 1.0 and progress == sorted(progress)
    yield backend
    backend.close()


def request(*messages: Message, **options: Any) -> GenerateRequest:
    return GenerateRequest(messages=messages or (QUESTION,), **({"max_tokens": 20, "sampling": GREEDY} | options))


def run(backend: Any, *messages: Message, **options: Any) -> list[EngineEvent]:
    return list(backend.generate(request(*messages, **options), lambda: False))


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenDelta))


def ids_of(events: list[EngineEvent]) -> list[int]:
    return [token for event in events if isinstance(event, TokenDelta) for token in event.ids]


def logprobs_of(events: list[EngineEvent]) -> list[float]:
    return [value for event in events if isinstance(event, TokenDelta) for value in event.logprobs]


def end_of(events: list[EngineEvent]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    assert not any(isinstance(event, GenerationFinished) for event in events[:-1])
    return events[-1]


# --- one generation -----------------------------------------------------------------------------------------------


def test_it_says_what_it_is(tiny: Any) -> None:
    info = tiny.info
    assert (info.backend, info.model, info.architecture) == ("mlx", "Tiny", "qwen2")
    assert info.context_tokens == info.train_context_tokens == 256
    assert info.device in ("cpu", "metal", "cuda")


def test_the_prompts_progress_comes_first_and_the_usage_last(tiny: Any) -> None:
    tiny.use_adapter(None)
    message = Message(role="user", content="a " * 70)
    events = run(tiny, message, max_tokens=5)
    progress = [event for event in events if isinstance(event, PrefillProgress)]
    assert [event.done for event in progress] == sorted({event.done for event in progress})
    assert progress[0].done == 0
    assert progress[-1].done == progress[-1].total == tiny.count_tokens([message])
    assert len(progress) > 2
    end = end_of(events)
    assert (end.reason, end.usage.completion_tokens, end.usage.reused_tokens) == ("length", 5, 0)
    assert end.usage.prefill_seconds > 0 and end.usage.decode_seconds > 0


def test_greedy_and_a_seed_repeat_themselves_with_and_without_the_cache(tiny: Any) -> None:
    for sampling in (GREEDY, POLICY):
        tiny.use_adapter(None)  # forgets the cache
        first = run(tiny, sampling=sampling, logprobs=True)
        again = run(tiny, sampling=sampling, logprobs=True)
        assert ids_of(again) == ids_of(first)
        assert end_of(first).usage.reused_tokens == 0
        assert end_of(again).usage.reused_tokens == end_of(again).usage.prompt_tokens - 1
    drawn = {tuple(ids_of(run(tiny, sampling=Sampling(seed=seed), logprobs=True))) for seed in range(3)}
    assert len(drawn) == 3


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_step_ahead_writes_what_one_step_after_the_other_writes(tiny: Any, penalty: float) -> None:
    greedy = Sampling(temperature=0, repeat_penalty=penalty)
    likeliest = Sampling(temperature=1.0, top_k=1, repeat_penalty=penalty)  # drawn after each step, on a CPU
    tiny.use_adapter(None)
    ahead = run(tiny, sampling=greedy, logprobs=True, max_tokens=30)
    tiny.use_adapter(None)
    after = run(tiny, sampling=likeliest, logprobs=True, max_tokens=30)
    assert ids_of(ahead) == ids_of(after)
    assert logprobs_of(ahead) == pytest.approx(logprobs_of(after), abs=1e-4)
    assert end_of(ahead).usage.completion_tokens == end_of(after).usage.completion_tokens


def test_what_was_computed_ahead_and_not_wanted_does_not_stay(tiny: Any) -> None:
    wanted = ids_of(run(tiny, logprobs=True))
    for tokens in (1, 2, 7):
        events = tiny.generate(request(logprobs=True), lambda: False)
        seen = 0
        for event in events:
            seen += isinstance(event, TokenDelta)
            if seen == tokens:
                break
        events.close()
        assert ids_of(run(tiny, logprobs=True)) == wanted


def test_the_next_turn_computes_only_what_is_new(tiny: Any) -> None:
    first = run(tiny)
    answer = Message(role="assistant", content=text_of(first))
    usage = end_of(run(tiny, QUESTION, answer, QUESTION)).usage
    assert usage.reused_tokens >= end_of(first).usage.prompt_tokens


def test_no_tokens_a_stop_string_and_a_prefill(tiny: Any) -> None:
    assert text_of(run(tiny, max_tokens=0)) == ""
    whole = text_of(run(tiny, max_tokens=40))
    stop = whole[6:9]
    events = run(tiny, max_tokens=40, stop=(stop,))
    assert text_of(events) == whole[: whole.index(stop)]
    assert end_of(events).reason == "stop"
    events = run(tiny, prefill="in the ")
    assert end_of(events).usage.prompt_tokens > tiny.count_tokens([QUESTION])
    assert not text_of(events).startswith("in the ")


def test_a_cancel_in_the_prompt_and_in_the_text_leaves_it_usable(tiny: Any) -> None:
    tiny.use_adapter(None)
    wanted = text_of(run(tiny))
    tiny.use_adapter(None)
    long = Message(role="user", content="a " * 90)
    events: list[EngineEvent] = []
    for event in tiny.generate(request(long), lambda: len(events) > 1):
        events.append(event)
    end = end_of(events)
    assert (end.reason, end.usage.completion_tokens) == ("cancelled", 0)
    read = max(event.done for event in events if isinstance(event, PrefillProgress))
    assert 0 < read < end.usage.prompt_tokens - 1
    events.clear()
    for event in tiny.generate(request(), lambda: sum(isinstance(e, TokenDelta) for e in events) >= 3):
        events.append(event)
    assert end_of(events).reason == "cancelled"
    assert text_of(events) and wanted.startswith(text_of(events).rstrip("\ufffd"))
    generation = tiny.generate(request(), lambda: False)
    next(event for event in generation if isinstance(event, TokenDelta))
    generation.close()
    assert text_of(run(tiny)) == wanted


def test_the_context_is_a_limit_that_is_told(tiny: Any) -> None:
    with pytest.raises(EngineError, match=r"has \d+ tokens and does not fit into the context of 256"):
        run(tiny, Message(role="user", content="a b " * 200))
    near = Message(role="user", content="a" * (236 - tiny.count_tokens([Message(role="user", content="")])))
    usage = end_of(run(tiny, near, max_tokens=500)).usage
    assert usage.prompt_tokens + usage.completion_tokens <= 256


def test_a_penalty_changes_the_text_and_not_the_log_probabilities(tiny: Any) -> None:
    plain = run(tiny, logprobs=True)
    penalised = run(tiny, logprobs=True, sampling=Sampling(temperature=0, repeat_penalty=3.0))
    assert len(set(ids_of(penalised))) > len(set(ids_of(plain)))
    scores = tiny.score(tiny.vocabulary.prompt([QUESTION]) + ids_of(penalised))
    assert logprobs_of(penalised) == pytest.approx(scores[-len(ids_of(penalised)) :], abs=1e-3)


# --- scores, batches, adapters ------------------------------------------------------------------------------------


def test_sampled_log_probabilities_are_the_scores_of_the_text(tiny: Any) -> None:
    events = run(tiny, sampling=POLICY, logprobs=True, max_tokens=60)
    ids, prompt = ids_of(events), tiny.vocabulary.prompt([QUESTION])
    scores = tiny.score(prompt + ids)
    assert len(scores) == len(prompt) + len(ids) - 1
    assert logprobs_of(events) == pytest.approx(scores[len(prompt) - 1 :], abs=1e-3)
    assert all(value <= 0 and math.isfinite(value) for value in scores)
    with pytest.raises(EngineError, match="300 tokens"):
        tiny.score([5] * 300)
    assert tiny.score(prompt + ids, len(prompt)) == scores[len(prompt) - 1 :]
    assert len(tiny.score(prompt + ids, cancelled=lambda: True)) == 0


def test_a_batch_says_what_one_by_one_says(tiny: Any) -> None:
    requests = [request(Message(role="user", content="the " * n), max_tokens=10 + n) for n in (1, 9, 4, 2)]
    alone = [run(tiny, *one.messages, max_tokens=one.max_tokens, logprobs=True) for one in requests]
    together = dict(tiny.generate_batch(requests, lambda: False, width=2))
    assert sorted(together) == [0, 1, 2, 3]
    for place, finished in together.items():
        assert list(finished.ids) == ids_of(alone[place])
        assert finished.logprobs == pytest.approx(logprobs_of(alone[place]), abs=1e-3)
        assert (finished.text, finished.reason) == (text_of(alone[place]), end_of(alone[place]).reason)
        assert finished.usage.completion_tokens == len(finished.ids)


@pytest.mark.parametrize(
    "sampling",
    [
        POLICY,
        Sampling(temperature=0.7, top_p=0.8, min_p=0.02, top_k=50, repeat_penalty=1.3, seed=2),
        Sampling(temperature=1.0, top_p=0.9, repeat_penalty=1.0),
    ],
)
def test_sampled_rows_carry_the_models_own_log_probabilities(tiny: Any, sampling: Sampling) -> None:
    requests = [request(Message(role="user", content=word), sampling=sampling) for word in ("in", "the rain")]
    for place, finished in tiny.generate_batch(requests, lambda: False):
        prompt = tiny.vocabulary.prompt(requests[place].messages)
        scores = tiny.score(prompt + list(finished.ids))[len(prompt) - 1 :]
        assert finished.logprobs == pytest.approx(scores, abs=1e-3)


def test_a_row_goes_on_from_where_it_ended(tiny: Any) -> None:
    batch = tiny.batch(width=4)
    first = request(max_tokens=6)
    number = batch.add(first)
    (finished,) = [end for _ in range(12) for end in batch.step()]
    assert finished.number == number and batch.running == 0
    prompt = [*tiny.vocabulary.prompt([QUESTION]), *finished.ids, *tiny.vocabulary.tokenize(" the rain", special=False)]
    batch.add_tokens(prompt, request(max_tokens=6), after=finished)
    batch.add_tokens(prompt, request(max_tokens=6))
    ends = [end for _ in range(20) for end in batch.step()]
    batch.close()
    assert len(ends) == 2 and ends[0].ids == ends[1].ids
    assert sorted(end.usage.reused_tokens for end in ends) == [0, len(finished.tokens)]


def test_rows_leave_a_batch_by_a_stop_string_a_drop_or_a_cancel(tiny: Any) -> None:
    whole = text_of(run(tiny, max_tokens=30))
    stop = whole[5:8]
    ((_, finished),) = tiny.generate_batch([request(max_tokens=30, stop=(stop,))], lambda: False)
    assert (finished.text, finished.reason) == (whole[: whole.index(stop)], "stop")
    batch = tiny.batch()
    kept, dropped = batch.add(request(max_tokens=4)), batch.add(request(max_tokens=200))
    batch.step()
    batch.drop(dropped)
    assert [end.number for _ in range(12) for end in batch.step()] == [kept]
    assert list(tiny.generate_batch([request()], lambda: True)) == []
    with pytest.raises(EngineError, match="no grammar"):
        batch.add(request(grammar='start: "x"'))
    with pytest.raises(EngineError, match="do not fit"):
        batch.add(request(Message(role="user", content="a b " * 200)))
    batch.close()


def write_adapter(folder: Path, weights: dict[str, Any], **config: Any) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    save_file(weights, folder / "adapters.safetensors")
    document = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 2, "scale": 1.5, "dropout": 0.0}}
    document["lora_parameters"]["keys"] = ["self_attn.q_proj"]  # type: ignore[index]
    (folder / "adapter_config.json").write_text(json.dumps(document | config))
    return folder


def pair_of(seed: int, wide: int = 64) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    place = "model.layers.1.self_attn.q_proj"
    return {
        f"{place}.lora_a": random.normal(0, 0.5, (64, 2)).astype(np.float32),
        f"{place}.lora_b": random.normal(0, 0.5, (2, wide)).astype(np.float32),
    }


def test_adapters_are_switched_and_removed_without_a_trace(tiny: Any, tmp_path: Path) -> None:
    from fathom.weights.mlx_runtime import mx

    text = tiny.vocabulary.tokenize("the rain in a the in", special=False)
    bare = tiny.score(text)
    one, two = pair_of(1), pair_of(2)
    tiny.adapters.load("one", write_adapter(tmp_path / "one", one))
    tiny.adapters.load("two", write_adapter(tmp_path / "two", two))
    assert tiny.score(text) == bare  # loaded is not switched on
    tiny.use_adapter("one")
    with_one = tiny.score(text)
    tiny.use_adapter("two")
    with_two = tiny.score(text)
    tiny.use_adapter(None)
    assert tiny.score(text) == bare
    assert with_one != bare and with_two != bare and with_one != with_two
    place = "model.layers.1.self_attn.q_proj"
    layer = tiny.model.layers[1].self_attn.q_proj
    kept = layer.weight
    layer.weight = kept + 1.5 * mx.array((one[f"{place}.lora_a"] @ one[f"{place}.lora_b"]).T)
    assert tiny.score(text) == pytest.approx(with_one, abs=1e-4)  # W + scale (A B)^T
    layer.weight = kept
    tiny.use_adapter("one")
    assert tiny.score(text) == with_one
    tiny.adapters.remove("one")
    assert tiny.score(text) == bare
    assert tiny.adapters.names == ("two",)
    with pytest.raises(EngineError, match="loaded: two"):
        tiny.use_adapter("one")
    tiny.adapters.remove("two")


def test_a_new_adapter_forgets_what_the_old_one_had_cached(tiny: Any, tmp_path: Path) -> None:
    tiny.adapters.load("one", write_adapter(tmp_path / "one", pair_of(3)))
    run(tiny)
    tiny.use_adapter("one")
    assert end_of(run(tiny)).usage.reused_tokens == 0
    tiny.use_adapter(None)
    tiny.adapters.remove("one")


@pytest.mark.parametrize(
    ("weights", "config", "says"),
    [
        (pair_of(1, wide=32), {}, "shape"),
        ({}, {}, "only a part"),
        (dict(list(pair_of(1).items())[:1]), {}, "lora_b"),
        (pair_of(1), {"fine_tune_type": "full"}, "'full'"),
        (pair_of(1), {"lora_parameters": {"rank": 2, "alpha": 16}}, "scale"),
        (pair_of(1), {"lora_parameters": {"rank": 10**6, "scale": 1.0}}, "rank"),
        (pair_of(1), {"num_layers": 2}, "only a part"),
    ],
)
def test_an_adapter_that_does_not_fit_changes_nothing(
    tiny: Any, tmp_path: Path, weights: dict[str, Any], config: dict[str, Any], says: str
) -> None:
    bare = tiny.score([5, 6, 7, 8])
    tiny.adapters.load("good", write_adapter(tmp_path / "good", pair_of(4)))
    tiny.use_adapter("good")
    good = tiny.score([5, 6, 7, 8])
    with pytest.raises(ModelFileError) as caught:
        tiny.adapters.load("bad", write_adapter(tmp_path / "bad", weights, **config))
    assert says in caught.value.has
    assert tiny.score([5, 6, 7, 8]) == good
    tiny.adapters.remove("good")
    assert tiny.score([5, 6, 7, 8]) == bare
    with pytest.raises(ModelFileError, match="no adapter_config"):
        tiny.adapters.load("none", tmp_path)


# --- grammars -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_held_to_a_grammar(tiny: Any, seed: int) -> None:
    grammar = r'start: <tool_call> body "</tool_call>"' + "\n"
    grammar += 'body: %json {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}, '
    grammar += '"required": ["n"], "additionalProperties": false, "x-guidance": {"whitespace_flexible": false}}'
    hot = Sampling(temperature=2.0, top_p=1.0, seed=seed)
    events = run(tiny, grammar=grammar, sampling=hot, max_tokens=60, logprobs=seed % 2 == 0)
    found = re.fullmatch(r"<tool_call>(.*)</tool_call>", text_of(events), re.DOTALL)
    assert found and 1 <= json.loads(found[1])["n"] <= 9
    assert end_of(events).reason == "stop"
    if seed % 2 == 0:
        assert tiny.vocabulary.text_of(ids_of(events)[0]) == "<tool_call>"
        assert len(ids_of(events)) == end_of(events).usage.completion_tokens


def test_a_broken_grammar_is_told_and_the_engine_goes_on(tiny: Any) -> None:
    with pytest.raises(EngineError, match="the grammar is refused"):
        run(tiny, grammar="start: nothing_defined")
    assert text_of(run(tiny, grammar='start: "yes"')) == "yes"


# --- against llama.cpp --------------------------------------------------------------------------------------------


def llama_logits(path: Path, ids: list[int]) -> Any:
    """llama.cpp's logits at each of ``ids``, shape (T, V)."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=1)
    model.eval(ids)
    logits = np.array(model.scores[: len(ids)], dtype=np.float64)
    model.close()
    return logits


def log_softmax(logits: Any) -> Any:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.engine
@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_float_weights_give_llama_cpps_logits(tmp_path: Path, fathom_home: Path, architecture: str) -> None:
    """Bound: mean |difference| 0.005, all argmax the same (llama.cpp keeps keys and values in float16)."""
    from fathom.engines.mlx import MlxBackend

    path = tmp_path / "tiny.gguf"
    tiny_models.write(path, architecture, "F32", tied=architecture == "llama")
    ids = [int(token) for token in np.random.default_rng(3).integers(4, 260, 100)]
    backend = MlxBackend(EngineSpec(model=str(path)), threads=1)
    ours = log_softmax(np.array(backend._forward(ids, None)[0], dtype=np.float64))
    backend.close()
    theirs = log_softmax(llama_logits(path, ids))
    assert np.abs(ours - theirs).mean() < 0.005
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() >= 0.98


@pytest.mark.engine
def test_the_embedded_model_says_the_same_on_both(embedded_model: Path, mlx_model: Path) -> None:
    """Bound over 200 tokens: mean |difference| of all log-probabilities 0.25, argmax the same in 97 %.

    The weights are the same to the bit; llama.cpp rounds activations to 8 bits before its 4-bit products (measured
    0.157 and 99 %; 0.014 and 100 % when it gets the same weights as float32). Swapped rows would give more than 3.
    """
    from fathom.engines.mlx import MlxBackend

    backend = MlxBackend(EngineSpec(model=str(mlx_model)), threads=1)
    text = "The quick brown fox jumps over the lazy dog. Paris is the capital of France; the Seine runs through it. "
    ids = backend.vocabulary.tokenize(text * 9, special=False)[:200]
    ours = log_softmax(np.array(backend._forward(ids, None)[0], dtype=np.float64))
    theirs = log_softmax(llama_logits(embedded_model, ids))
    assert np.abs(ours - theirs).mean() < 0.25
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() >= 0.97
    events = run(backend, Message(role="user", content="What is the capital of France?"), max_tokens=12)
    backend.close()
    assert "Paris" in text_of(events)


def test_junk_is_refused_before_mlx_sees_it(fathom_home: Path, tmp_path: Path) -> None:
    from fathom.engines.mlx import MlxBackend

    path = tmp_path / "junk.gguf"
    path.write_bytes(b"GGUF" + bytes(200))
    for spec in (path, tmp_path):
        with pytest.raises(ModelFileError):
            MlxBackend(EngineSpec(model=str(spec)))


def test_weights_that_do_not_fit_the_settings_are_told(tmp_path: Path) -> None:
    from fathom.engines.mlx import MlxBackend
    from fathom.weights import convert

    tiny_models.write(tmp_path / "tiny.gguf")
    convert.convert(tmp_path / "tiny.gguf", tmp_path / "mlx")
    config = json.loads((tmp_path / "mlx" / "config.json").read_bytes())
    (tmp_path / "mlx" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelFileError, match="MLX cannot load"):
        MlxBackend(EngineSpec(model=str(tmp_path / "mlx")))
    (tmp_path / "mlx" / "config.json").write_text(json.dumps(config | {"model_type": "no_such_kind"}))
    with pytest.raises(ModelFileError, match="MLX cannot load"):
        MlxBackend(EngineSpec(model=str(tmp_path / "mlx")))
