"""The engine over OpenAI's protocol, against a server that refuses, hangs, lies and breaks off."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_server import Chat, ChatServer, Peer, good, serving
from fathom.core.errors import EndpointError, UserError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.settings import EndpointSettings
from fathom.core.types import Message, Sampling, ToolSpec
from fathom.engines.remote import CONTINUE, RemoteEngine
from fathom.engines.remote_address import read_address
from fathom.engines.remote_refusals import retry_after
from fathom.engines.remote_text import DeltaText, estimate
from fathom.prompting.formats import load_format

KEY = "sk-of-the-remote-tests"
QUESTION = (Message(role="system", content="Be short."), Message(role="user", content="Hello?"))
SEARCH = ToolSpec(name="google_search", description="Search.", parameters={"type": "object", "properties": {}})


def short(**options: Any) -> GenerateRequest:
    return GenerateRequest(**({"messages": QUESTION, "max_tokens": 20} | options))


async def opened(server: ChatServer, key: str = "", **settings: Any) -> RemoteEngine:
    engine = await RemoteEngine.open(EndpointSettings(base_url=server.base, **settings), key)
    engine.pause_s = 0.001
    return engine


async def collect(engine: RemoteEngine, request: GenerateRequest | None = None) -> list[EngineEvent]:
    return [event async for event in engine.generate(request or short())]


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenDelta))


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)
    gc.collect()  # a connection that was left open warns here, and a warning fails


def outcome(chat: Chat, request: GenerateRequest | None = None, **settings: Any) -> tuple[list[EngineEvent], int]:
    """What a generation yields, and how often the server was asked."""
    found: list[EngineEvent] = []
    asked = 0

    async def main() -> None:
        nonlocal asked
        async with serving(ChatServer()) as server:
            server.chat = chat
            engine = await opened(server, **settings)
            try:
                found.extend(await collect(engine, request))
            finally:
                asked = len(server.chats)
                await engine.close()

    run(main())
    return found, asked


def refused(chat: Chat, **settings: Any) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        outcome(chat, **settings)
    return caught.value


def answering(status: int, body: bytes | object = b"", **headers: str) -> Chat:
    return lambda peer: peer.answer(status, body, **headers)


# --- a good answer ------------------------------------------------------------------------------------------------


def test_it_streams_with_the_servers_usage_and_sends_what_was_asked() -> None:
    async def main() -> None:
        async with serving(ChatServer("vllm", max_model_len=40960)) as server:
            engine = await opened(server, KEY)
            assert engine.info.context_tokens == 40960 and engine.info.model == "qwen3-8b"
            assert engine.info.host == "" and not engine.info.constrained
            request = short(
                sampling=Sampling(temperature=0.3, top_p=0.9, top_k=20, seed=5), stop=("</tool_call>",), prefill="I am"
            )
            events = await collect(engine, request)
            assert isinstance(events[0], PrefillProgress) and isinstance(events[1], PrefillProgress)
            assert text_of(events) == "Hello there"
            done = events[-1]
            assert isinstance(done, GenerationFinished) and done.reason == "stop"
            assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (7, 2)
            [asked] = server.chats
            assert asked.headers["authorization"] == f"Bearer {KEY}"
            assert asked.body["messages"][-1] == {"role": "assistant", "content": "I am"}
            assert asked.body["continue_final_message"] is True  # vLLM continues the assistant's message
            wanted = {"temperature": 0.3, "top_p": 0.9, "top_k": 20, "seed": 5, "max_tokens": 20, "stream": True}
            assert wanted.items() <= asked.body.items()
            assert asked.body["stop"] == ["</tool_call>"] and "grammar" not in asked.body
            await engine.close()
            await engine.close()

    run(main())


def test_a_server_of_an_unknown_kind_gets_only_what_the_protocol_has() -> None:
    async def main() -> None:
        async with serving(ChatServer()) as server:
            engine = await opened(server)
            assert not engine.info.schemas
            await collect(engine, short(prefill="I am", grammar='start: "x"'))
            body = server.chats[0].body
            assert set(body) == {
                "model", "messages", "stream", "stream_options", "max_tokens", "temperature", "top_p",
            }  # fmt: skip
            assert [each["content"] for each in body["messages"][-2:]] == ["I am", CONTINUE]
            await engine.close()

    run(main())


def test_without_usage_the_text_is_counted() -> None:
    async def chat(peer: Peer) -> None:
        await peer.begin()
        await peer.say("Hello", finish="length")
        await peer.end()

    events, _ = outcome(chat)
    done = events[-1]
    assert isinstance(done, GenerationFinished) and done.reason == "length"
    assert done.usage.completion_tokens == estimate("Hello") == 2
    assert done.usage.prompt_tokens == estimate("Be short.") + estimate("Hello?") + 3 * 8


def test_a_server_that_does_not_stream_is_understood() -> None:
    answer = {"choices": [{"message": {"role": "assistant", "content": "All at once"}, "finish_reason": "stop"}]}
    events, _ = outcome(answering(200, answer, Content_Type="application/json"))
    assert text_of(events) == "All at once"


def test_log_probabilities_come_with_their_text() -> None:
    async def chat(peer: Peer) -> None:
        assert peer.asked.body["logprobs"] is True
        await peer.begin()
        for token, value in (("token_id:7", -0.5), ("token_id:9", -1.25)):
            logprobs = {"content": [{"token": token, "logprob": value}]}
            await peer.event({"choices": [{"delta": {"content": "x"}, "logprobs": logprobs}]})
        await peer.end()

    events, _ = outcome(chat, short(logprobs=True))
    deltas = [event for event in events if isinstance(event, TokenDelta)]
    assert [(each.ids, each.logprobs) for each in deltas] == [((7,), (-0.5,)), ((9,), (-1.25,))]


def test_reasoning_on_the_side_becomes_a_thought_and_native_calls_the_profiles_text() -> None:
    async def chat(peer: Peer) -> None:
        body = peer.asked.body
        assert [tool["function"]["name"] for tool in body["tools"]] == ["google_search"]
        assert body["tool_choice"] == "required" and "stop" not in body
        await peer.begin()
        await peer.say(reasoning_content="Look it ")
        await peer.say(reasoning_content="up.")
        first = {"index": 0, "id": "a", "function": {"name": "google_search", "arguments": '{"q": "a'}}
        await peer.say(tool_calls=[first])
        await peer.say(tool_calls=[{"index": 0, "function": {"arguments": 'b"}'}}])
        await peer.say(tool_calls=[{"index": 1, "function": {"name": "google_search", "arguments": "{}"}}])
        await peer.say(finish="tool_calls")
        await peer.end()

    request = short(tools=(SEARCH,), tool_choice="required", stop=("</tool_call>",))
    events, _ = outcome(chat, request, native_tools=True)
    parser = load_format("hermes").parser()
    parser.feed(text_of(events))
    turn = parser.finish()
    assert turn.thought == "Look it up."
    assert turn.call is not None and (turn.call.name, turn.call.arguments) == ("google_search", {"q": "ab"})


def test_native_arguments_that_are_no_json_are_told_as_such() -> None:
    text = DeltaText(load_format("hermes"), {})
    text.add({"tool_calls": [{"index": 0, "function": {"name": "google_search", "arguments": "{not json"}}]})
    parser = load_format("hermes").parser()
    parser.feed(text.end())
    call = parser.finish().call
    assert call is not None and call.error == "its arguments are not JSON"


FIELDS = st.sampled_from(("content", "tool_calls", "function", "name", "arguments", "index", "reasoning"))
LEAVES = st.none() | st.text(max_size=8) | st.integers()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner)))
def test_whatever_a_delta_holds_it_is_text_in_the_end(value: object) -> None:
    text = DeltaText(load_format("mcp_xml"), {})
    assert isinstance(text.add({"content": value, "tool_calls": value, "reasoning": value}) + text.end(), str)


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_key_that_is_not_accepted() -> None:
    error = refused(answering(401, {"error": {"message": "Incorrect API key"}}))
    assert error.status == 401 and "does not accept the key" in error.message
    assert "Incorrect API key" in error.has and "settings" in error.do


def test_a_model_that_is_not_there() -> None:
    error = refused(answering(404, {"error": {"message": "The model `x` does not exist."}}))
    assert "has no model named qwen3-8b" in error.message and "does not exist" in error.has


@pytest.mark.parametrize(
    ("status", "said", "needs", "has"),
    [
        (
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 5020 tokens (5000 in the "
            "messages, 20 in the completion).",
            "room for 5,020 tokens",
            "a context of 4,096 tokens",
        ),
        (413, "Payload too large", "more room than the server has", "413; the server said: Payload too large"),
    ],
)
def test_a_text_that_is_too_long_says_what_is_needed_and_what_there_is(
    status: int, said: str, needs: str, has: str
) -> None:
    error = refused(answering(status, {"error": {"message": said}}))
    assert "too long" in error.message and (error.needs, error.has) == (needs, has)


def test_llama_servers_numbers_are_read_too() -> None:
    body = {
        "error": {"message": "the request exceeds the available context size", "n_prompt_tokens": 900, "n_ctx": 512}
    }
    error = refused(answering(400, body))
    assert (error.needs, error.has) == ("room for 900 tokens", "a context of 512 tokens")


def test_a_prompt_that_cannot_fit_is_not_even_sent() -> None:
    request = short(messages=(Message(role="user", content="word " * 600),))
    asked: list[Peer] = []

    async def chat(peer: Peer) -> None:
        asked.append(peer)

    with pytest.raises(EndpointError) as caught:
        outcome(chat, request, context_tokens=512)
    assert caught.value.has == "a context of 512 tokens" and not asked


def test_after_429_and_500_it_is_asked_again_before_the_first_token() -> None:
    answers = [answering(429, Retry_After="0"), answering(500, b"oh"), answering(503), good]

    async def chat(peer: Peer) -> None:
        await answers.pop(0)(peer)

    events, asked = outcome(chat)
    assert text_of(events) == "Hello there" and asked == 4


def test_it_gives_up_after_three_more_tries() -> None:
    seen = 0

    async def chat(peer: Peer) -> None:
        nonlocal seen
        seen += 1
        await peer.answer(500, b"<html>kaput\x1b[31m</html>")

    error = refused(chat)
    assert seen == 4 and error.status == 500
    assert error.has == "the server said: <html>kaput [31m</html>"


def test_a_wait_that_is_too_long_is_not_waited() -> None:
    error = refused(answering(429, b"slow down", Retry_After="3600"))
    assert "too much to do" in error.message and "in 36" in error.do


def test_silence_before_the_first_token_and_between_two_is_noticed() -> None:
    async def silent(peer: Peer) -> None:
        await peer.begin()
        await peer.raw(b": ping\n\n")
        await peer.hang()

    async def stops(peer: Peer) -> None:
        await peer.begin()
        await peer.say("Hello")
        await peer.hang()

    async def mute(peer: Peer) -> None:
        await peer.hang()

    for chat, needs in ((silent, "the first word within 0.2 s"), (mute, "the first word within 0.2 s")):
        error = refused(chat, first_token_s=0.2)
        assert "fallen silent" in error.message and error.needs == needs
    assert refused(stops, between_tokens_s=0.2).needs == "the next word within 0.2 s"


def test_a_stream_that_breaks_off_after_the_first_token_is_not_asked_again() -> None:
    seen = 0

    async def chat(peer: Peer) -> None:
        nonlocal seen
        seen += 1
        await peer.begin()
        await peer.say("Half an ans")

    error = refused(chat)
    assert seen == 1 and "broke off" in error.message


def test_a_body_cut_in_the_middle_is_told() -> None:
    async def chat(peer: Peer) -> None:
        await peer.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.raw(b'3a\r\ndata: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')

    assert "broke off" in refused(chat).message


@pytest.mark.parametrize("said", [b"data: {oh no\n\n", b"data: \xff\xfe\x00\n\n", b"data: [1]\n\n", b"data: 7\n\n"])
def test_garbage_in_the_stream_is_told(said: bytes) -> None:
    async def chat(peer: Peer) -> None:
        await peer.begin()
        await peer.raw(said)
        await peer.end()

    assert "not JSON" in refused(chat).message


def test_a_page_instead_of_an_answer_is_told() -> None:
    error = refused(answering(200, b"<html>Welcome to nginx</html>", Content_Type="text/html"))
    assert "not JSON" in error.message and "Welcome to nginx" in error.has


def test_an_error_in_the_stream_is_told() -> None:
    async def chat(peer: Peer) -> None:
        await peer.begin()
        await peer.event({"error": {"message": "CUDA out of memory"}})

    assert "CUDA out of memory" in refused(chat).has


def test_a_line_without_end_is_cut_off() -> None:
    async def chat(peer: Peer) -> None:
        await peer.begin()
        await peer.raw(b"data: ")
        while not peer.gone.is_set():
            try:
                await peer.raw(b"x" * 65536)
            except ConnectionError:
                return

    assert "more than can be an answer" in refused(chat).message


def test_a_redirect_to_another_host_is_refused_and_not_followed() -> None:
    async def main() -> None:
        async with serving(ChatServer()) as elsewhere, serving(ChatServer()) as server:
            server.chat = answering(307, b"", Location=f"{elsewhere.base.replace('127.0.0.1', 'localhost')}/v1/x")
            engine = await opened(server, KEY)
            with pytest.raises(EndpointError, match="sends us on to localhost, which is refused"):
                await collect(engine)
            assert elsewhere.asked == []
            await engine.close()

    run(main())


def test_nobody_listens_and_no_trust() -> None:
    async def main() -> None:
        async with serving(ChatServer()) as server:
            pass
        with pytest.raises(EndpointError, match="cannot be reached"):
            await opened(server)

        def no_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(no_tls, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(EndpointError, match="cannot be trusted"):
                await RemoteEngine.open(EndpointSettings(base_url=f"https://127.0.0.1:{port}"))

    run(main())


def test_closing_the_stream_hangs_up_at_once() -> None:
    async def main() -> None:
        async def chat(peer: Peer) -> None:
            await peer.begin()
            await peer.say("Hello")
            await peer.hang()

        async with serving(ChatServer()) as server:
            server.chat = chat
            engine = await opened(server)
            server.hung_up.clear()
            stream = engine.generate(short())
            async for event in stream:
                if isinstance(event, TokenDelta):
                    break
            await stream.aclose()
            await asyncio.wait_for(server.hung_up.wait(), 20)

            server.hung_up.clear()
            waiting = asyncio.create_task(collect(engine))
            await asyncio.wait_for(server.second.wait(), 20)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.wait_for(server.hung_up.wait(), 20)
            await engine.close()

    run(main())


def test_a_key_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    from fathom.core.redaction import remember

    caplog.set_level(logging.DEBUG)
    remember(KEY)

    async def main() -> None:
        async with serving(ChatServer()) as server:
            server.chat = answering(401, f"wrong key {KEY}".encode())
            engine = await opened(server, KEY)
            with pytest.raises(EndpointError) as caught:
                await collect(engine)
            assert KEY not in str(caught.value) and "•" in str(caught.value)
            await engine.close()

    run(main())
    assert KEY not in caplog.text


# --- addresses, models, counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "root", "loopback"),
    [
        ("localhost:8000", "http://localhost:8000", True),
        (" http://127.0.0.1:1234/v1/ ", "http://127.0.0.1:1234", True),
        ("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000", True),
        ("https://gpu.example.org/llm/v1", "https://gpu.example.org/llm", False),
        ("192.168.1.7:8000", "http://192.168.1.7:8000", False),
        ("http://localhost.example.org", "http://localhost.example.org", False),
        ("http://127.0.0.1.nip.io", "http://127.0.0.1.nip.io", False),
        ("http://0.0.0.0:8000", "http://0.0.0.0:8000", False),
    ],
)
def test_an_address_is_read_and_told_from_this_computers_own(text: str, root: str, loopback: bool) -> None:
    address = read_address(text)
    assert (address.root, address.loopback) == (root, loopback)


@pytest.mark.parametrize(
    "text",
    ["", "ftp://a", "file:///etc/passwd", "http://", "http://a:b@c", "http://a/?q=1", "http://a b", "http://a:x"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        read_address(text)
    assert caught.value.needs


def test_another_computer_is_not_asked_before_the_person_allows_it() -> None:
    async def main() -> None:
        settings = EndpointSettings(base_url="http://192.0.2.1:8000")
        with pytest.raises(EndpointError, match=r"192.0.2.1:8000 is not this computer") as caught:
            await RemoteEngine.open(settings)
        assert "--allow-remote" in caught.value.do

    run(main())


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/models/SmolLM2-135M.Q4_1.gguf", "SmolLM2-135M.Q4_1"),
        (r"C:\models\qwen3-8b.gguf", "qwen3-8b"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen3:8b", "qwen3:8b"),
    ],
)
def test_a_model_that_is_called_by_its_path_has_a_name_for_people(told: str, shown: str) -> None:
    async def main() -> None:
        async with serving(ChatServer(models=(told,))) as server:
            engine = await opened(server)
            assert engine.info.model == shown
            await collect(engine, short())
            assert server.chats[-1].body["model"] == told
            await engine.close()

    run(main())


def test_the_model_is_chosen_from_the_servers_list() -> None:
    async def main() -> None:
        async with serving(ChatServer(models=("a", "mirothinker-8b"))) as server:
            engine = await opened(server, model="mirothinker-8b")
            assert engine.profile.name == "mirothinker"
            await engine.close()
            with pytest.raises(EndpointError, match="has no model named b") as caught:
                await opened(server, model="b")
            assert caught.value.has == "a, mirothinker-8b"
            server.models = {"data": []}
            with pytest.raises(EndpointError, match="no model to offer"):
                await opened(server)

    run(main())


def test_tokens_are_counted_by_the_server_once_a_text_and_estimated_when_it_cannot() -> None:
    async def main() -> None:
        async def tokenize(peer: Peer) -> None:
            assert peer.asked.body["add_special_tokens"] is False
            await peer.answer(200, {"count": len(peer.asked.body["prompt"].split())})

        async with serving(ChatServer("vllm")) as server:
            server.routes["/tokenize"] = tokenize
            engine = await opened(server)
            one = (Message(role="tool", content="one two three"),)
            assert await engine.count_tokens(one) == await engine.count_tokens(one) == 3
            assert await engine.count_tokens(QUESTION) == 2 + 1 + 3 * 8
            assert [each.path for each in server.asked].count("/tokenize") == 3
            await engine.close()
        async with serving(ChatServer("vllm")) as server:
            engine = await opened(server)
            assert await engine.count_tokens((Message(role="tool", content="one two"),)) == 2
            await engine.close()

    run(main())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("Hello there", 4), ("a  b", 3), ("12.5", 4), ("Größe", 6), ("研究", 4), ("привет", 6), ("x\n\ny", 3)],
)
def test_the_estimate_by_hand(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7") == 7.0 and retry_after("") is None and retry_after("soon") is None
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
