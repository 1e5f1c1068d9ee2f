"""The tokenizer of a GGUF file as a ``tokenizer.json``: byte-level BPE with the splits that llama.cpp makes.

Knows vocabularies, no weights. Nothing is normalised, as llama.cpp does not either.
"""

from __future__ import annotations

from typing import Any

from fathom.weights.gguf import GgufModel

_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_BYTES = _GPT2 | {"use_regex": False}
_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split(expression: str) -> dict[str, Any]:
    pattern = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [pattern, _BYTES]}


_QWEN2 = _split(_CONTRACTIONS + _WORDS % "")
_LLAMA3 = _split(_CONTRACTIONS + _WORDS % "{1,3}")
_DIGITS = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _GPT2]}

_SPLITS: dict[str, dict[str, Any]] = {
    "gpt-2": _GPT2,
    "smollm": _DIGITS,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama-bpe": _LLAMA3,
}
"""``tokenizer.ggml.pre`` -> the pre-tokenizer."""

_WHOLE_WORDS = frozenset({"llama-bpe"})  # a word of the vocabulary is taken whole, whatever its merges say
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5


def why_not(metadata: dict[str, Any]) -> str:
    """Why this tokenizer cannot be rebuilt, "" when it can."""
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2":
        return f"a tokenizer of the kind {kind!r}"
    if split not in _SPLITS:
        return f"a tokenizer that splits words as {split!r}"
    return ""


def tokenizer_json(model: GgufModel) -> dict[str, Any]:
    """The contents of ``tokenizer.json``. Raises ValueError when the vocabulary contradicts itself."""
    tokens = [str(token) for token in model.arrays.get("tokenizer.ggml.tokens", [])]
    types = model.arrays.get("tokenizer.ggml.token_type", [])
    merges = [str(merge).split(" ") for merge in model.arrays.get("tokenizer.ggml.merges", [])]
    if not tokens or not merges or len(types) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens, {len(types)} types of tokens and {len(merges)} merges")
    split = str(model.header.metadata["tokenizer.ggml.pre"])
    vocab: dict[str, int] = {}
    for number, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind != _UNUSED:  # rows that only pad the embedding
            vocab.setdefault(token, number)
    if any(len(merge) != 2 or merge[0] not in vocab or merge[1] not in vocab for merge in merges):
        raise ValueError("a merge of tokens that are not in the vocabulary")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind != _USER_DEFINED,
            }
            for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) and vocab.get(token) == number
        ],
        "normalizer": None,
        "pre_tokenizer": _SPLITS[split],
        "post_processor": None,
        "decoder": _GPT2,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": split in _WHOLE_WORDS,
            "vocab": vocab,
            "merges": merges,
        },
    }


def tokenizer_config(model: GgufModel) -> dict[str, Any]:
    """The contents of ``tokenizer_config.json``: chat template, first and last token."""
    metadata, tokens = model.header.metadata, model.arrays["tokenizer.ggml.tokens"]

    def spelled(name: str) -> str | None:
        number = metadata.get(f"tokenizer.ggml.{name}_token_id")
        return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else None

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": spelled("bos"),
        "eos_token": spelled("eos"),
        "pad_token": spelled("padding"),
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
        "chat_template": model.header.chat_template,
        "model_max_length": model.header.context_length,
    }
