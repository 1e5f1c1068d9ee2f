"""The copies of pages: by address and time, bounded in age and size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fathom.core.protocols import Document
from fathom.store.database import open_database
from fathom.store.pages import PageStore

DAY = 86400.0


class Clock:
    def __init__(self):
        self.moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self):
        self.moment += timedelta(milliseconds=1)  # no two moments are the same
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    made = PageStore(open_database(tmp_path / "pages.db"), max_age_s=7 * DAY, max_bytes=20_000, now=clock)
    yield made
    made.database.close()


def page(text="The lamp was lit.", **fields):
    return Document(uri="http://x/", title="Lamps", text=text, **fields)


def test_a_copy_comes_back_as_it_was_with_its_time(store):
    document = page(author="A. Keeper", date="2024", pages=(0, 9))
    store.save("http://x/", "http://x/final", document)
    saved = store.find("http://x/")
    assert (saved.document, saved.final_url) == (document, "http://x/final")
    assert saved.fetched.startswith("2026-01-02T03:04:05.001") and saved.fetched.endswith("Z")
    assert store.find("http://y/") is None


def test_the_newest_copy_answers_and_the_older_one_is_kept(store, clock):
    store.save("http://x/", "http://x/", page("first"))
    clock.moment += timedelta(days=1)
    store.save("http://x/", "http://x/", page("second"))
    assert store.find("http://x/").document.text == "second"
    assert store.database.rows("SELECT count(*) FROM pages") == [(2,)]


def test_an_old_copy_answers_only_when_any_age_will_do(store, clock):
    store.save("http://x/", "http://x/", page())
    clock.moment += timedelta(days=8)
    assert store.find("http://x/") is None
    assert store.find("http://x/", any_age=True).document == page()


def test_the_oldest_copies_make_room(store):
    for number in range(60):
        text = " ".join(f"{number}-{word}" for word in range(150))
        store.save(f"http://x/{number}", f"http://x/{number}", page(text))
    ((total,),) = store.database.rows("SELECT sum(size) FROM pages")
    assert 10_000 < total <= 20_000
    assert store.find("http://x/59") and store.find("http://x/0") is None


def test_a_page_larger_than_all_the_room_is_not_kept(store):
    store.save("http://x/", "http://x/", page("".join(chr(0xAC00 + (n * 7919) % 11172) for n in range(30_000))))
    assert store.find("http://x/") is None


def test_known_tells_which_addresses_have_a_copy(store):
    store.save("http://x/", "http://x/", page())
    assert store.known(["http://x/", "http://y/"]) == {"http://x/"}
    assert store.known([]) == set()


def test_a_damaged_copy_is_no_copy(store):
    store.save("http://x/", "http://x/", page())
    with store.database.transaction() as connection:
        connection.execute("UPDATE pages SET document = x'00ff'")
    assert store.find("http://x/") is None


def test_clear_removes_all(store):
    store.save("http://x/", "http://x/", page())
    store.clear()
    assert store.find("http://x/", any_age=True) is None


def test_copies_outlive_the_process(tmp_path, clock):
    for _ in range(2):
        store = PageStore(open_database(tmp_path / "p.db"), max_age_s=DAY, max_bytes=10_000, now=clock)
        found = store.find("http://x/")
        store.save("http://x/", "http://x/", page())
        store.database.close()
    assert found.document == page()
