"""Which rows the timeline shows: groups in and out of the model's view, folds, notices, the answer, the ending.

Pure functions of a RunState and of what the person folded. Knows nothing of Qt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fathom.core.types import FinishReason
from fathom.ui.research import timeline_words as words
from fathom.ui.research.timeline_state import RunState, StepState

Kind = Literal["notice", "saved_header", "fold", "view_header", "step", "answer", "ending"]
Place = Literal["plain", "saved", "view"]
SILENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``key`` names it for as long as it lives; ``number`` is its step (a notice's place in the list)."""

    kind: Kind
    key: str
    number: int = 0
    place: Place = "plain"
    text: str = ""
    detail: str = ""
    first: bool = False  # of its group
    last: bool = False
    leaves_next: bool = False
    open: bool = False  # a fold that shows its steps


def build_rows(state: RunState, fold_open: bool = False) -> list[Row]:
    """The rows from top to bottom."""
    rows = [_notice(index, state) for index, notice in enumerate(state.notices) if notice.step not in state.steps]
    notices: dict[int, list[int]] = {}
    for index, notice in enumerate(state.notices):
        if notice.step in state.steps:
            notices.setdefault(notice.step, []).append(index)

    def with_notices(row: Row) -> list[Row]:
        return [row, *(_notice(index, state) for index in notices.get(row.number, ()))]

    numbers = list(state.steps)
    seen = [number for number in state.in_view if number in state.steps]
    total = len([number for number in state.results if number <= (seen[-1] if seen else 0)]) if seen else 0
    first_seen, last_seen = (seen[0], seen[-1]) if seen else (0, 0)
    older = [number for number in numbers if number < first_seen]
    if older:
        rows += _saved(state, older, fold_open, notices)
    if seen:
        inside = [number for number in numbers if first_seen <= number <= last_seen]
        title = "In the model’s view at the end" if state.ending else "In the model’s view"
        text = f"{title}  ·  {len(seen)} of {words.count(total, 'result', 'results')}"
        rows.append(Row(kind="view_header", key="view", place="view", text=text, first=True))
        for number in inside:
            row = Row(
                kind="step",
                key=f"step {number}",
                number=number,
                place="view",
                last=number == last_seen,
                leaves_next=number == state.leaves_next,
            )
            rows += with_notices(row)
    for number in numbers:
        if number > last_seen:
            rows += with_notices(Row(kind="step", key=f"step {number}", number=number))
    if state.answering:
        rows.append(Row(kind="answer", key="answer", text=answer_title(state.finish_reason)))
    if state.ending:
        rows.append(_ending(state))
    return rows


def _notice(index: int, state: RunState) -> Row:
    notice = state.notices[index]
    return Row(kind="notice", key=f"notice {index}", number=index, text=notice.text, detail=notice.level)


def _saved(state: RunState, older: list[int], fold_open: bool, notices: dict[int, list[int]]) -> list[Row]:
    results = len([number for number in older if state.steps[number].observations])
    text = f"Saved, out of view  ·  {words.count(results, 'result', 'results')}"
    rows = [Row(kind="saved_header", key="saved", place="saved", text=text, first=True)]
    folded = older[:-1] if len(older) > 2 else []
    if folded:
        steps = [state.steps[number] for number in folded]
        rows.append(
            Row(
                kind="fold",
                key="fold",
                number=folded[0],
                place="saved",
                text=f"{words.steps_label(folded[0], folded[-1])}:",
                detail=fold_summary(steps),
                open=fold_open,
            )
        )
    shown = older if fold_open or not folded else older[-1:]
    for number in shown:
        rows.append(
            Row(kind="step", key=f"step {number}", number=number, place="saved", last=number == older[-1]),
        )
        rows += [_notice(index, state) for index in notices.get(number, ())]
    return rows


def fold_summary(steps: list[StepState]) -> str:
    """ "5 searches, 2 pages read, 1 failed"."""
    failed = sum(observation.is_error for step in steps for observation in step.observations)
    return words.summary((action.call.name for step in steps for action in step.actions), failed)


ANSWER_TITLES: dict[FinishReason, str] = {
    "answered": "Writing the report",
    "max_calls": "Writing the report: all calls are used up",
    "max_time": "Writing the report: the time is up",
    "context_full": "Writing the report: no further step fits into the model’s memory",
    "finish_now": "Writing the report from what there is",
    "repetition": "Writing the report: the model only repeated itself",
}


def answer_title(reason: FinishReason | None) -> str:
    """What the answer row says."""
    return ANSWER_TITLES.get(reason or "answered", "Writing the report")


_PARTIAL: dict[FinishReason, str] = {
    "max_calls": "All calls were used up. The report rests on what was found until then.",
    "max_time": "The time was up. The report rests on what was found until then.",
    "context_full": "No further step fitted into the model’s memory. The report rests on what was found until then.",
    "finish_now": "Finished at your wish. The report rests on what was found until then.",
    "repetition": "The model only repeated itself, so it was asked for its answer.",
}


def saved_steps(state: RunState) -> str:
    """ "13 finished steps are saved." """
    done = sum(step.phase == "done" for step in state.steps.values())
    return (
        "No step was finished." if not done else f"{words.count(done, 'finished step is', 'finished steps are')} saved."
    )


def is_backed(state: RunState) -> bool:
    """Whether the run ended with a short answer that a saved passage contains: only then does it end in green."""
    return state.ending == "done" and state.report is not None and state.report.answer_backed


def _ending(state: RunState) -> Row:
    saved = saved_steps(state)
    took = words.seconds(state.seconds)
    match state.ending:
        case "done" | "partial":
            answered = state.report is None or bool(state.report.answer)
            title = "Done" if answered else "Ended without a short answer"
            if took:
                title += f" {'in' if answered else 'after'} {took}"
            if state.report is not None and state.report.unbacked:
                title += ". No saved passage contains the short answer"
            text = _PARTIAL.get(state.finish_reason or "answered", "")
        case "stopped":
            title, text = "Stopped by you", f"{saved} No report was written."
        case "failed":
            # What happened and what to do stand in the banner above the steps: here, only where it was.
            title, text = f"Ended by an error{_in_step(state)}", saved
        case _:
            title, text = f"Interrupted{_in_step(state)}", saved
    return Row(kind="ending", key="ending", number=state.ended_at, text=title, detail=text)


def _in_step(state: RunState) -> str:
    return f" in step {state.ended_at}" if state.ended_at else ""


MUST_ACT = "Had to use a tool"
MUST_ACT_WHY = "In this step the model could not answer yet: Fathom had it look something up or compute first."
LEAVES_WHY = "The next result pushes this one out of the model’s view. It stays saved."


def activity(state: RunState, step: StepState, now: float) -> str:
    """What the model does now, in words; after five seconds of silence, what it waits for."""
    silent = now - state.heard
    waited = f"  ·  {words.whole_seconds(silent)}" if silent >= SILENCE_S else ""
    if state.paused:
        return "It goes on when you press Resume"
    if state.asking is not None:
        return "Waiting for your answer"
    if step.phase == "reading":
        if not step.read_total:
            return f"Waiting for the model{waited}"
        if step.read_done:
            return f"Reading {step.read_done:,} of {step.read_total:,} tokens{waited}"
        return f"Reading {words.count(step.read_total, 'token', 'tokens')}{waited}"
    if step.phase == "thinking":
        return f"Waiting for the model’s next word{waited}" if waited else "Thinking"
    if step.phase == "calling":
        return f"Waiting for the model’s next word{waited}" if waited else "Writing the call"
    if step.phase == "acting":
        running = next((action for action in step.actions if action.seconds is None), None)
        if running is not None:
            since = now - running.started
            if since >= SILENCE_S:
                return f"Waiting for the tool  ·  {words.whole_seconds(since)}"
            return "Waiting for the tool"
    return f"Saving the result{waited}"


def accessible_text(row: Row, state: RunState, now: float = 0.0) -> str:
    """The row in one breath, for a screen reader."""
    if row.kind == "fold":
        return f"{row.text} {row.detail}. {'Hide' if row.open else 'Show'}"
    if row.kind == "answer":
        return f"{row.text}. {state.answer_text[-200:]}".strip()
    if row.kind != "step":
        return " ".join(f"{row.text}. {row.detail}".split()).replace("..", ".")
    step = state.steps[row.number]
    parts = [f"Step {step.number}."]
    if row.place == "view":
        parts.append("In the model’s view, leaves next." if row.leaves_next else "In the model’s view.")
    elif row.place == "saved":
        parts.append("Saved, out of view.")
    if step.tool_choice == "required":
        parts.append(f"{MUST_ACT}.")
    if step.is_live and not state.ending:
        parts.append(f"Live: {activity(state, step, now)}.")
    if step.phase == "cut_off":
        parts.append("Cut off.")
    parts.append(f"Thought: {_sentence(step.thought) or 'none.'}")
    for action in step.actions:
        took = "running" if action.seconds is None else words.seconds(action.seconds)
        said = (action.verb, action.call.name, action.argument, "" if step.phase == "cut_off" else took)
        parts.append(f"Action: {', '.join(word for word in said if word)}.")
        observation = step.observation_of(action.call.id)
        if observation is not None:
            label = "Observation, an error" if observation.is_error else "Observation"
            both = f"{_sentence(observation.title)} {_sentence(observation.best)}".strip()
            parts.append(f"{label}: {both or _sentence(observation.text)}")
    return " ".join(parts)


def _sentence(text: str) -> str:
    text = words.one_line(text)
    return text if not text or text[-1] in ".!?…。" else f"{text}."
