"""The tokenizer: byte-level BPE trained on the corpus, in the form that llama.cpp reads as ``qwen2``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.corpus import conversations
from models.render import render

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>", "<tools>", "</tools>", "<think>", "</think>")
VOCABULARY = 2048

# llama.cpp's expression for the pre-tokenizer "qwen2": digits stand alone.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

ANSWER = re.compile(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", re.DOTALL)


def texts(seed: int, part: int = 1) -> Iterator[str]:
    """Rendered conversations without end, for a part of the training."""
    for made in conversations(seed, part=part):
        yield render(made.messages, made.tools)


def trained(seed: int = 7, samples: int = 40_000) -> Tokenizer:
    """A tokenizer fitted to *samples* conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*CONTROL, *MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(texts(seed), samples), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    return tokenizer


def load(path: Path) -> Tokenizer:
    """A tokenizer saved by :func:`trained`'s caller."""
    return Tokenizer.from_file(str(path))


def encode(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[bool]]:
    """Token ids of a rendered conversation, and which of them the model itself has to say."""
    coded = tokenizer.encode(text, add_special_tokens=False)
    spans = [m.span(1) for m in ANSWER.finditer(text)]
    said, at = [False] * len(coded.ids), 0
    for i, (start, end) in enumerate(coded.offsets):
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        said[i] = at < len(spans) and spans[at][0] <= start and end <= spans[at][1]
    return coded.ids, said
