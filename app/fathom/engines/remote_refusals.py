"""What a server said instead of an answer, in plain words: what was needed, what there is, what to do. No network."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from fathom.core.errors import EndpointError
from fathom.core.redaction import redact

EXCERPT = 300
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may do better a little later."""

_LIMIT = re.compile(r"(?:context (?:length|size|window)[^\d=]{0,40}?|n_ctx=)(\d{2,8})", re.I)
_ASKED = re.compile(r"(?:requested|prompt(?: has| is| of)?|n_prompt_tokens)\D{0,20}?(\d{2,8})", re.I)
_TOO_LONG = re.compile(
    r"context.{0,20}(?:length|size|window)|exceed_context_size|too many tokens|prompt is too long|maximum.{0,20}tokens",
    re.I | re.S,
)
_MODEL = re.compile(
    r"model\b.{0,120}\b(?:not (?:found|exist)|does not exist|unknown)|no such model|model_not_found", re.I | re.S
)


class ServerRefused(EndpointError):
    """An answer that is none. ``again``: asking once more may help, after ``wait_s`` when the server named a time."""

    again = False
    wait_s: float | None = None


def refusal(where: str, model: str, status: int, body: bytes, headers: httpx.Headers) -> ServerRefused:
    """The error for a status other than 200."""
    said = excerpt(body)
    quoted = f"the server said: {said}" if said else "the server gave no reason"
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", "")).hostname or "another address"
        return ServerRefused(
            f"{where} sends us on to {clean(target, 100)}, which is refused.",
            needs="a server that answers itself: neither text nor key is sent to a host that you did not name",
            has=f"a redirect ({status})",
            do="Put the address that you mean into the settings.",
            status=status,
        )
    if status in (401, 403):
        return ServerRefused(
            f"{where} does not accept the key." if status == 401 else f"{where} forbids this.",
            needs="a key that the server knows",
            has=f"{status}; {quoted}",
            do="Give the server’s key in the settings, or remove it when the server wants none.",
            status=status,
        )
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
        limit, asked = _LIMIT.search(said), _ASKED.search(said)
        return too_long(
            where, asked[1] if asked else "", limit[1] if limit else "", status=status, said=f"{status}; {quoted}"
        )
    if status == 404 or (status == 400 and _MODEL.search(said)):
        named = f" named {model}" if model else ""
        return ServerRefused(
            f"{where} has no model{named}, or does not speak OpenAI’s protocol at this address.",
            needs="a server with /v1/chat/completions, and one of its models",
            has=f"{status}; {quoted}",
            do="Choose a model from the server’s list in the settings, or correct the address.",
            status=status,
        )
    error = ServerRefused(
        f"{where} has too much to do." if status == 429 else f"{where} answered {status}.",
        has=quoted,
        do="Try again later." if status in AGAIN else "Look into the server’s own log.",
        status=status,
    )
    error.again = status in AGAIN
    error.wait_s = retry_after(headers.get("retry-after", ""))
    return error


def too_long(where: str, asked: str, limit: str, *, status: int = 0, said: str = "") -> ServerRefused:
    """The prompt does not fit; ``asked`` and ``limit`` are tokens in digits, "" where they are not known."""
    return ServerRefused(
        f"The text is too long for the model on {where}.",
        needs=f"room for {int(asked):,} tokens" if asked else "more room than the server has",
        has=f"a context of {int(limit):,} tokens" if limit else said,
        do="Start the server with a longer context, or set its context in the settings to what it has.",
        status=status,
    )


def not_json(where: str, body: bytes) -> ServerRefused:
    """The body of a good status is not what was asked for."""
    return ServerRefused(
        f"{where} answered with something that is not JSON.",
        needs="a server that speaks OpenAI’s protocol",
        has=f"the text: {excerpt(body) or '(empty)'}",
        do="Correct the address in the settings.",
    )


def unreachable(where: str, error: httpx.HTTPError | OSError) -> ServerRefused:
    """There was no answer at all."""
    reason = clean(str(error) or type(error).__name__, EXCERPT)
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)) or "SSL" in reason:
        return ServerRefused(
            f"The connection to {where} cannot be trusted.",
            needs="a server whose certificate is valid for its name",
            has=reason,
            do="Mend the server’s certificate, or use http:// when it speaks no TLS.",
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        found = ServerRefused(
            f"{where} cannot be reached.",
            needs="a server that runs there",
            has=reason,
            do="Start the server, or correct the address in the settings.",
        )
    else:
        found = broken_off(where, reason)
    found.again = True
    return found


def broken_off(where: str, reason: str) -> ServerRefused:
    """The answer began and did not end."""
    return ServerRefused(
        f"The connection to {where} broke off.",
        needs="the whole answer",
        has=f"a part of it ({reason})",
        do="Go on from the last finished step.",
    )


def silent(where: str, seconds: float, begun: bool) -> ServerRefused:
    """A watchdog's error."""
    what = "the next word" if begun else "the first word"
    return ServerRefused(
        f"{where} has fallen silent.",
        needs=f"{what} within {seconds:g} s",
        has="an open connection on which nothing comes",
        do="Look whether the server hangs, then go on from the last finished step.",
    )


def retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header, as a number or a date; None when there is none that can be read."""
    value = value.strip()
    if value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def excerpt(body: bytes) -> str:
    """The beginning of what a server said, on one line, without keys; the message alone when it is OpenAI's error."""
    text = body.decode("utf-8", errors="replace")
    try:
        found = message_of(msgspec.json.decode(body))
    except (msgspec.MsgspecError, RecursionError):
        found = ""
    return clean(found or text, EXCERPT)


def message_of(value: Any) -> str:
    """The words of an error object, in the forms that servers use; "" when it is none."""
    if not isinstance(value, dict):
        return ""
    error = value.get("error", value.get("detail", value.get("message", "")))
    if isinstance(error, dict):
        numbers = " ".join(f"{name}={error[name]}" for name in ("n_prompt_tokens", "n_ctx") if name in error)
        return f"{error.get('message', '')} {numbers}".strip()
    return error if isinstance(error, str) else ""


def clean(text: str, limit: int) -> str:
    """Foreign text for people: one line, printable, short, without keys."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * limit])
    shown = redact(" ".join(shown.split()))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
