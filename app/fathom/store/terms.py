"""Words as the full-text indexes see them: NFKC, runs of CJK as overlapping character bigrams, everything else as is.

FTS5's unicode61 tokeniser takes an unbroken run of Chinese or Japanese for one word and a Korean word with its particle
for another word than the bare one. Measured on 600 questions each (recall at 5): bigrams .99 Korean, .99 Chinese,
.96 Japanese; unicode61 .88, .12, .27; trigrams find nothing for a query of two characters.

Knows nothing of tables.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

VERSION = 1
"""Changes whenever :func:`index_form` does: an index that was built with another version is rebuilt."""

MAX_TERMS = 48
"""Words of a query beyond these are ignored: nobody types them, but a model may paste a page."""

_CJK = (
    "\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U000323af"
)
_NOT_ASCII = re.compile("[^\\x00-\\x7f]+")
_CJK_RUN = re.compile(f"[{_CJK}]+")
_TOKEN = re.compile(rf"(?P<cjk>[{_CJK}]+)|(?P<word>[^\W_{_CJK}]+)")
_QUOTED = re.compile(
    r"[\"\u201c\u201d\u300c\u300e\u00ab]([^\"\u201c\u201d\u300d\u300f\u00bb]{3,200})[\"\u201c\u201d\u300d\u300f\u00bb]"
)
_HANGUL_PARTICLE = re.compile(
    r"(?<=[\uac00-\ud7a3]{2})(?:에서는|에게서|으로는|이라고|에서|에게|한테|으로|까지|부터|라고|이나|처럼|보다"
    r"|은|는|이|가|을|를|의|에|로|와|과|도|만|께)$"
)
_ONE_SYLLABLE = re.compile(r"([\uac00-\ud7a3])(?:은|는|을|를|의|에|와|과|도)")
_TELLS_NOTHING = re.compile(r"[a-z]|[\u3041-\u3096]{2}")
"""Lone Latin letters, and pairs of hiragana, which are grammar: left out when a query has anything else.

Without the pairs recall at 5 on JSQuAD goes from .956 to .960, and a query takes a fifth less time.
"""


FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be been by can could did do does for from had has have how i in into is it its
        many me most much my not of on or our should than that the their there these they this those to us was we were
        what when where which who whom whose why will with would you your
        """,
    )
)
"""English words that say nothing of what a question is about; also in a library too small to count them."""


class Term(msgspec.Struct, frozen=True):
    """One thing to look for. ``text`` is folded text as a person reads it, ``match`` its FTS5 expression."""

    text: str
    match: str
    phrase: bool = False


def index_form(text: str) -> str:
    """The text as it goes into the index. A run of n CJK characters becomes its n - 1 bigrams and its last character.

    With that last character every character begins a token, so that a prefix query finds single characters too.
    """
    if text.isascii():
        return text
    return _CJK_RUN.sub(lambda run: f" {' '.join(_bigrams(run[0]))} ", unicodedata.normalize("NFKC", text))


def query_terms(query: str) -> list[Term]:
    """The words of a query, each once, in their order: quoted phrases first, then words and CJK bigrams.

    Lone Latin letters ("s" of "James's") and pairs of hiragana are left out when there is anything else.
    """
    query = unicodedata.normalize("NFKC", query)
    found: dict[str, Term] = {}
    for quoted in _QUOTED.findall(query):
        words = index_form(quoted)
        tokens = [match[0] for match in _TOKEN.finditer(words)]
        if len(tokens) > 1:
            found.setdefault(quoted, Term(quoted.lower(), _string(" ".join(tokens)), phrase=True))
    for token in _TOKEN.finditer(query):
        run = token["cjk"]
        if not run:
            found.setdefault(token[0].lower(), Term(token[0].lower(), _string(token[0])))
        elif len(run) == 1:
            found.setdefault(run, Term(run, _string(run) + "*"))
        elif bare := _ONE_SYLLABLE.fullmatch(run):  # "물은": the text may say "물이"
            found.setdefault(run, Term(bare[1], f"({_string(run)} OR {_string(bare[1])}*)"))
        else:
            for pair in _bigrams(run)[:-1]:
                found.setdefault(pair, Term(pair, _string(pair)))
    terms = list(found.values())
    telling = [term for term in terms if not _TELLS_NOTHING.fullmatch(term.text)]
    return (telling or terms)[:MAX_TERMS]


def stands_in(term: Term, folded: str) -> bool:
    """Whether the term stands in a text that :func:`fold` has folded; a word by its stem, at the start of a word."""
    needle = fold(term.text)
    if not needle.isascii() or term.phrase:
        return needle in folded
    if len(needle) > 5:
        needle = needle[: max(4, len(needle) - 3)]
    return re.search(rf"(?<![^\W_]){re.escape(needle)}", folded) is not None


def filter_terms(query: str) -> list[str]:
    """FTS5 expressions that must all hold, for a search box that filters while the person types.

    Each word matches as a prefix; a run of CJK matches as a phrase, a Korean word also without its particle.
    """
    expressions: dict[str, None] = {}
    for token in list(_TOKEN.finditer(unicodedata.normalize("NFKC", query)))[:MAX_TERMS]:
        if not token["cjk"]:
            expressions.setdefault(f"{_string(token[0])}*")
            continue
        variants = dict.fromkeys((token[0], _HANGUL_PARTICLE.sub("", token[0])))
        expressions.setdefault(" OR ".join(_run_phrase(variant) for variant in variants))
    return list(expressions)


def fold(text: str) -> str:
    """Lower case without accents, character by character, so that offsets stay those of ``text``."""
    if text.isascii():
        return text.lower()
    folded = _NOT_ASCII.sub(lambda run: run[0].translate(_FOLD), text)  # a long Latin text has few of them
    lower = folded.lower()
    return lower if len(lower) == len(text) else text.translate(_FOLD)


class _Fold(dict[int, str]):
    """A translation table that is filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = unicodedata.normalize("NFKC", character)
        if not _CJK_RUN.match(folded):
            folded = unicodedata.normalize("NFD", folded)[:1].lower()
        self[code] = folded if len(folded) == 1 else character
        return self[code]


_FOLD = _Fold()


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run))]  # the last one is a single character


def _run_phrase(run: str) -> str:
    return _string(run) + "*" if len(run) == 1 else _string(" ".join(_bigrams(run)[:-1]))


def _string(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
