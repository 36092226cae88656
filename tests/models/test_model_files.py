"""The model files that ship: what the training code believed is what the engine does with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import gguf
import pytest
from models.corpus import conversations
from models.engine import Engine, running
from models.places import BUILTIN, CHAT_MODEL, EMBEDDING_MODEL
from models.render import TEMPLATE, render
from models.tokens import CONTROL, MARKERS, SPLIT
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models

MEGABYTE = 1_000_000
TEXTS = (
    "What is lmbridge?",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Ærøskøbing", "days": 12}}\n</tool_call>',
    "  two  spaces, a\ttab and\r\n\r\nlines \n",
    "it's 1234.5 €, 日本語, 🙂 and \u00a0 x_y-z/../a.txt",
    "",
)


@pytest.fixture(scope="module")
def chat() -> Iterator[Engine]:
    with running(CHAT_MODEL) as engine:
        yield engine


def field(reader: gguf.GGUFReader, name: str) -> object:
    found = reader.get_field(name)
    assert found is not None, name
    return found.contents()


@pytest.fixture(scope="module")
def header() -> gguf.GGUFReader:
    return gguf.GGUFReader(CHAT_MODEL)


def tokenizer_in(reader: gguf.GGUFReader) -> Tokenizer:
    """The tokenizer as the training had it, from what the file says."""
    words = field(reader, "tokenizer.ggml.tokens")
    merges = field(reader, "tokenizer.ggml.merges")
    assert isinstance(words, list)
    assert isinstance(merges, list)
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(token_models.BPE({word: i for i, word in enumerate(words)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (*CONTROL, *MARKERS)])
    return tokenizer


def test_the_package_stays_small() -> None:
    assert sum(path.stat().st_size for path in BUILTIN.glob("*.gguf")) < 12 * MEGABYTE


def test_the_chat_model_says_what_it_is(header: gguf.GGUFReader) -> None:
    assert field(header, "general.name") == "lmbridge-tiny"
    assert field(header, "general.license") == "apache-2.0"
    assert field(header, "general.author")
    assert field(header, "llama.context_length") == 2048
    assert field(header, "tokenizer.chat_template") == TEMPLATE.read_text(encoding="utf-8")


def test_the_embedding_model_says_how_it_pools() -> None:
    header = gguf.GGUFReader(EMBEDDING_MODEL)
    assert field(header, "general.name") == "lmbridge-tiny-embed"
    assert field(header, "general.license") == "apache-2.0"
    assert field(header, "llama.pooling_type") == gguf.PoolingType.MEAN


def test_training_text_is_rendered_as_the_engine_renders_it(chat: Engine) -> None:
    for each in islice(conversations(21), 120):
        ours = render(each.messages[:-1], each.tools, answer=True)
        assert chat.prompt(each.messages[:-1], each.tools) == ours


def test_an_answer_in_the_past_is_rendered_alike(chat: Engine) -> None:
    past = [each for each in islice(conversations(22), 400) if len(each.messages) > 3]
    assert len(past) > 50
    for each in past[:60]:
        follow_up = [*each.messages, {"role": "user", "content": "And now?"}]
        assert chat.prompt(follow_up, each.tools) == render(follow_up, each.tools, answer=True)


def test_engine_and_training_split_text_into_the_same_tokens(chat: Engine, header: gguf.GGUFReader) -> None:
    tokenizer = tokenizer_in(header)
    rendered = [render(each.messages, each.tools) for each in islice(conversations(23), 60)]
    for text in (*TEXTS, *rendered):
        assert chat.tokenize(text) == tokenizer.encode(text, add_special_tokens=False).ids
