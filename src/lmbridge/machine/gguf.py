"""Reads the header of a GGUF file: what the model is, without loading it.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A model file comes from anywhere, so
every length is checked against the size of the file before it is believed, and the work is bounded; a wrong
file is a `BadModelFile` that says what is wrong, never a hang and never a crash. Nothing here knows engines.
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from msgspec import Struct

from lmbridge.core.errors import BadModelFile

Value: TypeAlias = int | float | bool | str | list[int] | None

MAX_HEADER: Final = 128 * 2**20
"""Most bytes of header that are read; the largest vocabularies in use need about 20 MiB."""
MAX_KEYS: Final = 100_000
MAX_TENSORS: Final = 100_000
MAX_STRING: Final = 4 * 2**20
"""Longest text that is kept; a chat template has a few KB."""
MAX_KEY: Final = 65_535
MAX_STRINGS: Final = 4_000_000
"""Most entries of one list of texts; the largest vocabularies in use have 300,000, and twice as many merges."""
BLOCK: Final = 2**20

# Value types of the format, with the struct letter of the fixed-size ones.
_FIXED: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9

# Tensor types: (weights in a block, bytes of a block).
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip

_QUANTIZATIONS: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0",
    37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip

# What other things look like when they carry the name of a model file.
_FOREIGN: Final = {
    b"PK\x03\x04": "a zip archive",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"<!DOCTYPE": "a web page, so the download failed",
    b"<!doctype": "a web page, so the download failed",
    b"<html": "a web page, so the download failed",
    b"GGML": "an old GGML file, from before GGUF",
    b"tjgg": "an old GGJT file, from before GGUF",
    b'{"error"': "an error message, so the download failed",
}


class Header(Struct, frozen=True):
    """What a GGUF file says about itself. None and "" where it says nothing.

    Attributes:
        kind: `general.type`: "model", "adapter" or "mmproj"; "model" when it is absent.
        size_bytes: of this file.
        data_end: where the weights end; a smaller file is truncated.
        parameters: number of weights in this file.
        template: the chat template.
        head_counts_kv: key/value heads of each layer.
        latent_length: values a layer keeps of a token where keys and values are compressed (MLA).
        window: tokens that layers with a sliding window look back.
        pooling: pooling type of an embedding model: 0 none, 1 mean, 2 first token, 3 last, 4 rank.
        causal: False for encoders.
        part, parts: position and number of files of a split model; 0 and 1 for a whole one.
    """

    size_bytes: int
    data_end: int
    parameters: int
    architecture: str = ""
    name: str = ""
    kind: str = "model"
    quantization: str = ""
    context_length: int | None = None
    block_count: int | None = None
    embedding_length: int | None = None
    head_count: int | None = None
    head_counts_kv: tuple[int, ...] = ()
    key_length: int | None = None
    value_length: int | None = None
    latent_length: int | None = None
    window: int | None = None
    vocabulary: int | None = None
    pooling: int | None = None
    causal: bool = True
    template: str = ""
    part: int = 0
    parts: int = 1

    @property
    def tools(self) -> bool:
        """Whether the chat template knows tools."""
        return "tools" in self.template

    @property
    def embedding(self) -> bool:
        """Whether the model makes vectors instead of text."""
        return self.pooling in (1, 2, 3) or (not self.causal and self.pooling != 4)


class _Malformed(Exception):
    """What is wrong with the bytes; becomes the reason of a `BadModelFile`."""


class _Bytes:
    """The file as a sequence of bytes read forwards once, at most `MAX_HEADER` of them."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._buffer, self._at, self._base = b"", 0, 0

    @property
    def position(self) -> int:
        """Offset in the file of the next byte."""
        return self._base + self._at

    def _end_of(self, count: int) -> int:
        """Where the next *count* bytes end, if they can be."""
        end = self.position + count
        if end > self.size:
            if count > MAX_HEADER:
                raise _Malformed(f"damaged: at byte {self.position:,} it claims {count:,} bytes more")
            raise _Malformed(f"truncated at {self.size:,} of at least {end:,} bytes")
        if end > MAX_HEADER:
            raise _Malformed(f"damaged: its header would be longer than {MAX_HEADER:,} bytes")
        return end

    def need(self, count: int) -> None:
        """Make *count* bytes available in the buffer."""
        if self._at + count <= len(self._buffer):
            return
        self._end_of(count)
        rest = self._buffer[self._at :]
        self._base, self._at = self.position, 0
        self._buffer = rest + self._file.read(max(BLOCK, count - len(rest)))
        if len(self._buffer) < count:  # it shrank while we read
            raise _Malformed(f"truncated at {self._base + len(self._buffer):,} bytes")

    def number(self, letter: str) -> int:
        """The next number, of the type that `struct` calls *letter*."""
        size = struct.calcsize(letter)
        self.need(size)
        (value,) = struct.unpack_from(f"<{letter}", self._buffer, self._at)
        self._at += size
        return value  # type: ignore[no-any-return]  # struct cannot know

    def text(self, limit: int, what: str) -> str:
        """The next string."""
        length = self.number("Q")
        if length > limit:
            raise _Malformed(f"{what} has the absurd length {length:,}")
        self.need(length)
        raw = self._buffer[self._at : self._at + length]
        self._at += length
        return raw.decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        """Pass over *count* bytes."""
        if self._at + count <= len(self._buffer):
            self._at += count
            return
        end = self._end_of(count)
        self._file.seek(end)
        self._buffer, self._at, self._base = b"", 0, end

    def skip_strings(self, count: int) -> None:
        """Pass over *count* strings. A vocabulary has a hundred thousand, so the loop is kept tight."""
        unpack = struct.Struct("<Q").unpack_from
        while count:
            buffer, at, last = self._buffer, self._at, len(self._buffer) - 8
            while count and at <= last:
                after = at + 8 + unpack(buffer, at)[0]
                if after > last + 8:
                    break
                at = after
                count -= 1
            self._at = at
            if count:
                self.skip(self.number("Q"))
                count -= 1


def _skip_texts(data: _Bytes, key: str, count: int) -> None:
    if count > MAX_STRINGS:
        raise _Malformed(f"damaged: {key!r} claims {count:,} entries")
    if count > (data.size - data.position) // 8:
        raise _Malformed(f"truncated at {data.size:,} bytes, within {key!r}")
    data.skip_strings(count)


def _read_array(data: _Bytes, key: str, keep: bool) -> Value:
    kind, count = data.number("I"), data.number("Q")
    if kind == _STRING:
        _skip_texts(data, key, count)
        return None
    letter = _FIXED.get(kind)
    if letter is None:
        raise _Malformed(f"{key!r} is an array of the unknown type {kind}")
    if keep and count <= 4096 and letter not in "fd":
        return [data.number(letter) for _ in range(count)]
    data.skip(count * struct.calcsize(letter))
    return None


def _read_value(data: _Bytes, key: str, keep: bool) -> Value:
    kind = data.number("I")
    if kind == _STRING:
        if keep:
            return data.text(MAX_STRING, repr(key))
        data.skip(data.number("Q"))
        return None
    if kind == _ARRAY:
        return _read_array(data, key, keep)
    letter = _FIXED.get(kind)
    if letter is None:
        raise _Malformed(f"{key!r} is of the unknown type {kind}")
    return data.number(letter)


def _read_metadata(data: _Bytes, count: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for _ in range(count):
        key = data.text(MAX_KEY, "a key")
        if key == "tokenizer.ggml.tokens":
            found[key] = _vocabulary_size(data)
            continue
        keep = not key.startswith("tokenizer.") or key == "tokenizer.chat_template"
        value = _read_value(data, key, keep)
        if keep and value is not None:
            found[key] = value
    return found


def _vocabulary_size(data: _Bytes) -> int:
    kind = data.number("I")
    if kind != _ARRAY:
        raise _Malformed("the vocabulary is not a list")
    element, count = data.number("I"), data.number("Q")
    if element != _STRING:
        raise _Malformed("the vocabulary is not a list of texts")
    _skip_texts(data, "tokenizer.ggml.tokens", count)
    return count


class _Tensors(Struct):
    weights: int = 0
    end: int = 0


def _read_tensors(data: _Bytes, count: int) -> _Tensors:
    total = _Tensors()
    for _ in range(count):
        name = data.text(MAX_KEY, "a tensor's name")
        dimensions = data.number("I")
        if not 0 < dimensions <= 8:
            raise _Malformed(f"tensor {name[:80]!r} has {dimensions} dimensions")
        weights = 1
        for _ in range(dimensions):
            weights *= data.number("Q")
        kind, offset = data.number("I"), data.number("Q")
        if weights > 2**50 or offset > 2**50:
            raise _Malformed(f"tensor {name[:80]!r} has an absurd size")
        total.weights += weights
        if kind in _BLOCKS:
            per_block, block_bytes = _BLOCKS[kind]
            total.end = max(total.end, offset + -(-weights // per_block) * block_bytes)
    return total


def _check_start(data: _Bytes) -> tuple[int, int]:
    """Numbers of tensors and of keys, once the file is known to be GGUF of a version that we read."""
    if data.size == 0:
        raise _Malformed("the file is empty")
    data.need(min(data.size, 64))
    start = data._buffer[:64]
    if start[:4] != b"GGUF":
        what = next((words for magic, words in _FOREIGN.items() if start.startswith(magic)), "")
        raise _Malformed(
            f"not a GGUF file but {what}" if what else f"not a GGUF file, it begins with {start[:4]!r}"
        )
    data.skip(4)
    version = data.number("I")
    if version & 0xFFFF == 0:
        raise _Malformed("it is a big-endian GGUF file")
    if version not in (2, 3):
        raise _Malformed(f"GGUF version {version} is not supported, only 2 and 3 are")
    tensors, keys = data.number("Q"), data.number("Q")
    if tensors > MAX_TENSORS or keys > MAX_KEYS:
        raise _Malformed(f"damaged: it claims {tensors:,} tensors and {keys:,} keys")
    return tensors, keys


def _integer(value: Value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**50 else None


def _header(data: _Bytes) -> Header:
    tensor_count, key_count = _check_start(data)
    found = _read_metadata(data, key_count)
    tensors = _read_tensors(data, tensor_count)
    alignment = _integer(found.get("general.alignment", 32))
    if not alignment or alignment & (alignment - 1) or alignment > 2**20:
        raise _Malformed("damaged: an impossible alignment")
    data_end = -(-data.position // alignment) * alignment + tensors.end if tensor_count else data.position
    if data_end > data.size:
        raise _Malformed(f"truncated at {data.size:,} of {data_end:,} bytes")

    architecture = found.get("general.architecture")
    architecture = architecture if isinstance(architecture, str) else ""

    def integer(key: str) -> int | None:
        value = found.get(f"{architecture}.{key}")
        return max(value, default=None) if isinstance(value, list) else _integer(value)

    def text(key: str) -> str:
        value = found.get(key)
        return value if isinstance(value, str) else ""

    heads = found.get(f"{architecture}.attention.head_count_kv")
    blocks = integer("block_count")
    if isinstance(heads, list):
        heads_kv = tuple(heads)
    else:
        each = _integer(heads) or integer("attention.head_count") or 0
        heads_kv = (each,) * min(blocks or 0, 4096)
    file_type = _integer(found.get("general.file_type"))
    return Header(
        size_bytes=data.size,
        data_end=data_end,
        parameters=tensors.weights,
        architecture=architecture,
        name=text("general.name"),
        kind=text("general.type") or ("mmproj" if architecture == "clip" else "model"),
        quantization=_QUANTIZATIONS.get(file_type, "") if file_type is not None else "",
        context_length=integer("context_length"),
        block_count=blocks,
        embedding_length=integer("embedding_length"),
        head_count=integer("attention.head_count"),
        head_counts_kv=heads_kv,
        key_length=integer("attention.key_length"),
        value_length=integer("attention.value_length"),
        latent_length=integer("attention.kv_lora_rank"),
        window=integer("attention.sliding_window"),
        vocabulary=_integer(found.get("tokenizer.ggml.tokens")) or integer("vocab_size"),
        pooling=integer("pooling_type"),
        causal=found.get(f"{architecture}.attention.causal") is not False,
        template=text("tokenizer.chat_template"),
        part=_integer(found.get("split.no")) or 0,
        parts=_integer(found.get("split.count")) or 1,
    )


@lru_cache(maxsize=1024)
def _read(path: str, size: int, mtime_ns: int) -> Header | str:
    """The header, or what is wrong. Both are remembered until the file changes."""
    with open(path, "rb", buffering=0) as file:
        try:
            return _header(_Bytes(file, size))
        except _Malformed as error:
            return str(error)


def read_header(path: Path) -> Header:
    """What the GGUF file at *path* says about itself. Blocks for the read: call it in a thread.

    Raises:
        BadModelFile: it cannot be read, is not GGUF, is damaged, or ends before its weights do.
    """
    try:
        state = os.stat(path)
        found = _read(str(path), state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise BadModelFile(str(path), error.strerror or str(error)) from error
    if isinstance(found, str):
        raise BadModelFile(str(path), found)
    return found
