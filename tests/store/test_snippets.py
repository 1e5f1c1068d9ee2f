"""Snippets and terms, as pure functions."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from fathom.store.library_files import clean
from fathom.store.snippets import WIDTH, best_span, places
from fathom.store.terms import MAX_TERMS, Term, filter_terms, fold, index_form, query_terms

mixed = st.text(alphabet=st.sampled_from("ab cé.İß\n。서울은北京ﬁ①\u0301"), max_size=900)


def weights(query: str) -> list[tuple[Term, float]]:
    return [(term, 1.0) for term in query_terms(query)]


@given(text=mixed, query=mixed.map(lambda text: text[:30]))
def test_span_lies_in_the_text_and_has_no_blanks_at_its_ends(text: str, query: str) -> None:
    start, end = best_span(text, weights(query))
    assert 0 <= start <= end <= len(text)
    assert end - start <= WIDTH
    assert text[start:end] == text[start:end].strip()


@given(text=mixed)
def test_folding_keeps_offsets(text: str) -> None:
    assert len(fold(text)) == len(text)


def test_folding_takes_case_accents_and_width_away() -> None:
    assert fold("Café ŠAFÁŘOVÁ ＡＢＣ 서울") == "cafe safarova abc 서울"


def test_span_holds_whole_sentences_around_the_match() -> None:
    text = "One thing. " * 50 + "The Dolphin hotel was designed by Michael Graves. " + "Other things. " * 50
    start, end = best_span(text, weights("who designed the dolphin hotel"))
    assert "The Dolphin hotel was designed by Michael Graves." in text[start:end]
    assert text[start:end].startswith("The Dolphin hotel")
    assert text[start:end].endswith("Other things.")


def test_span_finds_the_place_in_korean_text() -> None:
    text = "날씨가 좋다. " * 80 + "장영실은 측우기를 만들었다. " + "바람이 분다. " * 80
    start, end = best_span(text, weights("측우기를 만든 사람"))
    assert "장영실은 측우기를 만들었다." in text[start:end]


def test_rare_word_wins_over_common_ones() -> None:
    text = "the man and the river. " * 40 + "Zanzibar is an island. " + "the man and the river. " * 40
    terms = [(term, 5.0 if term.text == "zanzibar" else 0.1) for term in query_terms("the man of zanzibar")]
    start, end = best_span(text, terms)
    assert "Zanzibar" in text[start:end]


def test_text_without_a_match_gives_its_beginning() -> None:
    text = "Alpha beta gamma. " * 60
    assert best_span(text, weights("zzz"))[0] == 0


def test_index_form_of_cjk_is_bigrams_and_the_last_character() -> None:
    assert index_form("plain text, untouched") == "plain text, untouched"
    assert index_form("北京市 in China").split() == ["北京", "京市", "市", "in", "China"]
    assert index_form("GPT는").split() == ["GPT", "는"]


def test_query_terms_are_each_once_and_without_lone_letters() -> None:
    assert [term.text for term in query_terms("St James's St, James")] == ["st", "james"]
    assert [term.text for term in query_terms("C")] == ["c"]
    assert [term.text for term in query_terms("北京首都")] == ["北京", "京首", "首都"]
    assert query_terms("?! …") == []


def test_pasted_page_as_a_query_is_cut() -> None:
    assert len(query_terms(" ".join(f"word{n}" for n in range(500)))) == MAX_TERMS


def test_filter_matches_prefixes_and_korean_without_particles() -> None:
    assert filter_terms("Cor") == ['"Cor"*']
    assert filter_terms("서울에서") == ['"서울 울에 에서" OR "서울"']


CJK = st.text(alphabet=st.sampled_from("서울은北京東京カタ"), min_size=1, max_size=12)
HANGUL = st.text(alphabet=st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=12)


@given(run=CJK)
def test_every_pair_and_the_last_character_of_a_run_is_a_token(run: str) -> None:
    tokens = index_form(run).split()
    assert tokens == [run[at : at + 2] for at in range(len(run))]
    assert "".join(token[0] for token in tokens) == run


@given(word=HANGUL)
def test_decomposed_korean_is_indexed_and_searched_like_composed(word: str) -> None:
    apart = unicodedata.normalize("NFD", word)
    assert index_form(apart) == index_form(word)
    assert query_terms(apart) == query_terms(word)
    assert clean(apart) == word


@given(before=CJK, word=CJK.filter(lambda word: len(word) > 1), after=CJK)
def test_a_query_s_pairs_stand_in_every_text_that_holds_it(before: str, word: str, after: str) -> None:
    tokens = set(index_form(before + word + after).split())
    for term in query_terms(word):
        if term.match == f'"{term.text}"' and len(term.text) == 2:
            assert term.text in tokens


@given(text=mixed, query=mixed.map(lambda text: text[:30]))
def test_places_are_in_order_apart_and_hold_the_terms(text: str, query: str) -> None:
    terms = query_terms(query)
    found = places(text, terms)
    ends = [0]
    for start, end in found:
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)
        folded = fold(text[start:end])
        assert any(fold(term.text)[:4][:1] in folded for term in terms)


@given(text=mixed)
def test_folding_in_parts_is_folding_as_a_whole(text: str) -> None:
    assert fold(text) == "".join(fold(character) for character in text)


def test_places_are_whole_words_and_joined_pairs() -> None:
    def marked(text: str, query: str) -> list[str]:
        return [text[start:end] for start, end in places(text, query_terms(query))]

    assert marked("Recovers lithium; lithium-based recovery.", "lithium recovery") == [
        "Recovers",
        "lithium",
        "lithium",
        "recovery",
    ]
    assert marked("국내 업체는 리튬 회수율을 높인다.", "리튬의 회수율") == ["리튬", "회수율"]
    assert marked("bluet or blue", "blue") == ["bluet", "blue"]
    assert marked("nothing", "") == []


def test_word_of_one_syllable_is_found_under_another_particle() -> None:
    (term,) = query_terms("물은")
    assert term.text == "물"
    assert term.match == '("물은" OR "물"*)'


def test_pairs_of_hiragana_are_grammar_beside_other_words() -> None:
    assert [term.text for term in query_terms("日本のどこ")] == ["日本", "本の"]
    assert [term.text for term in query_terms("どこ")] == ["どこ"]
