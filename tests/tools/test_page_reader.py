"""Saved copies of web pages: a run that is repeated, forked, offline or cut off reads them, and says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fathom.core.errors import DatabaseError, ToolError
from fathom.core.types import Scope, ToolCall
from fathom.store.database import open_database
from fathom.store.pages import PageStore
from fathom.tools.addresses import FetchPolicy
from fathom.tools.pages import PageReader
from fathom.workers.parser import ParserClient

PAGE = (
    b"<html><title>Towers</title><body>" + b"<p>In 1974 she was appointed ambassador to Ghana, said the keeper.</p>" * 6
)


class Clock:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pages(tmp_path, clock):
    store = PageStore(open_database(tmp_path / "pages.db"), max_age_s=86400, max_bytes=10**6, now=clock)
    yield store
    store.database.close()


@pytest.fixture
def site(serving):
    """A server whose pages can be changed; ``site.asked`` are the paths that it was asked for."""

    class Site:
        asked: list[str] = []  # noqa: RUF012
        answer = staticmethod(lambda request: request.reply(200, PAGE))

    one = Site()
    one.asked = []

    def answer(request):
        one.asked.append(request.path)
        one.answer(request)

    with serving(answer) as base:
        one.base = base
        yield one


def run(toolbox_of, pages, site, *, web=True, times=1, path="/a", wanted="ambassador to Ghana", **options):
    async def main():
        policy = FetchPolicy(allow_loopback=True, ports=frozenset({int(site.base.rsplit(":", 1)[1])}))
        url = site.base + path
        toolbox = await toolbox_of(
            question=f"See {url}", scope=Scope(web=web), pages=pages, fetch_policy=policy, **options
        )
        call = ToolCall(id="1.0", name="scrape_and_extract_info", arguments={"url": url, "info_to_extract": wanted})
        try:
            offered = any(spec.name == call.name for spec in toolbox.specs())
            return [await toolbox.call(call) for _ in range(times)], offered
        finally:
            await toolbox.context.parser.close()
            await toolbox.close()

    return asyncio.run(main())


def test_a_page_is_fetched_once_and_the_copy_says_its_time(toolbox_of, pages, site):
    (first, second), _ = run(toolbox_of, pages, site, times=2)
    assert site.asked == ["/a"]
    assert "saved copy" not in first.text
    assert "This is the saved copy of 2026-01-02 03:04 UTC." in second.text
    assert first.passages == second.passages


def test_another_run_reads_the_copy_and_one_that_is_too_old_is_fetched_again(toolbox_of, pages, site, clock):
    run(toolbox_of, pages, site)
    run(toolbox_of, pages, site)
    assert site.asked == ["/a"]
    clock.moment += timedelta(days=2)
    (observation,), _ = run(toolbox_of, pages, site)
    assert site.asked == ["/a", "/a"] and "saved copy" not in observation.text


def test_without_a_cache_every_page_is_fetched(toolbox_of, site):
    run(toolbox_of, None, site, times=2)
    assert site.asked == ["/a", "/a"]


def test_an_old_copy_stands_in_when_the_page_fails_and_the_reason_is_told(toolbox_of, pages, site, clock):
    run(toolbox_of, pages, site)
    clock.moment += timedelta(days=30)
    site.answer = lambda request: request.reply(503, b"closed for the winter")
    (observation,), _ = run(toolbox_of, pages, site)
    assert not observation.is_error
    assert "This is the saved copy of 2026-01-02 03:04 UTC. The page itself could not be read now:" in observation.text
    assert "answered 503" in observation.text and "closed for the winter" in observation.text


def test_a_page_that_fails_without_a_copy_is_an_error_and_is_not_kept(toolbox_of, pages, site):
    site.answer = lambda request: request.reply(404, b"gone")
    (observation,), _ = run(toolbox_of, pages, site)
    assert observation.is_error and "answered 404" in observation.text
    assert not pages.known([f"{site.base}/a"])


def test_offline_the_copy_answers_whatever_its_age_and_nothing_is_asked(toolbox_of, pages, site, clock):
    run(toolbox_of, pages, site)
    clock.moment += timedelta(days=300)
    (observation,), offered = run(toolbox_of, pages, site, web=False)
    assert offered and site.asked == ["/a"]
    assert "This is the saved copy of 2026-01-02 03:04 UTC." in observation.text
    assert observation.best.startswith("In 1974")


def test_offline_without_a_copy_says_so(toolbox_of, pages, site):
    (observation,), offered = run(toolbox_of, pages, site, web=False)
    assert observation.is_error and not offered and site.asked == []
    assert "the web is switched off, and there is no saved copy of it" in observation.text


def test_where_the_redirects_led_is_kept_with_the_copy(toolbox_of, pages, site):
    def answer(request):
        if request.path == "/a":
            request.reply(302, b"", Location="/b")
        else:
            request.reply(200, PAGE)

    site.answer = answer
    (first, second), _ = run(toolbox_of, pages, site, times=2)
    assert f"The address led to {site.base}/b." in first.text and f"The address led to {site.base}/b." in second.text
    assert first.passages[0].uri == f"{site.base}/a"


class Unusable:
    """A cache whose database is gone: every call fails as the store's do."""

    def find(self, url, *, any_age=False):
        raise DatabaseError("The database is damaged.")

    def known(self, urls):
        raise DatabaseError("The database is damaged.")

    def save(self, url, final_url, document):
        raise DatabaseError("The disk is full.")


def test_a_cache_that_cannot_be_used_is_no_reason_to_fail(toolbox_of, site):
    (first, second), offered = run(toolbox_of, Unusable(), site, times=2)
    assert offered and not first.is_error and not second.is_error and site.asked == ["/a", "/a"]
    (observation,), offered = run(toolbox_of, Unusable(), site, web=False)
    assert observation.is_error and not offered


def test_leave_is_asked_for_the_network_and_not_for_a_copy(pages, site):
    policy = FetchPolicy(allow_loopback=True, ports=frozenset({int(site.base.rsplit(":", 1)[1])}))
    asked = []

    async def main():
        parser = ParserClient()
        reader = PageReader(parser, policy, pages)

        async def refuse():
            asked.append("refused")
            raise ToolError("The person said no.")

        async def allow():
            asked.append("allowed")

        try:
            with pytest.raises(ToolError, match="said no"):
                await reader.read(f"{site.base}/a", leave=refuse)
            assert site.asked == []
            await reader.read(f"{site.base}/a", leave=allow)
            await reader.read(f"{site.base}/a", leave=refuse)
        finally:
            await parser.close()

    asyncio.run(main())
    assert asked == ["refused", "allowed"] and site.asked == ["/a"]
