"""Vectors as OpenAI writes them: lists of numbers, or 32-bit floats in base64."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.events import Embeddings


class _Peek(Struct):
    """As little as tells which of both an answer has."""

    data: list[_PeekItem] = []


class _PeekItem(Struct):
    embedding: Raw = Raw()


_peek: Final = msgspec.json.Decoder(_Peek).decode
_numbers: Final = msgspec.json.Decoder(list[float]).decode
_fields: Final = msgspec.json.Decoder(dict[str, object]).decode
_encode: Final = msgspec.json.Encoder().encode


def in_base64(body: bytes) -> bytes:
    """An answer of `/v1/embeddings` with its vectors in base64; the same bytes if they are so already.

    Who asked for base64 decodes it: LM Studio answers with numbers all the same, which several clients take
    for text and turn into other vectors without a word.

    Raises:
        ValueError: a vector is something else.
    """
    vectors = [bytes(item.embedding) for item in _peek(body).data]
    if not any(vector.startswith(b"[") for vector in vectors):
        return body
    answer = _fields(body)
    items = answer["data"]
    assert isinstance(items, list)  # noqa: S101 - it was a moment ago; tells mypy
    for item, vector in zip(items, vectors, strict=True):
        numbers = _numbers(vector)
        try:
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
        except OverflowError as error:
            raise ValueError("a number is too large for a vector") from error
        item["embedding"] = b64encode(packed).decode("ascii")
    return _encode(answer)


class _Vector(Struct):
    object: str
    index: int
    embedding: tuple[float, ...]


class _Cost(Struct):
    prompt_tokens: int
    total_tokens: int


class _Vectors(Struct):
    object: str
    model: str
    data: list[_Vector]
    usage: _Cost


def encode_vectors(vectors: Embeddings, model: str) -> bytes:
    """The answer of `/v1/embeddings`.

    Args:
        model: who is named where the provider names nobody.
    """
    used = vectors.usage.prompt_tokens if vectors.usage is not None else 0
    data = [_Vector("embedding", index, vector) for index, vector in enumerate(vectors.vectors)]
    return _encode(_Vectors("list", vectors.model or model, data, _Cost(used, used)))
