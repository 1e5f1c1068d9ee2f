"""Only what stands in the text, word for word, is taken from a model's copy of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fathom.tools.extract.quotes import found_in

TEXT = (
    "The lamp was lit in 1844. It stood on the reef -- for ever!\n\n등대지기는 저녁마다 등불을 켰다. The lamp went out."
)


def quotes(*lines):
    spans, missing = found_in(TEXT, lines)
    return [TEXT[start:end] for start, end in spans], missing


def test_case_space_punctuation_and_list_marks_may_differ_and_words_may_not():
    assert quotes("- the lamp  WAS lit, in 1844") == (["The lamp was lit in 1844."], 0)
    assert quotes("1. It stood on the reef for ever") == (["It stood on the reef -- for ever!"], 0)
    assert quotes("The lamp was lit in 1845.") == ([], 1)
    assert quotes("lamp was li") == ([], 1)  # whole words only


def test_a_line_of_several_sentences_is_looked_for_one_by_one():
    assert quotes("The lamp was lit in 1844. He was a spy. The lamp went out.") == (
        ["The lamp was lit in 1844.", "The lamp went out."],
        1,
    )


def test_cjk_is_found_and_order_is_that_of_the_text():
    assert quotes("등대지기는 저녁마다", "The lamp was lit") == (["The lamp was lit", "등대지기는 저녁마다"], 0)


def test_overlaps_are_joined_and_short_lines_are_passed_over():
    assert quotes("The lamp was lit", "was lit in 1844", "lit in", "") == (["The lamp was lit in 1844."], 0)


@given(st.text(alphabet="ab \n.한글", max_size=60), st.lists(st.text(alphabet="ab .한글", max_size=15), max_size=5))
def test_spans_are_ordered_apart_and_in_the_text(text, lines):
    spans, missing = found_in(text, lines)
    end = -1
    for span in spans:
        assert end < span.start < span.end <= len(text)
        end = span.end
    assert missing >= 0
