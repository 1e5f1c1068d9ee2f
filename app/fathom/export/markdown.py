"""A report as a Markdown file: question, short answer with an honest label, body, numbered sources with what they say.

Knows nothing of files or sessions on disk: it makes bytes from values.
"""

from __future__ import annotations

from typing import ClassVar

from fathom.core.types import Citation, FinishReason, Report, Scope, Session, Trajectory
from fathom.export.markdown_text import address, disarmed, plain, quoted

QUOTE_CONTEXT = 240
"""Characters of a passage that are shown before and after the quoted words."""

_ENDS: dict[FinishReason | None, str] = {
    "max_calls": "the number of tool calls was used up",
    "max_time": "the time was used up",
    "context_full": "the model could not take in more",
    "finish_now": "the report was asked for before the end",
    "repetition": "the model repeated itself",
    "stopped": "it was stopped",
    "failed": "an error ended it",
    None: "it has not ended",
}


class MarkdownExporter:
    """Implements core.protocols.Exporter. The same values give the same bytes."""

    name: ClassVar[str] = "markdown"
    label: ClassVar[str] = "Markdown"
    suffix: ClassVar[str] = ".md"

    def render(self, session: Session, trajectory: Trajectory, report: Report) -> bytes:
        """The file, UTF-8."""
        parts = [f"# {plain(report.question or session.title)}"]
        parts += [f"> **{title}** {text}" for title, text in _labels(trajectory, report)]
        if body := report.body.strip():
            parts.append(disarmed(body))
        if report.citations:
            parts.append("## Sources")
            parts += [_source(citation) for citation in report.citations]
        parts += ["---", _footer(session, trajectory)]
        return ("\n\n".join(parts) + "\n").encode("utf-8", "replace")


def _labels(trajectory: Trajectory, report: Report) -> list[tuple[str, str]]:
    """What a reader has to know before believing the report."""
    labels = []
    if report.unbacked:
        labels.append(
            (
                "Short answer not found in the sources.",
                "No saved passage contains it: it comes from the model alone. Check it before you use it.",
            )
        )
    if trajectory.finish_reason in _ENDS:
        labels.append(("Cut short:", f"{_ENDS[trajectory.finish_reason]}."))
    if not report.citations:
        labels.append(("No sources.", "Nothing in this report rests on a saved passage."))
    return labels


def _source(citation: Citation) -> str:
    passage = citation.passage
    head = (
        f"**[{citation.number}]** {plain(passage.title) or 'Untitled'}, {address(passage.uri)} (step {citation.step})"
    )
    return f"{head}\n\n{_passage(passage.text, citation.quote)}"


def _passage(text: str, quote: str) -> str:
    """The quoted words in bold with what stands around them; without a quotation the passage's beginning."""
    at = text.find(quote) if quote else -1
    if at < 0:
        return quoted(_cut_end(text, 2 * QUOTE_CONTEXT))
    words = quote.strip()
    at += quote.index(words)
    before, after = text[:at], text[at + len(words) :]
    if len(before) > QUOTE_CONTEXT:
        before = "… " + before[-QUOTE_CONTEXT:].partition(" ")[2]
    line = f"{plain(before)} **{plain(words)}** {plain(_cut_end(after, QUOTE_CONTEXT))}"
    if before and not before[-1].isspace():
        line = line.replace(" **", "**", 1)
    if after and not after[0].isspace():
        head, _, tail = line.rpartition("** ")
        line = f"{head}**{tail}"
    return f"> {line.strip()}"


def _cut_end(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    shorter = text[:limit]
    return (shorter.rpartition(" ")[0] or shorter) + " …"


def _footer(session: Session, trajectory: Trajectory) -> str:
    calls = trajectory.calls_made
    rows = [
        ("Model", session.answered_by or session.engine.model or "not known"),
        ("Asked", session.created),
        ("Steps", f"{len(trajectory.steps)}, with {calls} tool call{'' if calls == 1 else 's'}"),
        ("Looked in", _where(trajectory.task.scope)),
    ]
    lines = [f"- {name}: {plain(value)}" for name, value in rows]
    return "\n".join(["Made with Fathom by a language model: it may be wrong.", "", *lines])


def _where(scope: Scope) -> str:
    places = ["the sample library"] if scope.sample else []
    if scope.documents:
        places.append(f"my documents ({', '.join(scope.collections)})" if scope.collections else "my documents")
    if scope.web:
        places.append("the web")
    return (", ".join(places) or "nothing") + ("" if scope.web else "; the web was off")
