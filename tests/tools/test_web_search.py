"""google_search: the library, the web provider, and errors that are never "no results"."""

from __future__ import annotations

import asyncio
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from fathom.core.errors import ToolError
from fathom.core.types import Scope, ToolCall
from fathom.tools.search.panel import SearchPanel
from fathom.tools.search.wikipedia import Wikipedia


def answer_of(*results):
    body = {"query": {"search": [{"title": title, "snippet": snippet} for title, snippet in results]}}
    return json.dumps(body).encode()


def search(query, **arguments):
    return ToolCall(id="1.0", name="google_search", arguments={"q": query, **arguments})


def test_results_are_numbered_with_title_link_and_snippet(toolbox_of):
    async def main():
        toolbox = await toolbox_of()
        observation = await toolbox.call(search("Shirley Temple ambassador"))
        await toolbox.close()
        return observation

    observation = asyncio.run(main())
    assert observation.text.splitlines()[1:3] == ["1. Shirley Temple", "   link: library://films/temple"]
    assert observation.title == "Shirley Temple and 2 more"
    assert "ambassador to Ghana" in observation.best


def test_passages_are_verbatim_spans_of_their_documents(toolbox_of, library):
    async def main():
        toolbox = await toolbox_of()
        observation = await toolbox.call(search("ambassador Ghana"))
        await toolbox.close()
        return observation

    passages = asyncio.run(main()).passages
    assert passages
    for passage in passages:
        assert library.document(passage.uri).text[passage.start : passage.end] == passage.text


def test_results_fit_into_the_observation(toolbox_of):
    async def main():
        toolbox = await toolbox_of(observation_chars=700)
        observation = await toolbox.call(search("Shirley Temple ambassador lamp"))
        await toolbox.close()
        return observation

    text = asyncio.run(main()).text
    assert len(text) <= 700 and text.count("link: ") == 3


def test_nothing_found_is_said_and_is_no_error(toolbox_of):
    async def main():
        toolbox = await toolbox_of()
        observation = await toolbox.call(search("xylophonist"))
        await toolbox.close()
        return observation

    observation = asyncio.run(main())
    assert not observation.is_error and 'Nothing was found for "xylophonist"' in observation.text


def test_wikipedia_hits_have_plain_snippets_and_addresses(serving):
    def answer(request):
        request.reply(200, answer_of(("AC/DC & co", 'The <span class="searchmatch">band</span> &amp; more')))

    with serving(answer) as base:
        hits = asyncio.run(Wikipedia(base_url=base).search("band", 3))
    assert [(hit.uri, hit.title, hit.snippet) for hit in hits] == [
        (f"{base}/wiki/AC/DC_%26_co", "AC/DC & co", "The band & more")
    ]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"Unauthorized.", "Wikipedia answered 403: Unauthorized."),
        (200, b"<html>down</html>", "no result list: <html>down</html>"),
        (200, b'{"error": {"code": "x", "info": "too long"}}', "refused the search: too long"),
        (200, b'{"batchcomplete": true}', "refused the search: no results field"),
        (200, bytes(range(256)), "no result list"),
    ],
)
def test_a_provider_error_tells_provider_status_and_body(serving, status, body, said):
    with serving(lambda request: request.reply(status, body)) as base, pytest.raises(ToolError) as error:
        asyncio.run(Wikipedia(base_url=base).search("x", 3))
    assert said in str(error.value)


def test_too_many_requests_are_tried_again_at_most_three_times(serving):
    seen = []

    def answer(request):
        seen.append(request.path)
        request.reply(429, b"slow down", Retry_After="0")

    with serving(answer) as base, pytest.raises(ToolError, match="429: slow down"):
        asyncio.run(Wikipedia(base_url=base).search("x", 3))
    assert len(seen) == 3


def test_a_search_that_succeeds_at_the_second_try_gives_its_results(serving):
    replies = iter([(503, b"busy"), (200, answer_of(("Rome", "a city")))])
    with serving(lambda request: request.reply(*next(replies), Retry_After="0")) as base:
        hits = asyncio.run(Wikipedia(base_url=base).search("x", 3))
    assert [hit.title for hit in hits] == ["Rome"]


def test_a_provider_that_hangs_ends_at_the_deadline(serving):
    released = threading.Event()
    try:
        with (
            serving(lambda request: released.wait(20)) as base,
            pytest.raises(ToolError, match="did not answer"),
        ):
            try:
                asyncio.run(Wikipedia(base_url=base, deadline_s=0.3).search("x", 3))
            finally:
                released.set()
    finally:
        released.set()


def test_a_provider_that_is_not_there_is_told(serving):
    with serving(lambda request: None) as base:
        pass
    with pytest.raises(ToolError, match="Wikipedia could not be reached"):
        asyncio.run(Wikipedia(base_url=base).search("x", 3))


def web_toolbox(toolbox_of, base, scope):
    return toolbox_of(scope=scope, search=SearchPanel([Wikipedia(base_url=base, pause_s=0.0)]))


def test_library_and_web_results_alternate(toolbox_of, serving):
    async def main(base):
        toolbox = await web_toolbox(toolbox_of, base, Scope(web=True))
        observation = await toolbox.call(search("Shirley Temple"))
        await toolbox.close()
        return observation

    with serving(lambda request: request.reply(200, answer_of(("Temple", "a building"), ("Shirley", "x")))) as base:
        links = [line for line in asyncio.run(main(base)).text.splitlines() if "link: " in line]
    assert "library://films/temple" in links[0] and "/wiki/Temple" in links[1] and "library:" in links[2]


def test_a_web_error_with_library_results_is_said_aloud(toolbox_of, serving):
    async def main(base):
        toolbox = await web_toolbox(toolbox_of, base, Scope(web=True))
        observation = await toolbox.call(search("Shirley Temple"))
        await toolbox.close()
        return observation

    with serving(lambda request: request.reply(500, b"broken")) as base:
        observation = asyncio.run(main(base))
    assert not observation.is_error
    assert observation.text.startswith("The web search failed (Wikipedia answered 500: broken). These results are from")


def test_a_web_error_without_library_is_an_error(toolbox_of, serving):
    async def main(base):
        toolbox = await web_toolbox(toolbox_of, base, Scope(sample=False, documents=False, web=True))
        observation = await toolbox.call(search("Shirley Temple"))
        await toolbox.close()
        return observation

    with serving(lambda request: request.reply(500, b"broken")) as base:
        observation = asyncio.run(main(base))
    assert observation.is_error and "500" in observation.text and "Nothing was found" not in observation.text


def test_a_quoted_query_without_results_is_tried_once_without_quotes(toolbox_of, serving):
    asked = []

    def answer(request):
        query = parse_qs(urlsplit(request.path).query)["srsearch"][0]
        asked.append(query)
        request.reply(200, answer_of() if '"' in query else answer_of(("Rome", "a city")))

    async def main(base):
        toolbox = await web_toolbox(toolbox_of, base, Scope(sample=False, documents=False, web=True))
        observation = await toolbox.call(search('"eternal city"'))
        await toolbox.close()
        return observation

    with serving(answer) as base:
        observation = asyncio.run(main(base))
    assert [query.strip() for query in asked] == ['"eternal city"', "eternal city"]
    assert "searched without them" in observation.text and "Rome" in observation.text
