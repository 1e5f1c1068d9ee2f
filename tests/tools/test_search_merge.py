"""One list of several services' results: the same page once, blocked sites out, pinned ones first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.core.protocols import Hit
from fathom.tools.search.merge import DATASET_MIRRORS, canonical, is_on, merged


def hit(uri, snippet="", collection=""):
    return Hit(uri=uri, title=uri, snippet=snippet, collection=collection)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/a",
        "https://www.example.org/a/",
        "https://EXAMPLE.org:443/a#part",
        "https://example.org/a?utm_source=x&fbclid=1",
        "https://example.org./a",
    ],
)
def test_addresses_of_the_same_page_are_the_same(address):
    assert canonical(address) == "example.org/a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.org/a", "https://example.org/A"),
        ("https://example.org/a?id=1", "https://example.org/a?id=2"),
        ("https://example.org/a", "https://other.org/a"),
        ("https://example.org:8080/a", "https://example.org/a"),
    ],
)
def test_addresses_of_different_pages_differ(one, other):
    assert canonical(one) != canonical(other)


def test_the_order_of_parameters_does_not_count():
    assert canonical("https://e.org/?b=2&a=1") == canonical("https://e.org/?a=1&b=2")


@given(st.text(max_size=100))
def test_any_text_has_a_canonical_form_and_matches_rules_without_an_error(text):
    canonical(text)
    assert is_on(text, ("example.org",)) in (True, False)
    is_on("https://example.org/x", (text,))


@pytest.mark.parametrize(
    ("address", "rule", "holds"),
    [
        ("https://example.org/a", "example.org", True),
        ("https://deep.www.example.org/a", "example.org", True),
        ("https://notexample.org/a", "example.org", False),
        ("https://example.org.evil.net/", "example.org", False),
        ("https://huggingface.co/datasets/gaia", "huggingface.co/datasets", True),
        ("https://huggingface.co/Datasets/gaia", "huggingface.co/datasets", True),
        ("https://huggingface.co/datasets-of-mine", "huggingface.co/datasets", False),
        ("https://huggingface.co/docs", "huggingface.co/datasets", False),
        ("https://example.org/a", "https://www.example.org/", True),
        ("https://example.org/a", "*.example.org", True),
        ("https://example.org/a", "", False),
        ("library://sample/a", "sample", False),
    ],
)
def test_a_rule_holds_for_a_domain_and_the_beginning_of_a_path(address, rule, holds):
    if address.startswith("library:"):
        assert not is_on(address, ("example.org",))
    else:
        assert is_on(address, (rule,)) is holds


def test_dataset_mirrors_are_known():
    assert is_on("https://huggingface.co/datasets/gaia-benchmark/GAIA", DATASET_MIRRORS)
    assert not is_on("https://huggingface.co/blog", DATASET_MIRRORS)


def test_a_page_that_two_services_found_comes_before_those_that_one_did():
    first = [hit("https://a.org/"), hit("https://b.org/", "short")]
    second = [hit("https://www.b.org", "a longer snippet"), hit("https://c.org/")]
    found = merged([first, second])
    assert [one.uri for one in found] == ["https://www.b.org", "https://a.org/", "https://c.org/"]
    assert found[0].snippet == "a longer snippet"


def test_pinned_sites_come_first_and_keep_their_order():
    hits = [hit("https://a.org/1"), hit("https://b.org/1"), hit("https://c.org/"), hit("https://b.org/2")]
    assert [one.uri for one in merged([hits], ("b.org",))] == [
        "https://b.org/1",
        "https://b.org/2",
        "https://a.org/1",
        "https://c.org/",
    ]


def test_a_service_that_repeats_a_page_does_not_push_it_up():
    repeated = [hit("https://a.org/"), hit("https://b.org/"), hit("http://b.org"), hit("https://www.b.org/")]
    assert [one.uri for one in merged([repeated])] == ["https://a.org/", "https://b.org/"]
