"""Many rows on one model: each as it would be alone, prefixes shared, rows that wait, a cancel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.core.errors import EngineError
from fathom.core.events import GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
SYSTEM = Message(role="system", content="You are a helpful assistant who answers in one short and plain sentence.")
QUESTIONS = (
    "What is the capital of France?",
    "How many days has a week?",
    "Which animal says meow?",
    "What do bees make?",
    "What is the colour of grass?",
)
NEAR = 0.5  # nats between the best two tokens below which another rounding may choose the other one


@pytest.fixture(scope="module")
def backend(embedded_model: Path) -> Iterator[Any]:
    from fathom.engines.llamacpp import LlamaCppBackend

    backend = LlamaCppBackend(EngineSpec(model=str(embedded_model), context_tokens=512), threads=1)
    yield backend
    backend.close()


def request(question: str, **options: Any) -> GenerateRequest:
    messages = (SYSTEM, Message(role="user", content=question))
    return GenerateRequest(**({"messages": messages, "max_tokens": 12, "sampling": GREEDY, "logprobs": True} | options))


def alone(backend: Any, wanted: GenerateRequest) -> tuple[list[int], list[float], str]:
    events = list(backend.generate(wanted, lambda: False))
    deltas = [event for event in events if isinstance(event, TokenDelta)]
    assert isinstance(events[-1], GenerationFinished)
    return (
        [token for delta in deltas for token in delta.ids],
        [value for delta in deltas for value in delta.logprobs],
        events[-1].reason,
    )


def assert_same(backend: Any, wanted: GenerateRequest, found: Any) -> None:
    """Equal to the single run, or equal up to a token at which the single run's best two are nearly alike."""
    ids, logprobs, reason = alone(backend, wanted)
    if list(found.ids) == ids:
        assert found.reason == reason
        assert np.abs(np.array(found.logprobs) - logprobs).max() < 0.6
        return
    same = next(n for n, (one, other) in enumerate(zip(ids, found.ids, strict=False)) if one != other)
    prompt = backend.vocabulary.prompt(wanted.messages)
    other = backend.score([*prompt, *ids[:same], found.ids[same]], len(prompt) + same, exact=True)
    assert logprobs[same] - other[0] < NEAR


def test_each_row_is_what_it_is_alone(backend: Any) -> None:
    requests = [request(question) for question in QUESTIONS]
    results = dict(backend.generate_batch(requests, lambda: False, width=3))
    assert sorted(results) == list(range(len(requests)))
    for place, wanted in enumerate(requests):
        assert_same(backend, wanted, results[place])
        found = results[place]
        assert found.usage.completion_tokens == len(found.ids) == len(found.logprobs)
        assert found.text.strip() and "<|im_end|>" not in found.text
        assert found.tokens[-len(found.ids) :] == list(found.ids)


def test_a_row_alone_in_a_batch_is_the_single_run(backend: Any) -> None:
    backend._forget()
    ((_place, found),) = backend.generate_batch([request(QUESTIONS[0])], lambda: False)
    ids, logprobs, _reason = alone(backend, request(QUESTIONS[0]))
    assert list(found.ids) == ids
    assert found.logprobs == pytest.approx(logprobs, abs=0.1)


def test_what_all_begin_with_is_computed_once(backend: Any) -> None:
    requests = [request(question) for question in QUESTIONS]
    prompts = [backend.vocabulary.prompt(wanted.messages) for wanted in requests]
    batch = backend.batch(width=3, room_tokens=512)
    for wanted in requests:
        batch.add(wanted)
    ended = []
    while batch.running:
        ended += batch.step()
    common = batch.trunk_tokens
    assert common > 16
    assert all(prompt[:common] == prompts[0][:common] for prompt in prompts)
    assert all(found.usage.reused_tokens >= common for found in ended)
    batch.close()


def test_the_same_prompt_many_times_gives_many_draws(backend: Any) -> None:
    hot = [request(QUESTIONS[3], sampling=Sampling(temperature=1.5, top_p=1.0, seed=seed)) for seed in range(4)]
    first, again = (dict(backend.generate_batch(hot, lambda: False, width=4)) for _ in range(2))
    assert len({found.ids for found in first.values()}) > 1
    assert [first[place].ids for place in range(4)] == [again[place].ids for place in range(4)]


def test_the_next_turn_of_a_conversation_computes_only_what_is_new(backend: Any) -> None:
    batch = backend.batch(width=2, room_tokens=512)
    batch.add(request(QUESTIONS[0]))
    batch.add(request(QUESTIONS[1]))
    ended: list[Any] = []
    while batch.running:
        ended += batch.step()
    more = backend.vocabulary.tokenize(" And then what happens?", special=False)
    for found in list(ended):
        batch.add_tokens([*found.tokens, *more], request("", max_tokens=4))
    again: list[Any] = []
    while batch.running:
        again += batch.step()
    reused = {found.usage.reused_tokens for found in again}
    assert reused == {len(found.tokens) - 1 for found in ended}
    batch.close()


def test_rows_wait_where_there_is_no_room_for_all(backend: Any) -> None:
    requests = [request(question, max_tokens=4) for question in QUESTIONS]
    batch = backend.batch(width=4, room_tokens=256)
    for place in range(12):
        batch.add(requests[place % len(requests)])
    ended = 0
    while batch.running:
        ended += len(batch.step())
    assert ended == 12
    batch.close()


def test_a_prompt_of_another_kind_takes_the_room_of_the_shared_beginning(backend: Any) -> None:
    long = Message(role="system", content="Answer well. " * 40)
    batch = backend.batch(width=2, room_tokens=256)
    for question in QUESTIONS[:2]:
        batch.add(request("", messages=(long, Message(role="user", content=question)), max_tokens=2))
    ended = batch.step()
    assert batch.trunk_tokens > 100
    number = batch.add(request("", messages=(Message(role="user", content="word " * 180),), max_tokens=2))
    while batch.running:
        ended += batch.step()
    assert [found.number for found in ended][-1] == number
    assert len(ended) == 3
    batch.close()


def test_a_cancel_ends_all_and_leaves_the_engine_usable(backend: Any) -> None:
    wanted = alone(backend, request(QUESTIONS[0]))[0]
    requests = [request(question, max_tokens=200) for question in QUESTIONS]
    seen: list[int] = []
    for place, _found in backend.generate_batch(requests, lambda: bool(seen), width=2):
        seen.append(place)
    assert 1 <= len(seen) <= 2  # those that ended in one step
    assert alone(backend, request(QUESTIONS[0]))[0] == wanted


def test_a_row_can_be_dropped_and_stops_at_its_stop_string(backend: Any) -> None:
    batch = backend.batch(width=2)
    dropped = batch.add(request(QUESTIONS[0], max_tokens=200))
    kept = batch.add(request("Count: one, two, three.", stop=(" ",), prefill="One"))
    batch.step()
    batch.drop(dropped)
    batch.drop(999)
    ended: list[Any] = []
    while batch.running:
        ended += batch.step()
    assert [found.number for found in ended] == [kept]
    assert " " not in ended[0].text
    batch.close()


def test_what_a_batch_cannot_do_is_said(backend: Any) -> None:
    batch = backend.batch(width=2)
    with pytest.raises(EngineError, match="takes no grammar"):
        batch.add(request(QUESTIONS[0], grammar="start: /x/"))
    with pytest.raises(EngineError, match="do not fit into the context of 512"):
        batch.add(request("word " * 600))
    with pytest.raises(EngineError, match="do not fit"):
        batch.add(request(QUESTIONS[0], max_tokens=0))
    assert batch.running == 0
    batch.close()
