"""The search services as a person arranges them: order, on and off, keys, addresses, sites, tests, health."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import keyring.backends.fail
import pytest

from fathom.core.errors import ToolError, UserError
from fathom.core.protocols import SearchOptions
from fathom.core.settings import SearchSettings, Settings
from fathom.services.keys import Keys
from fathom.services.search_service import SearchService
from fathom.tools.search import PROVIDERS

KEY = "key-of-the-service-tests"


@contextmanager
def serving(status, body):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            """Not wanted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def service(**search):
    return SearchService(Settings(search=SearchSettings(**search)), Keys(keyring.backends.fail.Keyring()))


def test_wikipedia_alone_is_asked_until_a_person_chooses(fathom_home):
    made = service()
    assert [one.name for one in made.providers()] == list(PROVIDERS)
    assert [one.name for one in made.providers() if one.on] == ["wikipedia"]
    assert made.labels_on() == ["Wikipedia"]
    assert [one.label for one in asyncio.run(made.panel()).providers] == ["Wikipedia"]


def test_order_and_switches_are_kept_in_the_settings_file(fathom_home):
    made = service()
    made.switch("arxiv", True)
    made.move("arxiv", -1)
    made.set_together(True)
    again = SearchService(Settings.load(), Keys(keyring.backends.fail.Keyring()))
    assert again.order()[6:8] == ["arxiv", "wikipedia"]
    assert again.labels_on() == ["arXiv", "Wikipedia"] and again.settings.together


def test_moving_past_the_ends_changes_nothing(fathom_home):
    made = service()
    before = made.order()
    made.move(before[0], -1)
    made.move(before[-1], 1)
    assert made.order() == before


def test_an_unknown_name_in_the_settings_is_passed_over_and_a_new_provider_follows(fathom_home):
    made = service(order=("gone", "exa", "exa"), on=("gone", "exa"))
    assert made.order()[0] == "exa" and sorted(made.order()) == sorted(PROVIDERS)
    assert made.labels_on() == ["Exa"]


@pytest.mark.parametrize("act", ["switch", "move", "set_address"])
def test_a_provider_that_there_is_not_is_an_error_that_names_the_others(fathom_home, act):
    arguments = {"switch": (True,), "move": (1,), "set_address": ("http://x",)}[act]
    with pytest.raises(UserError, match="no search service 'altavista'"):
        getattr(service(), act)("altavista", *arguments)


def test_a_key_switches_its_provider_on_and_reaches_it_but_not_the_settings(fathom_home):
    async def main():
        made = service()
        state = await made.set_key("serper", KEY)
        panel = await made.panel()
        return made, state, panel

    made, state, panel = asyncio.run(main())
    assert not state.lasting and made.labels_on() == ["Serper", "Wikipedia"]
    assert panel.providers[0]._key == KEY
    assert KEY not in (fathom_home / "settings.json").read_text()
    assert asyncio.run(made.has_key("serper")) and not asyncio.run(made.has_key("brave"))
    assert asyncio.run(made.remove_key("serper")) is True
    assert not asyncio.run(made.has_key("serper"))


def test_a_provider_without_keys_takes_none(fathom_home):
    with pytest.raises(UserError, match="Wikipedia takes no key"):
        asyncio.run(service().set_key("wikipedia", KEY))


def test_an_address_is_kept_and_must_be_one(fathom_home):
    made = service()
    made.set_address("searxng", " http://localhost:8888/ ")
    state = next(one for one in made.providers() if one.name == "searxng")
    assert (state.address, state.host, state.takes_address) == ("http://localhost:8888", "localhost", True)
    with pytest.raises(UserError, match="no address of a server"):
        made.set_address("searxng", "localhost")
    made.set_address("searxng", "")
    assert made.settings.addresses == {}


def test_a_test_tells_what_works_and_what_does_not_and_is_seen_in_the_health(fathom_home):
    async def main(base):
        made = service(addresses={"serper": base})
        without = await made.test("serper")
        await made.set_key("serper", KEY)
        return made, without, await made.test("serper")

    good = json.dumps({"organic": [{"link": "https://a.org/", "title": "A", "snippet": "s"}]}).encode()
    with serving(200, good) as base:
        made, without, result = asyncio.run(main(base))
    assert not without.ok and "Serper needs a key" in without.message
    assert result.ok and result.message == "Serper works: 1 result for “lighthouse”"
    health = made.health.of("serper")
    assert health.is_well and health.last_error.startswith("Serper needs a key")
    with serving(403, b'{"message":"Unauthorized."}') as base:
        _, _, result = asyncio.run(main(base))
    assert not result.ok and "403" in result.message and "Unauthorized" in result.message


def test_sites_are_cleaned_and_reach_the_panel(fathom_home):
    made = service()
    made.set_sites(blocked=[" a.org ", "", "a.org", "b.org"], pinned=["c.org"])
    assert (made.settings.blocked, made.settings.pinned) == (("a.org", "b.org"), ("c.org",))
    assert asyncio.run(made.panel()).blocked == ("a.org", "b.org")


def test_a_panel_whose_only_provider_lacks_its_key_says_so(fathom_home):
    async def leave(host, query):
        """Always."""

    async def main():
        panel = await service(on=("brave",)).panel()
        return await panel.search("x y", 3, SearchOptions(), leave)

    with pytest.raises(ToolError, match="Brave needs a key"):
        asyncio.run(main())
