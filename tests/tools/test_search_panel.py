"""Several services: the person's order, fall-backs said aloud, all at once, one deadline, health."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from fathom.core.errors import ToolError
from fathom.core.protocols import SearchOptions
from fathom.core.settings import SearchSettings
from fathom.core.types import Scope, ToolCall
from fathom.tools.search.panel import HealthBook, Refused, SearchPanel
from fathom.tools.search.searxng import SearXNG
from fathom.tools.search.serper import Serper
from fathom.tools.search.wikipedia import Wikipedia

KEY = "a-key-of-the-tests"


def serper_says(*links):
    return json.dumps({"organic": [{"link": link, "title": link, "snippet": "s"} for link in links]}).encode()


def searxng_says(*links):
    return json.dumps({"results": [{"url": link, "title": link, "content": "s"} for link in links]}).encode()


async def leave(host, query):
    """Always."""


def serving_two(serving, serper, searxng):
    """``with serving_two(...) as base``: Serper (POST) and SearXNG (GET) at the same address."""
    return serving(lambda request: request.reply(*(serper if request.command == "POST" else searxng), Retry_After="0"))


def panel(base, health=None, **settings):
    providers = [Serper(base_url=base, key=KEY, pause_s=0.0), SearXNG(base_url=base, pause_s=0.0)]
    return SearchPanel(providers, SearchSettings(**settings), health)


def search(made, query="lamp", limit=5, ask=leave):
    return asyncio.run(made.search(query, limit, SearchOptions(), ask))


def test_the_first_provider_that_finds_something_is_the_only_one_asked(serving):
    asked = []

    def answer(request):
        asked.append(request.command)
        request.reply(200, serper_says("https://a.org/"))

    with serving(answer) as base:
        found = search(panel(base))
    assert [hit.uri for hit in found.hits] == ["https://a.org/"] and found.notes == []
    assert asked == ["POST"]


def test_a_failing_provider_is_named_and_the_next_one_is_asked(serving):
    health = HealthBook()
    with serving_two(serving, (403, b'{"message":"Unauthorized."}'), (200, searxng_says("https://b.org/"))) as base:
        found = search(panel(base, health))
    assert [hit.uri for hit in found.hits] == ["https://b.org/"]
    (note,) = found.notes
    assert note.startswith('Serper answered 403: {"message":"Unauthorized."}') and note.endswith(
        "SearXNG was asked instead."
    )
    assert found.told == found.notes
    assert "403" in health.of("serper").last_error and not health.of("serper").is_well
    assert health.of("searxng").is_well and health.of("searxng").last_error == ""


def test_a_provider_that_finds_nothing_is_followed_by_the_next(serving):
    with serving_two(serving, (200, serper_says()), (200, searxng_says("https://b.org/"))) as base:
        found = search(panel(base))
    assert found.notes == ["Serper found nothing. SearXNG was asked instead."]


def test_without_fall_back_only_the_first_is_asked(serving):
    with serving_two(serving, (500, b"broken"), (200, searxng_says("https://b.org/"))) as base:
        with pytest.raises(ToolError, match=r"Serper answered 500: broken$"):
            search(panel(base, fall_back=False))
        with pytest.raises(ToolError, match=r"Serper needs a key; it is given in Settings$"):
            search(SearchPanel([Serper(), SearXNG(base_url=base)], SearchSettings(fall_back=False)))


def test_when_all_fail_the_error_names_all(serving):
    with (
        serving_two(serving, (403, b"no key"), (502, b"bad gateway")) as base,
        pytest.raises(ToolError, match=r"Serper answered 403: no key .*; SearXNG answered 502: bad gateway"),
    ):
        search(panel(base))


def test_a_failure_beside_an_empty_answer_is_still_told(serving):
    with serving_two(serving, (500, b"broken"), (200, searxng_says())) as base:
        found = search(panel(base))
    assert found.hits == [] and "Serper answered 500: broken" in found.notes[0]


def test_together_the_results_are_merged_and_a_failure_is_told(serving):
    both = (
        (200, serper_says("https://a.org/", "https://b.org/")),
        (200, searxng_says("http://www.b.org", "https://c.org")),
    )
    with serving_two(serving, *both) as base:
        found = search(panel(base, together=True))
    assert [hit.uri for hit in found.hits] == ["https://b.org/", "https://a.org/", "https://c.org"]
    with serving_two(serving, (500, b"broken"), both[1]) as base:
        found = search(panel(base, together=True))
    assert found.told == ["Serper answered 500: broken. These results are from SearXNG only."]


def test_blocked_sites_are_left_out_and_counted_and_pinned_ones_come_first(serving):
    links = ("https://a.org/", "https://huggingface.co/datasets/x", "https://b.org/")
    with serving(lambda request: request.reply(200, serper_says(*links))) as base:
        found = search(panel(base, blocked=("huggingface.co/datasets",), pinned=("b.org",)))
    assert [hit.uri for hit in found.hits] == ["https://b.org/", "https://a.org/"]
    assert found.notes == ["1 result is left out: their sites are blocked in the settings."]


def test_one_deadline_holds_for_all_providers(serving):
    released = threading.Event()
    with serving(lambda request: released.wait(30)) as base:
        try:
            with pytest.raises(ToolError, match="did not answer before the search's time was up"):
                search(panel(base, deadline_s=0.5))
        finally:
            released.set()


def test_waiting_for_leave_costs_no_time_of_the_search(serving):
    async def slow(host, query):
        await asyncio.sleep(1.0)

    with serving(lambda request: request.reply(200, serper_says("https://a.org/"))) as base:
        assert search(panel(base, deadline_s=0.9), ask=slow).hits


def test_a_refused_leave_ends_the_search_before_anything_is_sent(serving):
    seen = []

    async def no(host, query):
        raise Refused("no leave")

    with serving(seen.append) as base:
        with pytest.raises(Refused):
            search(SearchPanel([SearXNG(base_url=base)]), ask=no)
        with pytest.raises(ToolError, match=r"Serper was not asked: no leave; SearXNG was not asked"):
            search(panel(base), ask=no)
    assert seen == []


def test_a_provider_without_its_key_is_told_and_its_host_is_neither_asked_for_nor_contacted(serving):
    hosts = []

    async def note(host, query):
        hosts.append(host)

    with serving(lambda request: request.reply(200, searxng_says("https://b.org/"))) as base:
        providers = [Serper(), SearXNG(base_url=base)]
        found = search(SearchPanel(providers), ask=note)
    assert hosts == ["127.0.0.1"] and [hit.uri for hit in found.hits] == ["https://b.org/"]
    assert found.told == ["Serper needs a key; it is given in Settings. SearXNG was asked instead."]


@pytest.mark.parametrize("together", [True, False])
def test_a_no_to_one_provider_leaves_the_others(serving, together):
    async def not_serper(host, query):
        if host == "google.serper.dev":
            raise Refused("no leave.")

    with serving(lambda request: request.reply(200, searxng_says("https://b.org/"))) as base:
        providers = [Serper(key=KEY), SearXNG(base_url=base)]
        found = search(SearchPanel(providers, SearchSettings(together=together)), ask=not_serper)
    assert [hit.uri for hit in found.hits] == ["https://b.org/"]
    assert found.told[0].startswith("Serper was not asked: no leave.")


def test_no_provider_switched_on_is_an_error():
    with pytest.raises(ToolError, match="no search service is switched on"):
        search(SearchPanel(()))


# --- as the model and the person see it ---------------------------------------------------------------------------


class Ear:
    """A supervisor that keeps what it is told."""

    def __init__(self, answer="once"):
        self.answer, self.asked, self.told, self.hosts = answer, [], [], []

    async def ask(self, wanted):
        self.asked.append(wanted)
        return self.answer

    def tell(self, text):
        self.told.append(text)

    def contacted(self, host, kind):
        self.hosts.append((host, kind))


def observed(toolbox_of, made, ear, scope, **arguments):
    async def main():
        toolbox = await toolbox_of(scope=scope, search=made, supervisor=ear)
        observation = await toolbox.call(ToolCall(id="1.0", name="google_search", arguments=arguments))
        await toolbox.close()
        return observation

    return asyncio.run(main())


WEB = Scope(sample=False, documents=False, web=True)


def test_a_fall_back_stands_in_the_observation_and_is_told_to_the_person(toolbox_of, serving):
    ear = Ear()
    with serving_two(serving, (429, b"slow down"), (200, searxng_says("https://b.org/"))) as base:
        observation = observed(toolbox_of, panel(base), ear, WEB, q="lamp")
    assert observation.text.startswith("Serper answered 429: slow down. SearXNG was asked instead.\nResults for")
    assert ear.told == ["Serper answered 429: slow down. SearXNG was asked instead."]
    assert ear.hosts == [("127.0.0.1", "search")] * 2 and ear.asked == []


def test_the_arguments_of_the_paper_reach_the_provider(toolbox_of, serving):
    sent = []

    def answer(request):
        sent.append(json.loads(request.body))
        request.reply(200, serper_says("https://a.org/"))

    given = {"gl": "de", "hl": "de", "location": "Berlin", "num": 7, "tbs": "qdr:w", "page": 2, "autocorrect": False}
    with serving(answer) as base:
        observed(toolbox_of, panel(base), Ear(), WEB, q="lamp", **given)
    assert sent == [{"q": "lamp", **given}]


def test_where_the_session_says_ask_each_search_is_asked_for(toolbox_of, serving):
    seen = []
    scope = Scope(sample=False, documents=False, web=True, ask=True)
    with serving(seen.append) as base:
        ear = Ear("refuse")
        observation = observed(toolbox_of, panel(base), ear, scope, q="lamp")
    assert observation.is_error and "there is no leave to search with 127.0.0.1" in observation.text
    assert {(one.kind, one.host, one.address) for one in ear.asked} == {("search", "127.0.0.1", "lamp")}
    assert seen == [] and ear.hosts == []


def test_always_holds_for_the_rest_of_the_session(toolbox_of, serving):
    ear = Ear("always")
    scope = Scope(sample=False, documents=False, web=True, ask=True)

    async def main(base):
        toolbox = await toolbox_of(scope=scope, search=panel(base), supervisor=ear)
        for number, words in enumerate(("lamp", "oil")):
            await toolbox.call(ToolCall(id=f"{number}.0", name="google_search", arguments={"q": words}))
        await toolbox.close()

    with serving(lambda request: request.reply(200, serper_says("https://a.org/"))) as base:
        asyncio.run(main(base))
    assert len(ear.asked) == 1 and len(ear.hosts) == 2


def test_with_the_web_off_no_provider_is_asked(toolbox_of, serving):
    seen = []
    with serving(seen.append) as base:
        observed(toolbox_of, panel(base), Ear(), Scope(), q="lamp")
    assert seen == []


def test_a_page_of_the_library_goes_on_where_the_last_one_ended(toolbox_of):
    first = observed(toolbox_of, None, Ear(), Scope(), q="Shirley Temple ambassador lamp", num=1)
    second = observed(toolbox_of, None, Ear(), Scope(), q="Shirley Temple ambassador lamp", num=1, page=2)
    assert first.title != second.title and "link: library:" in second.text


def test_wikipedia_and_the_library_alternate(toolbox_of, serving):
    body = json.dumps({"query": {"search": [{"title": "Temple", "snippet": "a building"}]}}).encode()
    with serving(lambda request: request.reply(200, body)) as base:
        observation = observed(toolbox_of, SearchPanel([Wikipedia(base_url=base)]), Ear(), Scope(web=True), q="Temple")
    links = [line for line in observation.text.splitlines() if "link: " in line]
    assert "library:" in links[0] and "/wiki/Temple" in links[1]
