"""The vocabulary of a model folder: its ``tokenizer.json``, through the tokenizers library.

Byte-level BPE and SentencePiece-like vocabularies are known; the library never formats a chat, and no code of the
folder runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llguidance
import tokenizers

from fathom.core.errors import ModelFileError
from fathom.engines.tokens import Vocabulary
from fathom.weights.mlx_folder import MlxFolder

guidance: Any = llguidance

_END_NAMES = frozenset(
    {
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "<|eot|>",
        "<|return|>",
        "<|call|>",
        "</s>",
        "<|fim_pad|>",
        "<fim_pad>",
        "<|repo_name|>",
        "<reponame>",
        "<|file_sep|>",
        "<｜end▁of▁sentence｜>",
    }
)
"""Control tokens that end a generation in any model, as llama.cpp has them."""


class JsonVocabulary(Vocabulary):
    """Ids of a ``tokenizer.json``. The tokenizer itself matches added tokens in a text: markers always."""

    def __init__(self, folder: MlxFolder, size: int) -> None:
        """``size``: the number of the model's logits. Raises ModelFileError when the tokenizer cannot be read."""
        path = Path(folder.path) / "tokenizer.json"
        try:
            text = path.read_text("utf-8")
            document = json.loads(text)
            self._tokenizer = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception for what it cannot read
            raise ModelFileError(
                f"{path.parent.name} has no tokenizer that can be read.",
                needs="a tokenizer.json as the tokenizers library writes it",
                has=str(error)[:200],
                do="Fetch the folder again, or choose a GGUF file.",
                remedy="choose_model",
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._json = text
        self._byte_level = _byte_level(document)
        self._pieces: dict[int, bytes] = {}
        self._added: dict[int, str] = {}
        control: set[str] = set()
        user_defined: set[str] = set()
        for token, added in self._tokenizer.get_added_tokens_decoder().items():
            self._added[token] = added.content
            (control if added.special else user_defined).add(added.content)
        known = self._tokenizer.get_vocab_size(with_added_tokens=True)
        eog = {token for token in folder.end_tokens if 0 <= token < size}
        eog |= {token for token, text in self._added.items() if text in _END_NAMES and text in control}
        eos = self._tokenizer.token_to_id(folder.eos) if folder.eos else None
        bos = self._tokenizer.token_to_id(folder.bos) if folder.bos else None
        super().__init__(
            size=max(size, known),
            template=folder.chat_template,
            bos=-1 if bos is None else bos,
            eos=min(eog, default=-1) if eos is None else eos,
            add_bos=folder.add_bos and bos is not None,
            eog=eog | ({eos} if eos is not None else set()),
            control=control,
            user_defined=user_defined,
        )

    def piece(self, token: int) -> bytes:
        """As Vocabulary.piece."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._spell(token)
        return found

    def _spell(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode("utf-8", errors="replace")
        text = self._tokenizer.id_to_token(token)
        if text is None:  # the embedding may have more rows than the tokenizer has tokens
            return b""
        if self._byte_level:
            return b"".join(_BYTES.get(letter, letter.encode()) for letter in text)
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            return bytes([int(text[3:5], 16)])
        return text.replace("\u2581", " ").encode()

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """As Vocabulary.tokenize."""
        self._tokenizer.encode_special_tokens = not special
        data = text.encode("utf-8", errors="replace").decode("utf-8")  # no lone surrogates
        ids: list[int] = self._tokenizer.encode(data, add_special_tokens=False).ids
        return ids

    def grammar_tokenizer(self) -> Any:
        """As Vocabulary.grammar_tokenizer; takes 0.1 to 0.5 s."""
        return guidance.LLTokenizer(self._json, n_vocab=self.size, eos_token=sorted(self.eog))


def _byte_level(document: dict[str, Any]) -> bool:
    decoder = document.get("decoder") or {}
    kinds = [decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", []))]
    return "ByteLevel" in kinds


def _byte_letters() -> Iterable[tuple[str, bytes]]:
    """The letters that byte-level BPE writes for bytes (Radford et al. 2019): printable ones stand for themselves."""
    shifted = 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            yield chr(byte), bytes([byte])
        else:
            yield chr(shifted), bytes([byte])
            shifted += 1


_BYTES = dict(_byte_letters())
