"""Which passage backs an answer or a sentence: to the letter, on any script, never by accident."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.agent.evidence import (
    Saved,
    back_answer,
    back_sentence,
    find,
    saved_passages,
    sentences,
    telling_sentences,
)
from fathom.core.types import Observation, Passage, Step

TEMPLE = (
    "Shirley Temple Black was an American actress. She was named United States ambassador to Ghana and to "
    "Czechoslovakia, and also served as Chief of Protocol of the United States."
)
FILM = "Kiss and Tell is a 1945 American comedy film starring then 17-year-old Shirley Temple as Corliss Archer."
SEOUL = "세종대왕은 1443년에 훈민정음을 창제하였다. 그는 조선의 제4대 국왕이다."
BEIJING = "北京大学创办于1898年，初名京师大学堂。它位于北京市海淀区。"


def saved(*texts: str, read: bool = True) -> list[Saved]:
    return [
        Saved(step, Passage(uri=f"library://x/{step}", title=f"Page {step}", text=text, end=len(text)), read)
        for step, text in enumerate(texts, 1)
    ]


@pytest.mark.parametrize(
    ("answer", "quote"),
    [
        ("Chief of Protocol", "She was named United States ambassador"),
        ("chief of  PROTOCOL", "She was named United States ambassador"),
        ("Corliss Archer", "Kiss and Tell is a 1945"),
        ("17-year-old", "Kiss and Tell is a 1945"),
        ("훈민정음", "세종대왕은 1443년에 훈민정음을 창제하였다."),
        ("京师大学堂", "北京大学创办于1898年，初名京师大学堂。"),
        ("ＧＨＡＮＡ", "She was named United States ambassador"),
    ],
)
def test_answer_that_a_passage_holds_is_backed_by_that_sentence(answer: str, quote: str) -> None:
    backing = back_answer(answer, "What is it?", saved(TEMPLE, FILM, SEOUL, BEIJING))
    assert backing is not None
    assert backing.quote.startswith(quote)
    assert backing.quote == backing.passage.text[backing.start : backing.end]


@pytest.mark.parametrize(
    "answer",
    ["Chief of Staff", "Prot", "hana", "yes", "No.", "the", "", "!!!", "Shirley Black Temple", "1946", "대왕은 세종"],
)
def test_answer_that_no_passage_holds_is_not_backed(answer: str) -> None:
    assert back_answer(answer, "What position did she hold?", saved(TEMPLE, FILM, SEOUL)) is None


def test_a_bare_number_counts_only_where_its_sentence_is_about_the_question() -> None:
    texts = saved("The hall has 1945 seats.", FILM)
    backing = back_answer("1945", "In what year was the comedy film Kiss and Tell made?", texts)
    assert backing is not None
    assert backing.passage.text == FILM
    assert back_answer("1945", "How many people live in Szeged in Hungary?", texts) is None


def test_of_several_places_the_one_near_the_question_wins() -> None:
    texts = saved("Paris is the name of a band from Hungary.", "The Louvre museum is in Paris.")
    backing = back_answer("Paris", "In which city is the Louvre museum?", texts)
    assert backing is not None
    assert "Louvre" in backing.quote


def test_thousands_separators_and_white_space_do_not_matter() -> None:
    assert find("1,234", "There are 1234 of them") is not None
    assert find("new york", "from New\n  York to") is not None
    assert find("1.5", "they are 1.5 m long") is not None
    assert find("1.5", "they are 15 m long") is None


def test_sentence_needs_most_of_its_words_and_all_of_its_numbers() -> None:
    texts = saved(TEMPLE, FILM)
    assert back_sentence("Shirley Temple was the United States ambassador to Ghana.", texts) is not None
    assert back_sentence("Kiss and Tell is an American comedy film of 1945.", texts) is not None
    assert back_sentence("Kiss and Tell is an American comedy film of 1946.", texts) is None
    assert back_sentence("She liked to sail on quiet lakes in summer.", texts) is None
    assert back_sentence("I am ready.", texts) is None


def test_telling_sentences_come_from_opened_pages_only_and_at_most_two_of_one() -> None:
    page = " ".join(f"Corliss Archer was played by actress number {n} in the film." for n in range(5))
    chosen = telling_sentences("Who played Corliss Archer?", saved(page), 5)
    assert len(chosen) == 2
    assert telling_sentences("Who played Corliss Archer?", saved(page, read=False), 5) == []


def test_each_passage_counts_once_and_opened_pages_come_first() -> None:
    passage = Passage(uri="library://x/1", title="T", text=FILM, end=len(FILM))
    other = Passage(uri="library://x/2", title="U", text=TEMPLE, end=len(TEMPLE))
    steps = [
        Step(index=1, thought="", observations=(_seen("google_search", passage), _seen("google_search", other))),
        Step(index=2, thought="", observations=(_seen("scrape_and_extract_info", passage),)),
        Step(index=3, thought="", observations=(_seen("scrape_and_extract_info", other, is_error=True),)),
    ]
    assert [(item.step, item.passage.uri, item.read) for item in saved_passages(steps)] == [
        (2, "library://x/1", True),
        (1, "library://x/2", False),
    ]


def _seen(tool: str, passage: Passage, is_error: bool = False) -> Observation:
    return Observation(call_id="c", tool=tool, text=passage.text, passages=(passage,), is_error=is_error)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith met J. K. Rowling. They talked.", 2),
        ("北京大学创办于1898年。它在北京。", 2),
        ("One\n\nTwo\nThree", 3),
        ("It rose by 1.5 percent. Why?", 2),
        ("  ", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(list(sentences(text))) == count


@given(text=st.text(alphabet="aB1 .。\n!?\"'(한国ー,", max_size=80))
def test_sentences_are_in_order_and_lose_no_letter(text: str) -> None:
    spans = list(sentences(text))
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    kept = "".join(text[a:b] for a, b in spans)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]


@given(text=st.text(max_size=60), needle=st.text(max_size=8))
def test_what_is_found_stands_there(text: str, needle: str) -> None:
    place = find(needle, text)
    if place is not None:
        start, end = place
        assert 0 <= start < end <= len(text)
        assert find(needle, text[start:end]) is not None
