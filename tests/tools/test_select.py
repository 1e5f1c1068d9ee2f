"""Passages and selection: offsets to the letter, the budget, and "not found"."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fathom.tools.extract.passages import blocks, sentences
from fathom.tools.extract.select import GAP, best_sentence, bm25, select
from fathom.tools.extract.terms import query_terms, stem, terms

FILLER = "\n\n".join(f"The keeper of the tower {n} lit the lamp and wrote the weather down." for n in range(400))
TEXTS = st.text(alphabet="ab .!?\n。中文한#\t", max_size=400)


def texts_of(text, spans):
    return [text[start:end] for start, end in spans]


def test_sentences_end_at_stops_and_not_at_abbreviations():
    text = 'He met Mr. J. Smith in the U.S. in 1974. "Why?" she asked! 日本語です。次の文。 The end'
    assert texts_of(text, sentences(text)) == [
        "He met Mr. J. Smith in the U.S. in 1974.",
        '"Why?"',
        "she asked!",
        "日本語です。",
        "次の文。",
        "The end",
    ]


def test_an_abbreviation_before_a_capital_article_ends_the_sentence():
    text = "She moved to the U.S. The film was shot there."
    assert texts_of(text, sentences(text)) == ["She moved to the U.S.", "The film was shot there."]


@given(TEXTS)
def test_sentences_cover_every_character_but_white_space(text):
    joined = "".join(texts_of(text, sentences(text)))
    assert "".join(joined.split()) == "".join(text.split())


@given(TEXTS, st.integers(10, 80))
def test_blocks_are_ordered_do_not_overlap_and_are_not_blank(text, target):
    end = 0
    for block in blocks(text, target):
        assert end <= block.start < block.end <= len(text)
        assert text[block.start : block.end].strip() == text[block.start : block.end]
        end = block.end


def test_blocks_know_their_heading():
    text = "Intro.\n\n# Life\n\nBorn.\n\n## Work\nBuilt."
    assert [(text[b.start : b.end], b.heading) for b in blocks(text)] == [
        ("Intro.", ""),
        ("Born.", "Life"),
        ("Built.", "Work"),
    ]


def test_a_paragraph_without_stops_is_cut_at_white_space():
    text = "word " * 1000
    found = blocks(text, 200)
    assert max(block.end - block.start for block in found) <= 400
    assert "".join(text[b.start : b.end] for b in found).replace(" ", "") == "word" * 1000


def test_terms_are_folded_stemmed_and_bigrams_in_cjk():
    assert terms("The Ambassadors' ＦＩＬＭＳ 서울시 水") == ["the", "ambassador", "film", "서울", "울시", "水"]
    assert stem("positions") == stem("position") and stem("1945") == "1945" and stem("gas") == "gas"
    assert query_terms("What is the name of the director?") == [
        "direct" if stem("director") == "direct" else "director"
    ]


def test_bm25_by_hand():
    # one of two documents holds the term once, lengths 2 and 2: idf = ln(1 + 1.5 / 1.5) = ln 2, tf part = 2.2 / 2.2
    assert [round(score, 6) for score in bm25([["a", "b"], ["c", "d"]], {"a": 1.0})] == [0.693147, 0.0]


def test_a_long_page_gives_the_asked_for_passage_within_the_budget_with_gaps():
    needle = "In 1974 she was appointed ambassador to Ghana."
    text = FILLER + "\n\n## Diplomacy\n\n" + needle + "\n\n" + FILLER
    picked = select(text, "which government position: ambassador?", 1200)
    assert picked.found and not picked.whole
    assert len(picked.text) <= 1200
    assert f"## Diplomacy\n{needle}" in picked.text
    assert picked.text.startswith(GAP) and picked.text.endswith(GAP)
    assert text[picked.best.start : picked.best.end] == needle
    assert any(text[span.start : span.end].startswith(needle) for span in picked.spans)


def test_spans_keep_the_documents_order():
    text = FILLER + "\n\nOmega ambassador.\n\n" + FILLER + "\n\nAlpha ambassador ambassador."
    starts = [span.start for span in select(text, "ambassador", 800).spans]
    assert starts == sorted(starts) and len(starts) >= 2


def test_a_page_that_does_not_hold_it_says_so_and_shows_its_beginning():
    picked = select(FILLER, "ambassador to Ghana", 2000)
    assert not picked.found
    assert FILLER.startswith(picked.text.split("\n")[0]) and len(picked.text) <= 700


def test_a_short_document_is_given_whole_also_when_nothing_matches():
    picked = select("A lamp.\n\nA tower.", "ambassador", 2000)
    assert (picked.text, picked.found, picked.whole) == ("A lamp.\n\nA tower.", False, True)


def test_words_of_the_title_alone_do_not_count_as_found():
    picked = select(FILLER, "keeper ambassador", 2000, title="The keeper")
    assert not picked.found


def test_korean_and_chinese_passages_are_found():
    text = FILLER + "\n\n그는 1974년에 가나 주재 대사로 임명되었다.\n\n" + FILLER + "\n\n她在1974年被任命为大使。"
    assert "대사로" in select(text, "대사로 임명", 600).text
    assert "大使" in select(text, "被任命为大使", 600).text


@given(TEXTS, st.text(alphabet="ab 中한", max_size=20), st.integers(40, 300))
def test_selection_never_fails_and_its_spans_hold_text(text, request, budget):
    picked = select(text, request, budget)
    end = -1
    for span in picked.spans:
        assert end < span.start < span.end <= len(text)
        end = span.end


def test_the_best_sentence_is_the_one_with_the_rare_words():
    text = "Shirley Temple was an actress. She was named ambassador to Ghana."
    assert best_sentence(text, "Shirley Temple ambassador", "Shirley Temple") == "She was named ambassador to Ghana."
    assert best_sentence("", "x") == ""


TABLE = "| Tower | Built |\n| --- | --- |\n" + "\n".join(f"| Tower {n} | {1800 + n} |" for n in range(200))


def test_a_row_cut_from_a_table_comes_with_the_tables_head():
    text = FILLER + "\n\n" + TABLE.replace("Tower 150", "Skerryvore")
    picked = select(text, "Skerryvore", 1500)
    assert picked.found and len(picked.text) <= 1500
    assert picked.text.index("| Tower | Built |\n| --- | --- |") < picked.text.index("| Skerryvore | 1950 |")


def test_code_keeps_its_empty_lines_and_indents_and_its_comments_are_no_headings():
    code = "```python\n# a comment\ndef lamp():\n\n\n    return skerryvore\n\n# another\n```"
    (block,) = blocks(code)
    assert (block.start, block.end, block.heading) == (0, len(code), "")
    picked = select(FILLER + "\n\n" + code + "\n\n" + FILLER, "skerryvore", 900)
    assert code in picked.text


def test_long_code_keeps_its_lines_between_the_pieces():
    lines = [f"    call_{n}(skerryvore)" for n in range(60)]
    text = "```\ndef f():\n" + "\n".join(lines) + "\n```"
    picked = select(text + "\n\n" + FILLER, "skerryvore", 1500)
    assert "\n".join(lines[25:45]) in picked.text


def test_the_page_of_each_part_is_told():
    pages = [FILLER, "An ambassador is on the second one. She was appointed in 1974.", FILLER]
    text = "\n\n".join(pages)
    starts = (0, len(pages[0]) + 2, len(pages[0]) + len(pages[1]) + 4)
    picked = select(text, "ambassador", 500, pages=starts)
    assert "(page 2)\nAn ambassador is on the second one." in picked.text


def test_the_best_part_is_shown_however_small_the_budget():
    text = FILLER + "\n\n" + "An ambassador lives on the second page of this book. " * 20 + "\n\n" + FILLER
    for budget in (150, 300, 500, 700):
        picked = select(text, "ambassador", budget)
        assert "An ambassador" in picked.text and len(picked.text) <= budget
