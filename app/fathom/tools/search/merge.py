"""Results of several services as one list: each address once, blocked sites left out, pinned ones first.

Pure; knows no provider. A rule for sites is a domain ("example.org" holds for "www.example.org" too) or a domain with
the beginning of a path ("huggingface.co/datasets").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from fathom.core.protocols import Hit

DATASET_MIRRORS = (
    "huggingface.co/datasets",
    "huggingface.co/spaces",
    "hf.co/datasets",
    "hf.co/spaces",
    "hf-mirror.com",
    "datasets-server.huggingface.co",
    "modelscope.cn/datasets",
    "kaggle.com/datasets",
)
"""Sites that hold the questions of benchmarks with their answers: to be blocked while a benchmark runs."""

_NO_MEANING = frozenset(
    ("fbclid", "gclid", "dclid", "msclkid", "yclid", "igshid", "mc_cid", "mc_eid", "ref_src", "ref_url", "srsltid")
)
_RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack et al. 2009)


def canonical(address: str) -> str:
    """What two addresses of the same page have in common: no scheme, no "www.", no tracking, no fragment.

    Not an address to open. What cannot be read as an address is given back as it is.
    """
    try:
        parts = urlsplit(address.strip())
        host = (parts.hostname or "").rstrip(".").removeprefix("www.")
        port = parts.port
    except ValueError:
        return address.strip()
    if parts.scheme not in ("http", "https") or not host:
        return address.strip()
    if port not in (None, 80, 443):
        host = f"{host}:{port}"
    kept = sorted(
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not name.startswith("utm_") and name not in _NO_MEANING
    )
    query = f"?{urlencode(kept)}" if kept else ""
    return f"{host}{parts.path.rstrip('/')}{query}"


def is_on(address: str, rules: Iterable[str]) -> bool:
    """Whether one of the rules holds for an address. A rule may be written as an address itself."""
    try:
        parts = urlsplit(address.strip())
        host, path = (parts.hostname or "").rstrip("."), parts.path.lower()
    except ValueError:
        return False
    for rule in rules:
        domain, _, start = rule.strip().lower().partition("://")[2 if "://" in rule else 0].partition("/")
        domain = domain.removeprefix("www.").removeprefix("*.").rstrip(".")
        start = start.strip("/")
        inside = not start or path.strip("/") == start or path.lstrip("/").startswith(start + "/")
        if domain and inside and (host == domain or host.endswith(f".{domain}")):
            return True
    return False


def merged(found: Sequence[Sequence[Hit]], pinned: Sequence[str] = ()) -> list[Hit]:
    """One list, each address once, by reciprocal rank fusion (the services' scores do not compare); pinned ones first.

    An address keeps the hit with the longest snippet.
    """
    scores: dict[str, float] = {}
    best: dict[str, Hit] = {}
    for hits in found:
        counted: set[str] = set()
        for rank, hit in enumerate(hits, 1):
            key = canonical(hit.uri)
            if key not in counted:
                counted.add(key)
                scores[key] = scores.get(key, 0.0) + 1 / (_RANK_CONSTANT + rank)
            if key not in best or len(hit.snippet) > len(best[key].snippet):
                best[key] = hit
    ordered = sorted(scores, key=lambda key: -scores[key])  # stable: equal ones stay in the services' order
    return sorted((best[key] for key in ordered), key=lambda hit: not is_on(hit.uri, pinned))
