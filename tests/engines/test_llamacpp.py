"""The real backend on the real model: streaming, stopping, cache reuse, limits, log-probabilities."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fathom.core.errors import EngineError, ModelFileError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
QUESTION = Message(role="user", content="Name three rivers of Europe.")


@pytest.fixture(scope="module")
def backend(embedded_model: Path) -> Iterator[Any]:
    from fathom.engines.llamacpp import LlamaCppBackend

    progress: list[float] = []
    backend = LlamaCppBackend(EngineSpec(model=str(embedded_model)), on_progress=progress.append)
    assert progress[-1] == 1.0 and progress == sorted(progress)
    yield backend
    backend.close()


def run(backend: Any, *messages: Message, **options: Any) -> list[EngineEvent]:
    request = GenerateRequest(messages=messages, **({"max_tokens": 40, "sampling": GREEDY} | options))
    return list(backend.generate(request, lambda: False))


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenDelta))


def end_of(events: list[EngineEvent]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    assert not any(isinstance(event, GenerationFinished) for event in events[:-1])
    return events[-1]


def test_the_context_is_what_the_model_was_trained_on_at_most(backend: Any, embedded_model: Path) -> None:
    from fathom.engines.llamacpp import LlamaCppBackend

    assert backend.info.context_tokens == backend.info.train_context_tokens == 8192
    large = LlamaCppBackend(EngineSpec(model=str(embedded_model), context_tokens=100_000))
    assert large.info.context_tokens == 8192
    large.close()
    small = LlamaCppBackend(EngineSpec(model=str(embedded_model), context_tokens=512))
    assert small.info.context_tokens == 512
    small.close()


def test_tokens_stream_one_by_one_after_the_prompts_progress(backend: Any) -> None:
    events = run(backend, QUESTION)
    kinds = [kind for kind, _ in itertools.groupby(type(event) for event in events)]
    assert kinds == [PrefillProgress, TokenDelta, GenerationFinished]
    last = [event for event in events if isinstance(event, PrefillProgress)][-1]
    assert last.done == last.total == backend.count_tokens([QUESTION])
    assert sum(isinstance(event, TokenDelta) for event in events) > 20
    usage = end_of(events).usage
    assert usage.completion_tokens == 40
    assert usage.prefill_seconds > 0 and usage.decode_seconds > 0


def test_greedy_repeats_itself_and_a_seed_does_too(backend: Any) -> None:
    assert text_of(run(backend, QUESTION)) == text_of(run(backend, QUESTION))
    hot = Sampling(temperature=1.0, seed=7)
    assert text_of(run(backend, QUESTION, sampling=hot)) == text_of(run(backend, QUESTION, sampling=hot))
    assert len({text_of(run(backend, QUESTION, sampling=Sampling(seed=seed))) for seed in range(4)}) > 1


def test_the_length_limit_and_the_end_of_the_turn_are_told_apart(backend: Any) -> None:
    cut = end_of(run(backend, QUESTION, max_tokens=5))
    assert (cut.reason, cut.usage.completion_tokens) == ("length", 5)
    events = run(backend, Message(role="user", content="Say only: Yes"), max_tokens=300)
    assert end_of(events).reason == "stop"
    assert "<|im_end|>" not in text_of(events)


def test_no_tokens_at_all_is_allowed(backend: Any) -> None:
    events = run(backend, QUESTION, max_tokens=0)
    assert text_of(events) == ""
    assert end_of(events).reason == "length"


def test_a_stop_string_ends_it_and_is_not_in_the_text(backend: Any) -> None:
    whole = text_of(run(backend, QUESTION))
    stop = whole[10:19]  # across several tokens
    events = run(backend, QUESTION, stop=(stop,))
    assert text_of(events) == whole[: whole.index(stop)]
    assert end_of(events).reason == "stop"


def test_a_prefill_is_continued_and_not_echoed(backend: Any) -> None:
    text = text_of(run(backend, QUESTION, prefill='<tool_call>\n{"name": "'))
    assert not text.startswith("<tool_call>")
    assert text != text_of(run(backend, QUESTION))


def test_the_second_turn_reuses_the_first_turns_cache(backend: Any) -> None:
    first = run(backend, QUESTION)
    answer = Message(role="assistant", content=text_of(first))
    events = run(backend, QUESTION, answer, Message(role="user", content="And of Asia?"))
    usage = end_of(events).usage
    assert usage.reused_tokens >= end_of(first).usage.prompt_tokens
    assert usage.prompt_tokens > usage.reused_tokens
    assert isinstance(events[0], PrefillProgress) and events[0].reused == usage.reused_tokens


def test_reuse_does_not_change_the_text(backend: Any) -> None:
    run(backend, Message(role="user", content="Something else entirely."))
    fresh = text_of(run(backend, QUESTION))
    again = run(backend, QUESTION)
    assert end_of(again).usage.reused_tokens > 0
    assert text_of(again) == fresh


def long_prompt(backend: Any, tokens: int = 6000) -> Message:
    sentence = "The quick brown fox jumps over the lazy dog. "
    message = Message(role="user", content=sentence * (tokens // 10))
    assert backend.count_tokens([message]) > tokens * 0.9
    return message


def test_a_cancel_in_the_prompt_ends_at_once_and_leaves_the_engine_usable(backend: Any) -> None:
    wanted = text_of(run(backend, QUESTION))
    events: list[EngineEvent] = []
    request = GenerateRequest(messages=(long_prompt(backend),), max_tokens=10, sampling=GREEDY)
    for event in backend.generate(request, lambda: bool(events)):
        events.append(event)
    end = end_of(events)
    assert end.reason == "cancelled"
    read = max(event.done for event in events if isinstance(event, PrefillProgress))
    assert read < end.usage.prompt_tokens / 4
    assert end.usage.completion_tokens == 0
    assert text_of(run(backend, QUESTION)) == wanted


def test_a_cancel_inside_of_a_native_call_stops_that_call(backend: Any) -> None:
    asked = itertools.count()
    request = GenerateRequest(messages=(long_prompt(backend),), max_tokens=10, sampling=GREEDY)
    # The loop asks once before each chunk; the second question comes from the watching thread, in the first chunk.
    events = list(backend.generate(request, lambda: next(asked) > 0))
    assert end_of(events).reason == "cancelled"
    assert max(event.done for event in events if isinstance(event, PrefillProgress)) < 600


def test_a_cancel_while_it_writes_keeps_what_was_written(backend: Any) -> None:
    wanted = text_of(run(backend, QUESTION))
    events: list[EngineEvent] = []
    request = GenerateRequest(messages=(QUESTION,), max_tokens=40, sampling=GREEDY)
    for event in backend.generate(request, lambda: text_of(events).count(" ") >= 4):
        events.append(event)
    assert end_of(events).reason == "cancelled"
    assert wanted.startswith(text_of(events))
    assert text_of(run(backend, QUESTION)) == wanted


def test_a_generation_that_is_dropped_half_way_leaves_the_engine_usable(backend: Any) -> None:
    wanted = text_of(run(backend, QUESTION))
    generation = backend.generate(GenerateRequest(messages=(QUESTION,), max_tokens=40), lambda: False)
    next(event for event in generation if isinstance(event, TokenDelta))
    generation.close()
    assert text_of(run(backend, QUESTION)) == wanted


def test_a_prompt_that_does_not_fit_is_told_with_both_numbers(embedded_model: Path) -> None:
    from fathom.engines.llamacpp import LlamaCppBackend

    backend = LlamaCppBackend(EngineSpec(model=str(embedded_model), context_tokens=256))
    message = Message(role="user", content="word " * 500)
    with pytest.raises(EngineError, match=r"has \d+ tokens and does not fit into the context of 256"):
        run(backend, message)
    near = Message(role="user", content="word " * (230 - backend.count_tokens([Message(role="user", content="")])))
    events = run(backend, near, max_tokens=500)
    assert end_of(events).reason in ("length", "stop")
    usage = end_of(events).usage
    assert usage.prompt_tokens + usage.completion_tokens <= 256
    backend.close()


def test_log_probabilities_and_ids_are_those_of_the_sampled_tokens(backend: Any) -> None:
    message = Message(role="user", content="Say only: Yes")
    events = run(backend, message, max_tokens=300, logprobs=True, sampling=Sampling(temperature=0.7, seed=3))
    deltas = [event for event in events if isinstance(event, TokenDelta)]
    ids = [token for delta in deltas for token in delta.ids]
    logprobs = [value for delta in deltas for value in delta.logprobs]
    assert len(ids) == len(logprobs) == end_of(events).usage.completion_tokens
    assert all(value <= 0 and math.isfinite(value) for value in logprobs)
    vocabulary = backend.vocabulary
    assert ids[-1] in vocabulary.eog  # the decision to stop is a decision of the model, too
    spelled = b"".join(vocabulary.piece(token) for token in ids[:-1]).decode()
    assert spelled == text_of(events)


def test_log_probabilities_do_not_depend_on_temperature_or_penalty(backend: Any) -> None:
    def first(sampling: Sampling) -> TokenDelta:
        events = run(backend, QUESTION, max_tokens=1, logprobs=True, sampling=sampling)
        return next(event for event in events if isinstance(event, TokenDelta))

    greedy = first(GREEDY)
    cool = first(Sampling(temperature=0.01, repeat_penalty=1.3, seed=1))
    assert greedy.ids == cool.ids
    assert greedy.logprobs == pytest.approx(cool.logprobs, abs=1e-4)


def test_without_being_asked_no_ids_are_sent(backend: Any) -> None:
    assert all(not event.ids for event in run(backend, QUESTION) if isinstance(event, TokenDelta))


def test_a_repeat_penalty_breaks_a_loop(backend: Any) -> None:
    message = Message(role="user", content="Repeat the word sea without end: sea sea sea sea sea sea sea")
    options: dict[str, Any] = {"max_tokens": 120, "prefill": "sea sea sea sea sea sea sea sea"}
    loop = text_of(run(backend, message, **options))
    broken = text_of(run(backend, message, sampling=Sampling(temperature=0, repeat_penalty=1.5), **options))
    assert loop.count("sea") > 2 * broken.count("sea")


def test_a_characters_bytes_are_never_sent_apart(backend: Any) -> None:
    events = run(backend, Message(role="user", content="Copy: 🜁🜂 𓂀 日本語 ünï"), prefill="🜁🜂 𓂀 日本", max_tokens=60)
    assert "\ufffd" not in "".join(event.text for event in events[:-2] if isinstance(event, TokenDelta))


def test_counting_is_the_prompts_size_and_of_a_tool_message_the_bare_texts(backend: Any) -> None:
    usage = end_of(run(backend, QUESTION, max_tokens=1)).usage
    assert backend.count_tokens([QUESTION]) == usage.prompt_tokens
    assert backend.count_tokens([Message(role="tool", content="one two three")]) == 3


def test_a_damaged_file_is_refused_before_llama_cpp_sees_it(tmp_path: Path) -> None:
    from fathom.engines.llamacpp import LlamaCppBackend

    path = tmp_path / "junk.gguf"
    path.write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(ModelFileError):
        LlamaCppBackend(EngineSpec(model=str(path)))


def test_what_llama_cpp_refuses_is_an_engine_error_with_its_reason(embedded_model: Path, tmp_path: Path) -> None:
    from fathom.engines.llamacpp import LlamaCppBackend

    data = embedded_model.read_bytes()
    path = tmp_path / "odd.gguf"
    architecture = b"general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00llama"
    assert data.count(architecture) == 1
    path.write_bytes(data.replace(architecture, architecture[:-5] + b"lemma"))
    with pytest.raises(EngineError, match="unknown model architecture"):
        LlamaCppBackend(EngineSpec(model=str(path)))
