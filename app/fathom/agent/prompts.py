"""What the loop itself says to the model: the request for the final answer, and the notes on a turn that went wrong."""

from __future__ import annotations

_SUMMARY = """The research ends here; no tool can be called any more. Answer the question from the results above:

{question}

Write a few sentences with what the results say and how it leads to the answer. Use only what the results say; say so when they do not hold the answer. Use the language of the question. End with the short answer alone, in the form the question asks for, in \\boxed{{}}."""  # noqa: E501

_SUMMARY_COMPACT = """Now answer this question from the results above: {question}
Write one or two sentences, then the short answer (a name, a number, yes or no) in \\boxed{{}}."""

READER = "You read passages and answer the question from them."
"""The system's text when a small model answers from passages alone."""

UNREADABLE_CALL = "unreadable_call"
"""The name under which a call that could not be read is recorded."""


def summary_request(question: str, *, compact: bool = False) -> str:
    """The user's message that asks for the final answer."""
    return (_SUMMARY_COMPACT if compact else _SUMMARY).format(question=question)


def reader_request(passages: str, question: str) -> str:
    """The user's message that asks a small model for an answer from ``passages``."""
    return f"{passages}\n\nQuestion: {question}\nAnswer with a few words from the text."


def unreadable(reason: str) -> str:
    """What the model reads when its call could not be read."""
    return f"Error: the call could not be run: {reason}. Write the call again in the given format."


def interrupted() -> str:
    """What stands for the result of a call that was interrupted."""
    return "The call was interrupted before it gave a result."
