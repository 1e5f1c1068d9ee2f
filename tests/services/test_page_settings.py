"""What a person chose for pages: room for copies, ports, a model that reads long ones."""

from __future__ import annotations

import asyncio

from fathom.core.protocols import Document
from fathom.core.settings import Settings
from fathom.services.application import fetch_policy, open_page_store, open_services


def test_ports_that_the_person_allowed_are_added_to_the_usual_ones():
    assert fetch_policy(Settings()).ports == {80, 443}
    assert fetch_policy(Settings(extra_ports=(8080,))).ports == {80, 443, 8080}


def test_copies_are_kept_in_a_database_of_their_own_unless_there_is_no_room_for_them(fathom_home):
    assert open_page_store(Settings(page_cache_mb=0), fathom_home) is None
    assert not (fathom_home / "pages.db").exists()
    store = open_page_store(Settings(), fathom_home)
    store.save("http://x/", "http://x/", Document(uri="", title="", text="lamp"))
    assert store.find("http://x/").document.text == "lamp"
    store.database.close()
    aged = open_page_store(Settings(page_cache_days=0.0), fathom_home)
    assert aged.find("http://x/") is None and aged.find("http://x/", any_age=True)
    aged.database.close()


def test_services_open_the_copies_and_the_second_model_only_where_one_is_named(fathom_home):
    async def opened(**chosen):
        services = await open_services(Settings(**chosen))
        found = services.pages is not None, services.extractor is not None
        await services.close()
        return found

    assert asyncio.run(opened()) == (True, False)
    assert asyncio.run(opened(page_cache_mb=0, extract_model="/models/small.gguf")) == (False, True)
