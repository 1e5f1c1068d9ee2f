"""The Markdown file: honest labels, sources that quote, and nothing hostile in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fathom.core.protocols import Exporter
from fathom.core.registry import load
from fathom.core.types import (
    Citation,
    EngineSpec,
    Passage,
    Report,
    Scope,
    Session,
    Step,
    Task,
    ToolCall,
    Trajectory,
)
from fathom.export import EXPORTERS
from fathom.export.markdown import MarkdownExporter
from fathom.export.markdown_text import address, code, disarmed, plain, quoted

QUESTION = "Who portrayed Corliss Archer?"
TEXT = "Kiss and Tell is a 1945 American comedy film starring then 17-year-old Shirley Temple as Corliss Archer."
CITATION = Citation(
    number=1,
    step=2,
    passage=Passage(uri="library://sample/d05519", title="Kiss and Tell (1945 film)", text=TEXT),
    quote="Shirley Temple as Corliss Archer",
)
REPORT = Report(
    question=QUESTION,
    answer="Shirley Temple",
    answer_backed=True,
    body="## Short answer\n\n**Shirley Temple** [1]\n\nIt was Shirley Temple [1].",
    citations=(CITATION,),
)
TASK = Task(question=QUESTION, scope=Scope(collections=("notes",)))
SESSION = Session(
    id="s1", title="t", created="2026-11-24T03:00:00+00:00", task=TASK, engine=EngineSpec(), model_name="SmolLM2 135M"
)
STEPS = tuple(
    Step(index=n, thought="t", calls=(ToolCall(id=f"{n}.0", name="google_search", arguments={}),)) for n in (1, 2)
)
TRAJECTORY = Trajectory(task=TASK, steps=STEPS, answer="Shirley Temple", report=REPORT, finish_reason="answered")


def rendered(report: Report = REPORT, trajectory: Trajectory = TRAJECTORY) -> str:
    return MarkdownExporter().render(SESSION, trajectory, report).decode()


def tokens(markdown: str) -> list[Token]:
    """All tokens as a program reads them that allows HTML."""
    flat = []
    for token in MarkdownIt("commonmark", {"html": True}).parse(markdown):
        flat += [token, *(token.children or [])]
    return flat


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    return "".join(
        token.content if token.type in ("text", "code_inline") else "\n"
        for token in tokens(markdown)
        if token.type in ("text", "code_inline", "paragraph_close", "heading_close", "softbreak")
    )


def assert_harmless(markdown: str) -> None:
    for token in tokens(markdown):
        assert token.type not in ("html_inline", "html_block", "image"), markdown
        if token.type == "link_open":
            assert str(token.attrGet("href")).lower().startswith(("http://", "https://")), markdown


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_every_exporter_keeps_the_contract(name: str) -> None:
    exporter: Exporter = load(EXPORTERS, name, "format")()
    assert exporter.name == name
    assert exporter.label
    assert exporter.suffix.startswith(".")
    data = exporter.render(SESSION, TRAJECTORY, REPORT)
    assert data == exporter.render(SESSION, TRAJECTORY, REPORT)
    assert QUESTION in data.decode()


def test_file_holds_question_answer_body_source_and_footer() -> None:
    text = rendered()
    assert text.startswith(f"# {QUESTION}\n\n## Short answer\n\n**Shirley Temple** [1]\n")
    assert "It was Shirley Temple [1]." in text
    assert "**[1]** Kiss and Tell (1945 film), `library://sample/d05519` (step 2)" in text
    assert "> Kiss and Tell is a 1945 American comedy film" in text
    assert "**Shirley Temple as Corliss Archer**." in text
    for line in (
        "- Model: SmolLM2 135M",
        "- Asked: 2026-11-24T03:00:00+00:00",
        "- Steps: 2, with 2 tool calls",
        "- Looked in: the sample library, my documents (notes); the web was off",
    ):
        assert line in shown(text) or line.removeprefix("- ") in shown(text)
    assert "not found in the sources" not in text
    assert "Cut short" not in text


def test_answer_that_no_passage_holds_is_labelled() -> None:
    text = rendered(Report(question=QUESTION, answer="Meryl Streep", answer_backed=False, body="**Meryl Streep**"))
    assert text.index("Short answer not found in the sources.") < text.index("Meryl Streep")
    assert "No sources." in text


def test_partial_report_says_why() -> None:
    trajectory = Trajectory(task=TASK, steps=STEPS, finish_reason="max_calls")
    text = rendered(Report(question=QUESTION, answer="", answer_backed=False, body="What was found."), trajectory)
    assert "What was found." in text
    assert "not found in the sources" not in text
    assert "Cut short:** the number of tool calls was used up." in text


def test_long_passage_is_cut_around_its_quotation() -> None:
    passage = Passage(uri="https://example.org/x", title="T", text="before " * 400 + "THE WORDS" + " after" * 400)
    text = rendered(
        Report(
            question="q",
            answer="",
            answer_backed=False,
            body="b [1]",
            citations=(Citation(number=1, step=1, passage=passage, quote="THE WORDS"),),
        )
    )
    assert "before **THE WORDS** after" in text
    assert len(text) < 1500
    assert "<https://example.org/x>" in text


HOSTILE = [
    "<script>alert(1)</script>",
    "x <img src=http://evil/x.png> y",
    "![pixel](http://evil/x.png)",
    "\\![pixel](http://evil/x.png)",
    "![pixel][1]\n\n[1]: http://evil/x.png",
    "[click](javascript:alert(1))",
    "[click](\njavascript:alert(1))",
    "[click](<javascript:alert(1)>)",
    "[click][x]\n\n[x]: javascript:alert(1)",
    "[x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "<pre>\n```\n</pre>\n<script>x</script>\n```\n<img src=x>",
    "\\<b>x",
    "<!-- hidden -->",
    "<a\nhref='http://evil'>x</a>",
    "`<b>` ``` <i> ```",
    "[a](http://ok.example) and <https://ok.example/x>",
    "- x\n\n      <b>\n\n  <b>",
    "title](http://evil) [x",
    "one\ntwo\r\n# three\n> four\n```\nfive",
    "\u202egnp.exe\u202c\x1b[31m",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_harmless_wherever_it_stands(hostile: str) -> None:
    passage = Passage(uri=f"https://example.org/{hostile}", title=hostile, text=f"a {hostile} b")
    report = Report(
        question=hostile,
        answer=hostile,
        answer_backed=False,
        body=hostile,
        citations=(
            Citation(number=1, step=1, passage=passage, quote=hostile),
            Citation(number=2, step=1, passage=passage),
        ),
    )
    text = rendered(report)
    assert_harmless(text)
    assert "\x1b" not in text
    assert "\u202e" not in text


markup = st.text(alphabet=st.sampled_from("ab1 \n\\`*_[]()<>!#&|~-=:.;/\"'$"), max_size=60)


@given(text=markup)
def test_plain_text_shows_as_it_is(text: str) -> None:
    assert shown(plain(text)).strip() == " ".join(text.split())
    assert_harmless(plain(text))


@given(text=markup)
def test_quotation_and_code_hold_any_text(text: str) -> None:
    assert_harmless(quoted(text))
    if text.strip():
        assert shown(code(text)).strip() == " ".join(text.split())


@given(text=markup | st.lists(st.sampled_from([*HOSTILE, "```", "~~~", "    ", "> ", "\n", "text"])).map("\n".join))
def test_models_markdown_is_always_disarmed(text: str) -> None:
    assert_harmless(disarmed(text))


def test_good_markdown_stays() -> None:
    text = "## Result\n\n- **bold** [1], [page](https://example.org/a_b)\n\n```python\nif a < b: x = '<b>'\n```"
    assert disarmed(text) == text


@pytest.mark.parametrize(
    "uri", ["library://sample/d1", "javascript:alert(1)", "https://x y", "http://x/>`", "ftp://x", ""]
)
def test_odd_addresses_are_shown_and_not_linked(uri: str) -> None:
    assert "link_open" not in [token.type for token in tokens(f"see {address(uri)} there")]
