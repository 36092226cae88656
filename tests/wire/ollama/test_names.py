from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.wire.ollama.names import spellings, split, to_download


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("qwen3-8b", ["qwen3-8b", "qwen3-8b:latest"]),
        ("qwen3-8b:latest", ["qwen3-8b:latest", "qwen3-8b"]),
        ("qwen3-8b:q4_k_m", ["qwen3-8b:q4_k_m", "qwen3-8b@q4_k_m"]),
        ("embedded:org/name", ["embedded:org/name", "embedded:org/name:latest"]),
        ("embedded:name:latest", ["embedded:name:latest", "embedded:name"]),
        ("hf.co/org/name:Q8_0", ["org/name:Q8_0", "org/name@Q8_0"]),
        ("https://huggingface.co/org/name", ["org/name", "org/name:latest"]),
        ("", [""]),
        ("odd:", ["odd:", "odd::latest"]),
    ],
)
def test_a_name_is_tried_as_it_is_and_then_in_our_words(name: str, meant: list[str]) -> None:
    assert list(spellings(name)) == meant


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a:b", ("a", "b")), ("a:b:c", ("a:b", "c")), ("a", None), (":b", None), ("a:", None), ("a:b/c", None)],
)
def test_a_tag_is_what_follows_the_last_colon(name: str, parts: tuple[str, str] | None) -> None:
    assert split(name) == parts


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hf.co/org/name:Q8_0", "org/name@Q8_0"),
        ("org/name:latest", "org/name"),
        ("org/name@q4_k_m", "org/name@q4_k_m"),
        ("embedded:org/name", "embedded:org/name"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("llama3.2", "llama3.2"),
    ],
)
def test_a_name_to_download_has_its_quantization_after_an_at(name: str, meant: str) -> None:
    assert to_download(name) == meant


@given(st.text(max_size=50))
def test_any_name_is_tried_as_it_is_first_and_few_times(name: str) -> None:
    tried = list(spellings(name))
    assert name.endswith(tried[0])
    assert len(tried) <= 2
