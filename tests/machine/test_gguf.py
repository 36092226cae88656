"""What the header reader makes of good, broken, foreign and hostile files."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import gguf_files

from lmbridge.core.errors import BadModelFile
from lmbridge.machine.gguf import read_header


def reason(path: Path) -> str:
    with pytest.raises(BadModelFile) as caught:
        read_header(path)
    assert caught.value.path == str(path)
    return caught.value.reason


def test_a_chat_model_tells_what_it_is(chat_file: Path) -> None:
    header = read_header(chat_file)
    assert (header.architecture, header.name, header.quantization) == ("llama", "Random Chat", "F16")
    assert (header.context_length, header.block_count, header.embedding_length) == (2048, 2, 64)
    assert header.head_counts_kv == (2, 2)
    assert header.vocabulary == len(gguf_files.VOCABULARY)
    assert header.data_end == header.size_bytes == chat_file.stat().st_size
    assert header.tools
    assert not header.embedding


def test_the_number_of_weights_is_counted_from_the_tensors(chat_file: Path) -> None:
    vocabulary, width = len(gguf_files.VOCABULARY), gguf_files.WIDTH
    layer = 2 * width + 2 * width * width + 2 * width * 32 + 3 * width * gguf_files.SMALL.ffn
    assert read_header(chat_file).parameters == 2 * vocabulary * width + width + 2 * layer


def test_a_template_without_tools_is_seen(tmp_path: Path) -> None:
    path = gguf_files.chat_model(tmp_path / "plain.gguf", template=gguf_files.PLAIN_TEMPLATE)
    assert not read_header(path).tools


def test_an_embedding_model_is_known_by_its_pooling(tmp_path: Path) -> None:
    assert read_header(gguf_files.embedding_model(tmp_path / "embed.gguf")).embedding


def test_a_projector_is_known_by_its_type(tmp_path: Path) -> None:
    _, projector = gguf_files.vision_model(tmp_path)
    assert read_header(projector).kind == "mmproj"


def test_a_truncated_file_tells_how_much_is_missing(chat_file: Path, tmp_path: Path) -> None:
    cut = gguf_files.truncated(tmp_path / "cut.gguf", chat_file, keep=0.9)
    size = chat_file.stat().st_size
    assert reason(cut) == f"truncated at {int(size * 0.9):,} of {size:,} bytes"


def test_a_file_cut_within_its_header_is_truncated_too(chat_file: Path, tmp_path: Path) -> None:
    assert "truncated" in reason(gguf_files.truncated(tmp_path / "cut.gguf", chat_file, keep=0.02))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"import this", "begins with b'impo'"),
        (b"GGUF\x00\x00\x00\x03" + bytes(16), "big-endian"),
        (b"GGUF\x01\x00\x00\x00" + bytes(16), "version 1"),
        (b"GGUF\x03\x00\x00\x00" + struct.pack("<QQ", 2**60, 1), "claims"),
        (b"GGUF\x03\x00\x00\x00" + struct.pack("<QQQ", 0, 1, 2**60), "absurd length"),
        (b"GGUF", "truncated"),
    ],
)
def test_what_is_not_a_model_is_called_by_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    assert words in reason(path)


def test_a_count_that_cannot_be_is_damage(chat_file: Path, tmp_path: Path) -> None:
    assert "damaged" in reason(gguf_files.damaged(tmp_path / "x.gguf", chat_file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.gguf") == "No such file or directory"


def test_a_file_that_changed_is_read_again(chat_file: Path, tmp_path: Path) -> None:
    path = gguf_files.truncated(tmp_path / "x.gguf", chat_file)
    assert "truncated" in reason(path)
    path.write_bytes(chat_file.read_bytes())
    assert read_header(path).architecture == "llama"


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (key("general.name", 99, b""), "unknown type 99"),
        (key("a", 9, struct.pack("<IQ", 9, 1)), "array of the unknown type 9"),
        (key("tokenizer.ggml.tokens", 4, bytes(4)), "not a list"),
        (key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 4, 1)), "not a list of texts"),
        (key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2**40)), "claims"),
        (key("a", 9, struct.pack("<IQ", 8, 1000)), "truncated"),
        (key("general.alignment", 4, struct.pack("<I", 3)), "alignment"),
        (key("general.name", 8, struct.pack("<Q", 2**50)), "absurd length"),
        (key("tokenizer.x", 8, struct.pack("<Q", 2**50)), "damaged"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: bytes, words: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
    assert words in reason(path)


def test_a_tensor_of_impossible_size_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    tensor = text("w") + struct.pack("<I", 2) + struct.pack("<QQ", 2**40, 2**40) + struct.pack("<IQ", 0, 0)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor)
    assert "absurd size" in reason(path)


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    entries = key("general.architecture", 8, text("a"))
    entries += key("a.attention.head_count_kv", 9, struct.pack("<IQ", 4, 3) + struct.pack("<III", 1, 0, 4))
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + entries)
    assert read_header(path).head_counts_kv == (1, 0, 4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), max_size=8), keep=st.floats(0, 1))
def test_no_damage_makes_it_crash(
    chat_file: Path, tmp_path: Path, edits: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(chat_file.read_bytes())
    for position, value in edits:
        data[position] = value
    path = tmp_path / "x.gguf"
    path.write_bytes(data[: int(len(data) * keep)])
    with suppress(BadModelFile):
        read_header(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=400), tensors=st.integers(0, 3), keys=st.integers(0, 5))
def test_no_invention_makes_it_crash(tmp_path: Path, tail: bytes, tensors: int, keys: int) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + tail)
    with suppress(BadModelFile):
        read_header(path)
