"""One matrix over the registry: each service's good, empty, refusing, hanging, dripping and broken answers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_speech import KEY, SPEECH

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.core.protocols import SearchOptions
from fathom.core.redaction import remember
from fathom.tools.search import PROVIDERS
from fathom.tools.search.arxiv import expression
from fathom.tools.search.openalex import rebuilt
from fathom.tools.search.provider import plain, time_range
from fathom.tools.search.transport import retry_after

OPTIONS = SearchOptions(gl="de", hl="de", location="Berlin", tbs="qdr:w", page=2, autocorrect=False)
every_provider = pytest.mark.parametrize("name", PROVIDERS)


def made(name, base, **options):
    kind = registry.load(PROVIDERS, name)
    return kind(base_url=base, key=KEY if kind.takes_key else "", **({"pause_s": 0.0} | options))


def search(name, base, options=SearchOptions(), **given):  # noqa: B008 - frozen
    return asyncio.run(made(name, base, **given).search("lamp oil", 3, options))


def test_every_provider_has_its_speech():
    assert SPEECH.keys() == PROVIDERS.keys()


@every_provider
def test_a_good_answer_becomes_plain_hits(serving, name):
    with serving(lambda request: request.reply(200, SPEECH[name].good)) as base:
        hits = search(name, base)
    uri, title, snippet = SPEECH[name].first
    assert (hits[0].uri, hits[0].title, hits[0].snippet) == (uri.format(base=base), title, snippet)
    assert all(hit.uri.startswith(("http://", "https://")) and hit.title for hit in hits)
    assert all(hit.collection == registry.load(PROVIDERS, name).label for hit in hits)


@every_provider
def test_the_request_is_the_documented_one(serving, name):
    seen = {}

    def answer(request):
        seen.update(
            method=request.command,
            path=urlsplit(request.path).path,
            param={key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()},
            header=dict(request.headers),
            body=request.body,
        )
        request.reply(200, SPEECH[name].good)

    with serving(answer) as base:
        search(name, base, OPTIONS)
    speech = SPEECH[name]
    assert (seen["method"], seen["path"]) == (speech.method, speech.path)
    for where, key, value in speech.asked:
        if where == "header":
            assert {name.lower(): said for name, said in seen["header"].items()}[key.lower()] == value
        elif where == "json":
            assert json.loads(seen["body"])[key] == value
        elif where == "form":
            assert parse_qs(seen["body"].decode())[key] == [value]
        else:
            assert seen["param"][key] == value


@every_provider
def test_an_empty_answer_is_no_error(serving, name):
    with serving(lambda request: request.reply(200, SPEECH[name].empty)) as base:
        assert list(search(name, base)) == []


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [(name, status, body) for name, speech in SPEECH.items() for status, body in speech.refusals],
)
def test_a_documented_refusal_is_an_error_with_provider_status_and_body(serving, name, status, body):
    with (
        serving(lambda request: request.reply(status, body, Retry_After="0")) as base,
        pytest.raises(ToolError) as told,
    ):
        search(name, base)
    text = str(told.value)
    assert text.startswith(registry.load(PROVIDERS, name).label)
    assert status == 200 or f"answered {status}: " in text


@every_provider
@pytest.mark.parametrize("status", [400, 401, 403, 202])
def test_an_error_status_is_told_at_once(serving, name, status):
    seen = []

    def answer(request):
        seen.append(1)
        request.reply(status, b'{"message": "not for you, sorry"}')

    with serving(answer) as base, pytest.raises(ToolError, match=f"answered {status}: .*not for you, sorry"):
        search(name, base)
    assert len(seen) == 1


@every_provider
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_three_times(serving, name, status):
    seen = []

    def answer(request):
        seen.append(1)
        request.reply(status, b"try later", Retry_After="0")

    with serving(answer) as base, pytest.raises(ToolError, match=f"answered {status}: try later"):
        search(name, base)
    assert len(seen) == 3


@every_provider
def test_a_service_that_recovers_gives_its_results(serving, name):
    replies = iter([(503, b"busy"), (429, b"slow down"), (200, SPEECH[name].good)])
    with serving(lambda request: request.reply(*next(replies), Retry_After="0")) as base:
        assert search(name, base)


@every_provider
def test_a_wait_longer_than_the_deadline_is_not_waited_for(serving, name):
    with (
        serving(lambda request: request.reply(429, b"tomorrow", Retry_After="86400")) as base,
        pytest.raises(ToolError, match=r"429: tomorrow .*asks to wait 86400 s"),
    ):
        search(name, base)


@every_provider
def test_a_hanging_service_ends_at_the_deadline(serving, name):
    released = threading.Event()
    with serving(lambda request: released.wait(30)) as base:
        try:
            with pytest.raises(ToolError, match=r"did not answer within 0\.3 s"):
                search(name, base, deadline_s=0.3)
        finally:
            released.set()


@every_provider
def test_a_service_that_sends_a_byte_at_a_time_ends_at_the_deadline(serving, name):
    released = threading.Event()

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        with contextlib.suppress(OSError):
            while not released.wait(0.02):
                request.wfile.write(b" ")
                request.wfile.flush()

    with serving(answer) as base:
        try:
            with pytest.raises(ToolError, match="did not answer within"):
                search(name, base, deadline_s=1.0 if name == "duckduckgo" else 0.3)
        finally:
            released.set()


GARBAGE = {
    "nothing": b"",
    "a page": b"<!doctype html><html><body><h1>It works!</h1></body></html>",
    "noise": random.Random(7).randbytes(5000),
    "null": b"null",
    "a list": b"[1, 2, 3]",
    "an empty object": b"{}",
    "wrong types": b'{"organic": 1, "results": {"a": 1}, "web": [], "type": [], "query": 5}',
    "half": b'{"organic": [{"title": "a", "li',
    "deep": b'{"results":' + b"[" * 100_000,
}


@every_provider
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_an_error_and_not_no_results(serving, name, kind):
    with serving(lambda request: request.reply(200, GARBAGE[kind])) as base, pytest.raises(ToolError):
        search(name, base)


@every_provider
def test_an_endless_answer_is_given_up(serving, name):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(b"x" * 65536)

    with serving(answer) as base, pytest.raises(ToolError, match="more than 2 MB"):
        search(name, base)


BOMB = gzip.compress(bytes(60 * 2**20))


@every_provider
def test_an_answer_that_unpacks_to_gigabytes_is_given_up(serving, name):
    with (
        serving(lambda request: request.reply(200, BOMB, Content_Encoding="gzip")) as base,
        pytest.raises(ToolError, match=r"more than 2 MB|ended the process"),
    ):
        search(name, base)


@every_provider
def test_an_answer_that_breaks_off_is_an_error(serving, name):
    def answer(request):
        request.close_connection = True
        request.reply(200, SPEECH[name].good[:50], Content_Length="5000")

    with serving(answer) as base, pytest.raises(ToolError, match="could not be reached"):
        search(name, base)


@every_provider
def test_nobody_at_the_address_is_an_error(serving, name):
    with serving(lambda request: None) as base:
        pass
    with pytest.raises(ToolError, match="could not be reached"):
        search(name, base)


@every_provider
def test_a_redirect_is_not_followed_so_that_no_key_goes_elsewhere(serving, name):
    elsewhere = []

    def steal(request):
        elsewhere.append(dict(request.headers))
        request.reply(200, SPEECH[name].good)

    with (
        serving(steal) as other,
        serving(lambda request: request.reply(307, b"moved", Location=f"{other}/search")) as base,
        pytest.raises(ToolError, match="answered 307: moved"),
    ):
        search(name, base)
    assert elsewhere == []


@every_provider
def test_a_key_that_the_service_echoes_is_not_in_the_error(serving, name):
    remember(KEY)
    with (
        serving(lambda request: request.reply(401, f"the key {KEY} is not known".encode())) as base,
        pytest.raises(ToolError) as told,
    ):
        search(name, base)
    assert KEY not in str(told.value) and "is not known" in str(told.value)


@every_provider
def test_without_its_key_a_service_says_what_it_needs_and_sends_nothing(serving, name):
    kind = registry.load(PROVIDERS, name)
    if not kind.needs_key:
        return
    seen = []
    with serving(seen.append) as base, pytest.raises(ToolError, match="needs a key; it is given in Settings"):
        asyncio.run(kind(base_url=base).search("lamp", 3))
    assert seen == []


def test_a_key_with_a_line_break_cannot_add_a_header(serving):
    kind = registry.load(PROVIDERS, "serper")
    with serving(lambda request: None) as base, pytest.raises(ToolError, match="characters that no key has"):
        asyncio.run(kind(base_url=base, key="abcdefgh\r\nHost: evil").search("lamp", 3))


def test_searxng_without_an_address_says_where_to_give_one():
    with pytest.raises(ToolError, match="has no address yet"):
        asyncio.run(registry.load(PROVIDERS, "searxng")().search("lamp", 3))


def test_engines_of_searxng_that_failed_are_an_error_when_nothing_came_back(serving):
    body = b'{"results": [], "unresponsive_engines": [["google", "CAPTCHA"], ["bing", "timeout"]]}'
    with serving(lambda request: request.reply(200, body)) as base, pytest.raises(ToolError, match="google: CAPTCHA"):
        search("searxng", base)


def test_a_forbidding_searxng_says_which_setting_is_missing(serving):
    with serving(lambda request: request.reply(403, b"no")) as base, pytest.raises(ToolError, match=r"search\.formats"):
        search("searxng", base)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><feed>&b;</feed>',
        b'<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed>&x;</feed>',
        '<!DOCTYPE feed [<!ENTITY x "y">]><feed/>'.encode("utf-16"),
        b"<feed>" + b"<a>" * 300_000,
        b"<feed xmlns='http://www.w3.org/2005/Atom'>&undefined;</feed>",
    ],
)
def test_xml_bombs_are_refused(serving, body):
    with serving(lambda request: request.reply(200, body)) as base, pytest.raises(ToolError, match="arXiv answered"):
        search("arxiv", base)


@pytest.mark.parametrize("hl", ["evil.example/", "en.evil.example", "../x", "e", "@x", "en\n", "xn--80ak6aa92e"])
def test_a_language_cannot_name_another_host(hl):
    wikipedia = registry.load(PROVIDERS, "wikipedia")()
    assert wikipedia.host(SearchOptions(hl=hl)).endswith(".wikipedia.org")
    assert wikipedia.host(SearchOptions(hl=hl)).count(".") == 2


def test_the_language_chooses_the_wikipedia():
    assert registry.load(PROVIDERS, "wikipedia")().host(SearchOptions(hl="ko")) == "ko.wikipedia.org"


@given(st.lists(st.sampled_from(["a", "lamp", "burns", "in", "the", "evening", "and", "again"]), max_size=60))
def test_an_abstract_is_rebuilt_from_its_inverted_index(words):
    index: dict[str, list[int]] = {}
    for position, word in enumerate(words):
        index.setdefault(word, []).append(position)
    assert rebuilt(index) == " ".join(words)


@given(st.text(max_size=80))
def test_an_arxiv_query_holds_no_syntax_of_the_words(query):
    text = expression(query)
    assert not set(text) & set("()[]{}\\\n")
    assert text.count('"') % 2 == 0


def test_an_arxiv_query_keeps_phrases():
    assert expression('attention "is all" you need?') == 'all:attention AND all:"is all" AND all:you AND all:need'


@given(st.text(max_size=200))
def test_plain_text_is_one_line(text):
    assert "\n" not in plain(text) and plain(text) == plain(text).strip()


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert retry_after("7") == 7.0
    later = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None and 50 < later <= 60
    assert retry_after("Mon, 01 Jan 1990 00:00:00 GMT") == 0.0
    assert [retry_after(text) for text in ("", "soon", "-5", "1e9", "99999999999999999999 GMT")] == [None] * 5


def test_time_filters_are_read():
    assert [time_range(tbs) for tbs in ("qdr:h", "qdr:d", "qdr:w2", "qdr:m", "qdr:y", "cdr:1", "")] == [
        "day", "day", "week", "month", "year", "", ""
    ]  # fmt: skip
