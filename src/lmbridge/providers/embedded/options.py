"""How a model is loaded: the choices nobody made, and what loading costs. Pure: no I/O."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lmbridge.core.models import KvType, LoadOptions
from lmbridge.machine.gguf import Header

CONTEXT: Final = 8192
"""Context of a chat model when nobody says: long enough to work with, short enough to fit."""
EMBEDDING_CONTEXT: Final = 2048
"""The same for embedding models; a text is read in one batch, whose cost grows with its square."""
UNKNOWN_CONTEXT: Final = 4096
STEP: Final = 256
"""The engine rounds the context of an answer up to multiples of this."""
PARALLEL: Final = 4
CACHE_MIB: Final = 64
"""Memory for prompts that were read before; the engine's own default is 8 GiB."""

SMALL_MODEL: Final = 300_000_000
"""Weights below which a second thread costs more in waiting than it gives."""

_MIB: Final = 2**20
_PROCESS: Final = 64 * _MIB
"""An engine's process with its libraries and smallest buffers, as measured."""
_BATCH: Final = 512
_KV_BYTES: Final[dict[KvType, float]] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
# Share of the layers that look back only over a window and keep no more than that.
_WINDOWED: Final = {
    "gemma2": 1 / 2,
    "gemma3": 5 / 6,
    "gemma3n": 4 / 5,
    "gpt-oss": 1 / 2,
    "cohere2": 3 / 4,
    "olmo2": 3 / 4,
}


class Machine(Struct, frozen=True):
    """What there is to load into.

    Attributes:
        capacity: bytes that models may take, those included that are loaded now; None if nobody knows.
    """

    cores: int
    capacity: int | None = None


class Size(Struct, frozen=True):
    """A model as far as it matters here.

    Attributes:
        file_bytes: of all its files.
    """

    header: Header
    file_bytes: int
    parameters: int
    embedding: bool = False


def filled_in(options: LoadOptions, size: Size, machine: Machine) -> LoadOptions:
    """*options* with every choice made.

    A context is rounded up and capped at what the model was made for, as the engine would do. Without a wish
    of the caller the longest context is taken, and the most parallel answers, that fit the machine; if none
    does, the smallest.
    """
    trained = size.header.context_length or UNKNOWN_CONTEXT
    threads = 1 if size.parameters < SMALL_MODEL else max(1, machine.cores - 1)
    base = LoadOptions(
        gpu_layers=-1 if options.gpu_layers is None else options.gpu_layers,
        threads=options.threads or threads,
        kv_type=options.kv_type or "f16",
        ttl=options.ttl,
    )
    usual = EMBEDDING_CONTEXT if size.embedding else CONTEXT
    contexts = [options.context_length] if options.context_length else [usual, usual // 2, usual // 4]
    parallels = [options.parallel] if options.parallel else [PARALLEL, PARALLEL // 2, 1]
    chosen = base
    for context in contexts:
        for parallel in parallels:
            chosen = LoadOptions(min(-(-context // STEP) * STEP, trained), parallel).over(base)
            if machine.capacity is None or estimate(size, chosen) <= machine.capacity:
                return chosen
    return chosen


def estimate(size: Size, options: LoadOptions) -> int:
    """Bytes that a model takes when it is loaded with *options*, in which every choice is made."""
    context, parallel = options.context_length or 0, options.parallel or 1
    header = size.header
    batch = context if size.embedding else min(_BATCH, context * parallel)
    vocabulary = 0 if size.embedding else header.vocabulary or 0
    width = header.embedding_length or 0
    working = batch * (vocabulary * 4 + width * 48)
    cache = kv_bytes(header, context, options.kv_type or "f16") * parallel
    return int(_PROCESS + size.file_bytes + cache + working) + CACHE_MIB * _MIB // 4


def kv_bytes(header: Header, context: int, kv_type: KvType) -> float:
    """Bytes of the key/value cache of one answer of *context* tokens."""
    if header.latent_length:
        rope = 64  # every model of this kind so far adds so many values for the position
        per_layer = [float(header.latent_length + rope)] * (header.block_count or 0)
    else:
        each = (header.embedding_length or 0) / (header.head_count or 1)
        values = (header.key_length or each) + (header.value_length or each)
        per_layer = [heads * values for heads in header.head_counts_kv]
    windowed = _WINDOWED.get(header.architecture, 0.0) if header.window else 0.0
    within = min(context, (header.window or 0) + _BATCH)
    tokens = context * (1 - windowed) + within * windowed
    return sum(per_layer) * tokens * _KV_BYTES[kv_type]
