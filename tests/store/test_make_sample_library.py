"""The script that makes the sample library: the same corpus gives the same file, with the documents that answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "packaging" / "make_sample_library.py"


def make(corpus: Path, out: Path) -> list[dict[str, str]]:
    subprocess.run([sys.executable, str(SCRIPT), str(corpus), "--out", str(out)], check=True, capture_output=True)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_sample_is_made_the_same_from_the_same_corpus(tmp_path: Path) -> None:
    corpus = [
        {"id": "d2", "title": "&quot;Kiss&quot; &amp; Tell", "text": "A  film with Shirley Temple."},
        {"id": "d1", "title": "Shirley Temple", "text": "An actress."},
        {"id": "d3", "title": "A Kiss for Corliss", "text": "Another film."},
        {"id": "d4", "title": "Nile", "text": "A river."},
    ]
    question = {"task_question": "Who starred in the film Kiss and Tell?", "metadata": {"supporting": ["d2", "d1"]}}
    (tmp_path / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in corpus))
    (tmp_path / "train.jsonl").write_text(json.dumps(question) + "\n")
    (tmp_path / "dev.jsonl").write_text("")
    rows = make(tmp_path / "corpus.jsonl", tmp_path / "out" / "sample.jsonl")
    assert [row["id"] for row in rows] == ["d1", "d2", "d3"]
    assert rows[1] == {"id": "d2", "title": '"Kiss" & Tell', "text": "A film with Shirley Temple."}
    make(tmp_path / "corpus.jsonl", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out" / "sample.jsonl").read_bytes()
