"""How fast and how well the library is searched, all with one index and the same settings.

``library_11k_ms_p50``: 300 HotpotQA questions over their 10,977 paragraphs, together with the Chinese and Japanese
paragraphs; every question once, so that nothing is counted beforehand. ``hotpot_both_top5`` is the share of them for
which both gold paragraphs are in the top 5. ``cjk_recall5_*`` is the share of questions (XQuAD-zh, JSQuAD) whose
paragraph is in the top 5 of that same library.

``library_100k_ms_p50``: the same questions over 100,000 documents: the real ones, and synthetic ones as long as real
ones are, each of sentences drawn at random from the whole corpus under a title of two titles' words. So a word stands
in the same share of the documents as it does in the corpus, and no two documents are alike.

Needs ``options.data``: a folder with ``multihop/`` and ``cjk/``.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from options import NoData, Options

from fathom.core.types import Scope
from fathom.store.database import open_database
from fathom.store.library import FileState, LibraryStore, NewDocument

TARGETS = {
    "library_11k_ms_p50": ("at most", 8),
    "library_100k_ms_p50": ("at most", 40),
    "cjk_recall5_zh": ("at least", 0.98),
    "cjk_recall5_ja": ("at least", 0.955),
    "hotpot_both_top5": ("at least", 0.64),
}
LARGE = 100_000
BATCH = 2_000
_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Question = tuple[str, frozenset[str]]  # the words, and the ids of the documents that answer it


def measure(options: Options) -> dict[str, float]:
    """Medians in milliseconds, and shares. Raises NoData without the data."""
    if options.data is None:
        raise NoData("it needs a folder with multihop/ and cjk/ in it: --data FOLDER, or DATA=FOLDER of make")
    corpus = list(_corpus(options.data / "multihop" / "corpus.jsonl"))
    questions = [
        question for name in ("train", "dev") for question in _questions(options.data / "multihop" / f"{name}.jsonl")
    ]
    zh, zh_questions = _squad(options.data / "cjk" / "xquad.zh.json", "zh")
    ja, ja_questions = _squad(options.data / "cjk" / "jsquad-valid-v1.3.json", "ja")
    real = [*corpus, *zh, *ja]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = LibraryStore(open_database(Path(folder) / "library.db"))
        began = time.perf_counter()
        _index(store, "real", iter(real))
        figures["library_11k_index_s"] = round(time.perf_counter() - began, 1)
        figures |= _latency(store, questions, "library_11k")
        figures["hotpot_both_top5"] = _share_found(store, questions)
        figures["cjk_recall5_zh"] = _share_found(store, zh_questions)
        figures["cjk_recall5_ja"] = _share_found(store, ja_questions)
        began = time.perf_counter()
        _index(store, "made", islice(_made(corpus), LARGE - len(real)))
        figures["library_100k_index_s"] = round(time.perf_counter() - began, 1)
        figures |= _latency(store, questions, "library_100k")
        figures["library_100k_mb"] = round(store.database.path.stat().st_size / 1e6, 1)
        figures["hotpot_both_top5_100k"] = _share_found(store, questions)
        store.database.close()
    return figures


def _latency(store: LibraryStore, questions: list[Question], name: str) -> dict[str, float]:
    timings = []
    for question, _ in questions:
        began = time.perf_counter()
        store.search(question, Scope())
        timings.append(1000 * (time.perf_counter() - began))
    timings.sort()
    return {
        f"{name}_ms_p50": round(statistics.median(timings), 2),
        f"{name}_ms_p95": round(timings[int(0.95 * len(timings))], 2),
    }


def _share_found(store: LibraryStore, questions: list[Question]) -> float:
    """The share of questions all of whose documents are in the top 5."""
    found = 0
    for question, wanted in questions:
        top = {hit.uri.rpartition("/")[2] for hit in store.search(question, Scope(), limit=5)}
        found += wanted <= top
    return round(found / len(questions), 4)


def _index(store: LibraryStore, name: str, documents: Iterator[NewDocument]) -> None:
    store.add_collection(name, name, "documents", f"/{name}")
    first = True
    while batch := list(islice(documents, BATCH)):
        store.put(name, f"/{name}", batch, first=first)
        first = False
    store.put(name, f"/{name}", (), state=FileState(size=1, mtime_ns=1), first=False)


def _corpus(path: Path) -> Iterator[NewDocument]:
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        yield NewDocument(id=row["id"], title=row["title"], text=row["text"])


def _questions(path: Path) -> Iterator[Question]:
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        yield row["task_question"], frozenset(row["metadata"]["supporting"])


def _squad(path: Path, name: str) -> tuple[list[NewDocument], list[Question]]:
    """Paragraphs and questions of a file in SQuAD's format; JSQuAD puts "title [SEP] " before a paragraph."""
    documents: list[NewDocument] = []
    questions: list[Question] = []
    for article in json.loads(path.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            document = f"{name}{len(documents)}"
            title, mark, text = paragraph["context"].partition(" [SEP] ")
            if not mark:
                title, text = article.get("title", ""), paragraph["context"]
            documents.append(NewDocument(id=document, title=title, text=text))
            questions += [(entry["question"], frozenset({document})) for entry in paragraph["qas"]]
    return documents, questions


def _made(corpus: list[NewDocument]) -> Iterator[NewDocument]:
    """Endless documents of the corpus's own sentences, the same ones in every run."""
    chance = random.Random(20)
    sentences = [sentence for document in corpus for sentence in _SENTENCE.split(document.text)]
    titles = [document.title.split() for document in corpus]
    number = 0
    while True:
        number += 1
        length = len(chance.choice(corpus).text)
        parts = [chance.choice(sentences)]
        while sum(map(len, parts)) < length:
            parts.append(chance.choice(sentences))
        one, other = chance.choice(titles), chance.choice(titles)
        title = " ".join([*one[: (len(one) + 1) // 2], *other[len(other) // 2 :]])
        yield NewDocument(id=f"made{number}", title=title, text=" ".join(parts))
