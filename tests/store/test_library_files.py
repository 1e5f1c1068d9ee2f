"""Files turned into documents: which are found, and what happens to broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.store import library_files
from fathom.store.library_files import FoundFile, decode_text, find_files, read_jsonl, text_document


def test_folder_gives_readable_files_in_order_without_hidden_ones_and_links(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "sub/c.HTML", "sub/d.pdf", ".hidden/e.txt", ".f.txt", "g.png", "h.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [file.id for file in find_files(tmp_path)] == ["a.txt", "b.md", "sub/c.HTML", "sub/d.pdf"]
    assert [file.kind for file in find_files(tmp_path / "h.jsonl")] == ["jsonl"]
    assert find_files(tmp_path / "g.png") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_text_is_read(encoding: str) -> None:
    assert decode_text("서울 café".encode(encoding)) == "서울 café"


def test_other_encodings_are_left_to_the_parser() -> None:
    assert decode_text("서울".encode("euc-kr")) is None


def test_markdown_title_is_its_heading(tmp_path: Path) -> None:
    file = FoundFile(path=tmp_path / "notes.md", id="notes.md", kind="markdown", size=1, mtime_ns=1)
    assert text_document(file, "intro\r\n# The Nile #\r\ntext\0").title == "The Nile"
    assert text_document(file, "no heading").title == "notes"
    assert text_document(file, "a\r\nb\0c").text == "a\nbc"


def lines(path: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    batches = list(read_jsonl(path, batch_documents=2))
    assert batches[-1].read_bytes == path.stat().st_size
    assert all(len(batch.documents) <= 2 for batch in batches)
    documents = [(one.id, one.title, one.text) for batch in batches for one in batch.documents]
    return documents, [f"{one.path}: {one.reason}" for batch in batches for one in batch.failed]


def test_jsonl_lists_broken_lines_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "a", "title": "A", "text": "one"}\n'
        b"not json\n"
        b"\n"
        b'{"id": "b", "text": "  "}\n'
        b'{"id": "a", "text": "again"}\n'
        b'{"title": "no text"}\n'
        b'{"id": 7, "text": "seven", "more": [1]}\r\n'
        b'{"id": "x", "text": "\xff"}\n'
        b'{"text": "last without id or newline"}'
    )
    documents, failed = lines(path)
    assert documents == [("a", "A", "one"), ("7", "7", "seven"), ("9", "9", "last without id or newline")]
    assert [message.split(":")[0] for message in failed] == [f"docs.jsonl, line {n}" for n in (2, 4, 5, 6, 8)]
    assert "has no text" in failed[1]
    assert "was there before" in failed[2]


def test_thousands_of_broken_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text("x\n" * 1000 + '{"text": "good"}\n')
    documents, failed = lines(path)
    assert len(documents) == 1
    assert len(failed) == library_files.MAX_FAILURES + 1
    assert failed[-1] == "docs.jsonl: 900 more broken lines"


@given(
    data=st.binary(max_size=300)
    | st.lists(st.dictionaries(st.sampled_from(["id", "title", "text"]), st.text() | st.integers())).map(
        lambda rows: "\n".join(json.dumps(row) for row in rows).encode()
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_jsonl_raises(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_bytes(data)
    documents, _ = lines(path)
    for one in documents:
        "".join(one).encode()  # can be stored
