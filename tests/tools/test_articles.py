"""The whole extraction on pages made by hand, against the two libraries that it is made of."""

from __future__ import annotations

import pytest
import trafilatura
from article_pages import PAGES
from article_score import f1, precision_recall
from lxml.html import document_fromstring
from readability import Document as Readability

from fathom.tools.extract.html import extract_html

FURNITURE = (
    "Share on",
    "Tweet",
    "comments",
    "Read more",
    "morning letter",
    "Photo:",
    "on the gallery, trying",
    "partners store",
)


def by_readability(page):
    return "\n".join(document_fromstring(Readability(page).summary(html_partial=True)).itertext())


def by_trafilatura(page):
    return trafilatura.extract(page.encode(), include_comments=False) or ""


def test_the_score_by_hand():
    # wanted: abcd bcde; found: abcd bcdx: half of either
    assert precision_recall("a b c d e", "a b c d x") == (0.5, 0.5)
    assert precision_recall("", "") == (1.0, 1.0) and precision_recall("a", "") == (0.0, 0.0)
    assert f1([("a b c d e", "a b c d x"), ("a", "a")]) == pytest.approx(0.75)


@pytest.mark.parametrize("name", PAGES)
def test_nearly_all_of_the_article_and_nothing_of_the_frame(name):
    page, article = PAGES[name]
    text = extract_html(page.encode()).text
    precision, recall = precision_recall(article, text)
    assert recall > 0.97 and precision > 0.96, text
    assert not [word for word in FURNITURE if word in text]


def test_it_is_better_than_either_library():
    pages = PAGES.values()
    ours = f1((article, extract_html(page.encode()).text) for page, article in pages)
    readability = f1((article, by_readability(page)) for page, article in pages)
    trafilaturas = f1((article, by_trafilatura(page)) for page, article in pages)
    assert ours > 0.99 and ours > readability and ours > trafilaturas


def test_markdown_of_an_article():
    text = extract_html(PAGES["news"][0].encode()).text
    assert "\n\n## Who pays for the light\n\n" in text and not text.startswith("#")  # the title is beside the text
    assert "| Tower | Height in metres | Lit since |\n| --- | --- | --- |\n| Skerryvore | 48 | 1844 |" in (
        extract_html(PAGES["table"][0].encode()).text
    )
    assert "\n- a torch, since the stairs are dark\n- a coat" in extract_html(PAGES["blog"][0].encode()).text
    assert "> I rowed because" in extract_html(PAGES["quotes"][0].encode()).text


def test_a_table_of_links_between_paragraphs_is_kept_and_the_calendar_of_the_side_bar_is_not():
    sentences = [
        f"The keeper of tower number {n} lit the lamp, and wrote the weather down in a heavy book." for n in range(12)
    ]
    paragraphs = [f"<p>{one}</p>" for one in sentences]
    rows = "".join(
        f'<tr><td><a href="/{n}">Tower {n}</a></td><td><a href="/k{n}">Keeper {n}</a></td></tr>' for n in range(4)
    )
    table = f"<div class='wide'><table><tr><th>Tower</th><th>Keeper</th></tr>{rows}</table></div>"
    calendar = "<table id='wp-calendar'><tr><th>Mo</th><th>Tu</th></tr><tr><td>1</td><td>2</td></tr></table>"
    body = "".join([*paragraphs[:6], table, *paragraphs[6:]])
    text = extract_html(f"<body><div class=post>{body}</div><div>{calendar}</div></body>".encode()).text
    first, last = text.index(sentences[5]), text.index(sentences[6])
    assert first < text.index("| Tower | Keeper |\n| --- | --- |\n| Tower 0 | Keeper 0 |") < last
    assert "| Mo |" not in text
