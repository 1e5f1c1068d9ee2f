"""Make resources/library/sample.jsonl from a corpus of Wikipedia paragraphs.

    python packaging/make_sample_library.py PATH/corpus.jsonl [--out resources/library/sample.jsonl]

The corpus is a JSONL of ``{id, title, text}``; beside it lie ``train.jsonl`` and ``dev.jsonl`` with questions, each
with the two documents that answer it (``metadata.supporting``). The sample holds those documents and, up to SIZE
documents, the ones that a search for each question finds besides them: near misses make a small library behave like a
large one. The same corpus gives the same file to the byte.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "app"))

from fathom.core.types import Scope  # noqa: E402  (from this checkout)
from fathom.store.database import open_database  # noqa: E402
from fathom.store.library import LibraryStore, NewDocument  # noqa: E402

SIZE = 1500
MAX_CHARS = 4000
NEAR_MISSES = 12


def read_corpus(path: Path) -> dict[str, NewDocument]:
    """The documents by id; HTML entities resolved and runs of blanks made one, else to the letter."""
    documents = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        title = html.unescape(row["title"])
        text = "\n".join(" ".join(part.split()) for part in html.unescape(row["text"]).splitlines())
        documents[row["id"]] = NewDocument(id=row["id"], title=title, text=text)
    return documents


def choose(documents: dict[str, NewDocument], questions: list[tuple[str, list[str]]]) -> list[str]:
    """The ids of the sample, in order."""
    chosen = dict.fromkeys(document for _, gold in questions for document in gold)
    with tempfile.TemporaryDirectory() as folder:
        store = LibraryStore(open_database(Path(folder) / "corpus.db"))
        store.add_collection("corpus", "corpus", "documents", "")
        store.put("corpus", "corpus", documents.values())
        found = [
            [hit.uri.rpartition("/")[2] for hit in store.search(question, Scope(), limit=NEAR_MISSES)]
            for question, _ in questions
        ]
        store.database.close()
    for rank in range(NEAR_MISSES):
        for hits in found:
            if len(chosen) == SIZE:
                break
            if rank < len(hits) and len(documents[hits[rank]].text) <= MAX_CHARS:
                chosen.setdefault(hits[rank])
    return sorted(chosen)


def write(path: Path, documents: Iterable[NewDocument]) -> int:
    """Write the JSONL; returns its size in bytes."""
    lines = [
        json.dumps({"id": document.id, "title": document.title, "text": document.text}, ensure_ascii=False)
        for document in documents
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(("\n".join(lines) + "\n").encode())


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "library" / "sample.jsonl")
    options = parser.parse_args(arguments)
    documents = read_corpus(options.corpus)
    questions = []
    for name in ("train.jsonl", "dev.jsonl"):
        for line in (options.corpus.parent / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            questions.append((row["task_question"], row["metadata"]["supporting"]))
    chosen = choose(documents, questions)
    size = write(options.out, (documents[document] for document in chosen))
    print(f"{options.out}: {len(chosen)} documents, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
