"""What people write is understood, and what leads elsewhere is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import DownloadFailed
from lmbridge.machine.downloads.names import Wanted, is_repository, parse

QWEN = Wanted("Qwen/Qwen3-8B-GGUF", words="Qwen3-8B-GGUF")


@pytest.mark.parametrize(
    "name",
    [
        "Qwen/Qwen3-8B-GGUF",
        " Qwen/Qwen3-8B-GGUF ",
        "hf.co/Qwen/Qwen3-8B-GGUF",
        "huggingface.co/Qwen/Qwen3-8B-GGUF",
        "https://huggingface.co/Qwen/Qwen3-8B-GGUF",
        "https://huggingface.co/Qwen/Qwen3-8B-GGUF/",
        "https://hf.co/Qwen/Qwen3-8B-GGUF?library=llama-cpp",
        "https://huggingface.co/Qwen/Qwen3-8B-GGUF/tree/main",
        "hf://Qwen/Qwen3-8B-GGUF",
        "https://mirror.example/hub/Qwen/Qwen3-8B-GGUF",
        "mirror.example/hub/Qwen/Qwen3-8B-GGUF",
    ],
)
def test_a_repository_is_understood_however_it_is_written(name: str) -> None:
    assert parse(name, "https://mirror.example/hub") == QWEN


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("a/b@q4_k_m", "q4_k_m"),
        ("a/b@Q4_K_M", "q4_k_m"),
        ("a/b:Q8_0", "q8_0"),
        ("a/b@q4-k-m", "q4_k_m"),
        ("a/b@UD-Q4_K_XL", "ud-q4_k_xl"),
        ("https://huggingface.co/a/b@iq3_m", "iq3_m"),
    ],
)
def test_a_quantization_is_understood_in_every_spelling(name: str, quantization: str) -> None:
    assert parse(name) == Wanted("a/b", quantization=quantization, words="b")


@pytest.mark.parametrize(
    ("name", "file", "revision"),
    [
        ("a/b/c-Q4_0.gguf", "c-Q4_0.gguf", "main"),
        ("a/b/sub/c.GGUF", "sub/c.GGUF", "main"),
        ("https://huggingface.co/a/b/blob/main/c.gguf", "c.gguf", "main"),
        ("https://huggingface.co/a/b/resolve/v1.0/sub/c%20d.gguf?download=true", "sub/c d.gguf", "v1.0"),
        ("https://huggingface.co/a/b/blob/refs%2Fpr%2F1/c.gguf", "c.gguf", "refs/pr/1"),
        ("https://huggingface.co/a/b?show_file_info=c.gguf", "c.gguf", "main"),
    ],
)
def test_a_file_is_understood_with_its_revision(name: str, file: str, revision: str) -> None:
    assert parse(name) == Wanted("a/b", file=file, revision=revision, words="b")


def test_a_folder_of_a_repository_is_understood() -> None:
    assert parse("https://huggingface.co/a/b/tree/main/Q4_K_M").folder == "Q4_K_M"


def test_a_name_without_an_owner_is_for_searching() -> None:
    assert parse("qwen3-8b@q4_k_m") == Wanted("", quantization="q4_k_m", words="qwen3-8b")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "two words",
        "x" * 2000,
        "a/../../etc/passwd.gguf",
        "../b",
        "a/b/..%2f..%2fc.gguf",
        "a/b/c\\d.gguf",
        "a/b/./c.gguf",
        "a\x00/b",
        "-a/b",
        "a--b/c",
        "https://example.com/a/b",
        "http://user:secret@huggingface.co/a/b",
        "https://[broken/a/b",
        "ftp://huggingface.co/a/b",
        "file:///etc/passwd.gguf",
        "https://huggingface.co/datasets/a/b",
        "https://huggingface.co/spaces/a/b",
        "https://huggingface.co/a/b/blob/main/model.safetensors",
        "https://huggingface.co/a/b/blob/..%2f/c.gguf",
    ],
)
def test_what_names_no_model_is_refused_with_the_forms_that_do(name: str) -> None:
    with pytest.raises(DownloadFailed) as caught:
        parse(name)
    assert "owner/repository" in caught.value.hint
    assert "secret" not in caught.value.reason


@given(st.text(max_size=60) | st.from_regex(r"[\w./:@%\\-]{0,40}", fullmatch=True))
def test_whatever_is_written_nothing_leads_out_of_the_repository(name: str) -> None:
    try:
        wanted = parse(name)
    except DownloadFailed:
        return
    assert wanted.repository == "" or is_repository(wanted.repository)
    assert not {"..", "."} & set(wanted.file.split("/"))
    assert "\\" not in wanted.file
