"""Row 31: what nothing showed is opened after a person's yes only; and every host that is contacted is recorded."""

from __future__ import annotations

import asyncio

import pytest
from session_bench import ANSWER, WEB, SessionBench, call, run_session

from fathom.core.errors import ToolError
from fathom.core.events import HostContacted, Notice, ObservationReady, PermissionAnswered, PermissionAsked
from fathom.core.protocols import Wanted
from fathom.core.settings import SearchSettings, Settings
from fathom.core.types import Scope
from fathom.tools.addresses import FetchPolicy
from fathom.tools.permission import Gate, host_of

PAGE = b"<html><title>Keepers</title><body><p>The keeper of the lamp lives in Rome.</p></body></html>"
WORDS = "keeper of the lamp"


def visit(url):
    return call("scrape_and_extract_info", url=url, info_to_extract=WORDS)


def answering(answer):
    """Have a person answer each question at once."""

    def begin(bench):
        bench.runner.attended = True

        def on_event(session, event):
            if isinstance(event, PermissionAsked):
                asyncio.get_running_loop().call_soon(bench.runner.answer, session, event.id, answer)

        bench.runner.subscribe(on_event)

    return begin


def counting(seen, body=PAGE):
    def answer(request):
        seen.append(request.path)
        request.reply(200, body)

    return answer


def observations(bench):
    return [event.observation for event in bench.of(ObservationReady)]


def test_31_an_address_that_nothing_showed_is_refused_where_nobody_can_be_asked(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        secret = f"http://127.0.0.1:{port}/?q=the+person+has+a+rare+illness"
        bench, _ = run_session(fathom_home, [visit(secret), "Enough.", ANSWER], port=port)
    (observation,) = observations(bench)
    assert observation.is_error and "was in no search result, page or question" in observation.text
    assert seen == [] and bench.of(HostContacted) == []
    (answered,) = bench.of(PermissionAnswered)
    assert (answered.answer, answered.by) == ("refuse", "headless")


def test_31_a_person_may_allow_it_once_and_is_shown_host_address_and_reason(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        url = f"http://127.0.0.1:{port}/keepers"
        bench, _ = run_session(
            fathom_home,
            [visit(url), visit(url + "2"), "Enough.", ANSWER],
            port=port,
            during=answering("once"),
        )
    asked = bench.of(PermissionAsked)
    assert [(one.kind, one.host, one.address, one.why) for one in asked] == [
        ("page", "127.0.0.1", url, WORDS),
        ("page", "127.0.0.1", url + "2", WORDS),
    ]
    assert "lives in Rome" in observations(bench)[0].text
    assert seen == ["/keepers", "/keepers2"]
    assert [(one.host, one.kind) for one in bench.of(HostContacted)] == [("127.0.0.1", "page")]


def test_31_always_holds_for_the_site_and_the_session(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        urls = [f"http://127.0.0.1:{port}/{name}" for name in ("a", "b", "c")]
        bench, _ = run_session(
            fathom_home, [*map(visit, urls), "Enough.", ANSWER], port=port, during=answering("always")
        )
    assert len(bench.of(PermissionAsked)) == 1 and seen == ["/a", "/b", "/c"]


def test_31_a_no_is_an_observation_and_the_run_goes_on(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        bench, session = run_session(
            fathom_home,
            [visit(f"http://127.0.0.1:{port}/x"), "Enough.", ANSWER],
            port=port,
            during=answering("refuse"),
        )
    assert seen == [] and session.state == "done"
    assert "there is no leave to open a page of 127.0.0.1" in observations(bench)[0].text


def test_31_silence_is_a_no(fathom_home, serving):
    seen = []

    def attend(bench):
        bench.runner.attended = True

    with serving(counting(seen)) as port:
        bench, session = run_session(
            fathom_home,
            [visit(f"http://127.0.0.1:{port}/x"), "Enough.", ANSWER],
            port=port,
            settings=Settings(permission_wait_s=0.05),
            during=attend,
        )
    (answered,) = bench.of(PermissionAnswered)
    assert (answered.answer, answered.by) == ("refuse", "silence") and session.state == "done" and seen == []


def test_31_a_known_page_with_something_added_is_another_page(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        known = f"http://127.0.0.1:{port}/page"
        bench, _ = run_session(
            fathom_home,
            [visit(known), visit(known + "?leak=secret"), visit(known + "#leak"), "Enough.", ANSWER],
            question=f"What does {known} say?",
            port=port,
        )
    first, *others = observations(bench)
    assert "lives in Rome" in first.text and all(one.is_error for one in others)
    assert seen == ["/page"]


def test_31_a_link_in_a_page_that_was_read_goes_unasked(fathom_home, serving):
    seen = []
    with serving(lambda request: (seen.append(request.path), request.reply(200, body))) as port:
        base = f"http://127.0.0.1:{port}"
        body = f"<html><body><p>The keeper of the lamp is told of at {base}/more in full.</p></body></html>".encode()
        bench, _ = run_session(
            fathom_home,
            [visit(base + "/page"), visit(base + "/more"), "Enough.", ANSWER],
            question=f"What does {base}/page say?",
            port=port,
        )
    assert seen == ["/page", "/more"] and bench.of(PermissionAsked) == []


@pytest.mark.parametrize(
    "words", ["x" * 161, "word " * 40, "a" * 5000], ids=["one long word", "many words", "a whole page"]
)
def test_31_a_query_is_too_short_to_carry_much(fathom_home, serving, words):
    seen = []
    with serving(counting(seen)) as port:
        settings = Settings(search=SearchSettings(addresses={"wikipedia": f"http://127.0.0.1:{port}"}))
        replies = [call("google_search", q=words), "Enough.", ANSWER]
        bench, _ = run_session(fathom_home, replies, port=port, settings=settings)
    assert observations(bench)[0].is_error and seen == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://example.com/x",
        "http://user:secret@example.com/",
        "http://google.com@evil.example/",
        "data:text/html,x",
        "http://",
        "https:///x",
        "http://exa mple.com/",
        "https://example.com/" + "a" * 3000,
    ],
)
def test_31_only_plain_addresses_are_ever_asked_for(url):
    async def main():
        gate = Gate(WEB, _Never())
        with pytest.raises(ToolError):
            await gate.page(url, was_shown=False)

    asyncio.run(main())


class _Never:
    async def ask(self, wanted: Wanted):
        raise AssertionError(f"asked for {wanted.address}")

    def tell(self, text):
        raise AssertionError(text)

    def contacted(self, host, kind):
        raise AssertionError(host)


def test_31_the_host_in_a_question_cannot_look_like_another():
    assert host_of("https://g\u043e\u043egle.com/") == "xn--ggle-55da.com"
    assert host_of("https://GOOGLE.com:443/x") == "google.com"


def test_31_a_blocked_site_is_not_opened_even_when_it_was_shown():
    async def main():
        gate = Gate(WEB, None, ("huggingface.co/datasets", "blocked.example"))
        with pytest.raises(ToolError, match="blocked in the settings"):
            await gate.page("https://huggingface.co/datasets/gaia", was_shown=True)
        assert await gate.page("https://huggingface.co/blog", was_shown=True)
        policy = gate.policy(FetchPolicy())
        with pytest.raises(ToolError, match="blocked in the settings"):
            await policy.resolver("www.blocked.example", 443)

    asyncio.run(main())


def test_31_where_the_session_says_ask_every_host_is_asked_for(fathom_home, serving):
    seen = []
    with serving(counting(seen)) as port:
        known = f"http://127.0.0.1:{port}/page"
        bench, _ = run_session(
            fathom_home,
            [visit(known), "Enough.", ANSWER],
            question=f"What does {known} say?",
            scope=Scope(sample=False, documents=False, web=True, ask=True),
            port=port,
            during=answering("refuse"),
        )
    assert len(bench.of(PermissionAsked)) == 1 and seen == [] and observations(bench)[0].is_error


def test_31_a_redirect_to_a_host_without_leave_is_refused_where_the_session_says_ask():
    async def main():
        gate = Gate(Scope(web=True, ask=True), _Yes())
        policy = gate.policy(FetchPolicy(resolver=_public))
        await gate.page("https://first.example/", was_shown=True)
        assert await policy.resolver("www.first.example", 443) == ["8.8.8.8"]
        with pytest.raises(ToolError, match=r"leads to second\.example, which needs leave"):
            await policy.resolver("second.example", 443)

    asyncio.run(main())


class _Yes:
    def __init__(self):
        self.hosts = []

    async def ask(self, wanted):
        return "once"

    def tell(self, text):
        pass

    def contacted(self, host, kind):
        self.hosts.append((host, kind))


async def _public(host, port):
    return ["8.8.8.8"]


def test_every_hop_of_a_redirect_is_recorded():
    async def main():
        person = _Yes()
        policy = Gate(Scope(web=True), person).policy(FetchPolicy(resolver=_public))
        for host in ("first.example", "second.example"):
            await policy.resolver(host, 443)
        return person.hosts

    assert asyncio.run(main()) == [("first.example", "page"), ("second.example", "page")]


def test_an_open_question_ends_with_its_run(fathom_home, serving):
    async def main(port):
        bench = SessionBench(fathom_home, [visit(f"http://127.0.0.1:{port}/x"), "Enough.", ANSWER], port=port)
        bench.runner.attended = True
        asked = asyncio.Event()
        bench.runner.subscribe(lambda _session, event: isinstance(event, PermissionAsked) and asked.set())
        session = bench.runner.ask("Where?", WEB)
        await asyncio.wait_for(asked.wait(), 30)
        bench.runner.stop(session.id)
        await bench.runner.idle()
        stored = bench.runner.events(session.id)
        await bench.close()
        return stored

    with serving(lambda request: request.reply(200, PAGE)) as port:
        stored = asyncio.run(main(port))
    answered = [event for event in stored if isinstance(event, PermissionAnswered)]
    assert [(one.answer, one.by) for one in answered] == [("refuse", "end")]


def test_questions_answers_hosts_and_fall_backs_replay_as_they_happened(fathom_home, serving):
    async def main(port):
        settings = Settings(search=SearchSettings(addresses={"wikipedia": f"http://127.0.0.1:{port}"}))
        replies = [call("google_search", q="keepers"), visit(f"http://127.0.0.1:{port}/x"), "Enough.", ANSWER]
        bench = SessionBench(fathom_home, replies, port=port, settings=settings)
        answering("once")(bench)
        session = await bench.ask("Where?", Scope(sample=False, documents=True, web=True))
        stored = bench.runner.events(session.id)
        await bench.close()
        return bench, stored

    def answer(request):
        request.reply(403, b"not now") if "api.php" in request.path else request.reply(200, PAGE)

    with serving(answer) as port:
        bench, stored = asyncio.run(main(port))
    kinds = (PermissionAsked, PermissionAnswered, HostContacted, Notice)
    live = [event for event in bench.events if isinstance(event, kinds)]
    assert live == [event for event in stored if isinstance(event, kinds)]
    assert any(isinstance(one, Notice) and "Wikipedia answered 403: not now" in one.text for one in live)
    assert [(one.host, one.kind) for one in live if isinstance(one, HostContacted)] == [
        ("127.0.0.1", "search"),
        ("127.0.0.1", "page"),
    ]
