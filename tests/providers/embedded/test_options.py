"""Which options a load gets, and what it is reckoned to cost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.models import LoadOptions
from lmbridge.machine.gguf import Header
from lmbridge.providers.embedded.options import Machine, Size, estimate, filled_in, kv_bytes

GIB = 2**30

LLAMA_8B = Header(
    size_bytes=5 * GIB,
    data_end=5 * GIB,
    parameters=8_000_000_000,
    architecture="llama",
    context_length=131_072,
    block_count=32,
    embedding_length=4096,
    head_count=32,
    head_counts_kv=(8,) * 32,
    vocabulary=128_256,
)
BIG = Size(LLAMA_8B, 5 * GIB, 8_000_000_000)
SMALL = Size(msgspec.structs.replace(LLAMA_8B, context_length=640), 2**20, 3_000_000)


def test_the_cache_of_a_known_model_is_as_large_as_known() -> None:
    # 32 layers x 8 heads x 128 values, keys and values, two bytes each: 128 KiB for a token
    assert kv_bytes(LLAMA_8B, 8192, "f16") == 8192 * 128 * 1024
    assert kv_bytes(LLAMA_8B, 8192, "q8_0") == 8192 * 128 * 1024 * 34 / 64


def test_layers_with_a_window_keep_no_more_than_that() -> None:
    gemma = msgspec.structs.replace(LLAMA_8B, architecture="gemma3", window=1024)
    assert kv_bytes(gemma, 32_768, "f16") < kv_bytes(LLAMA_8B, 32_768, "f16") / 3


def test_compressed_caches_count_what_they_keep() -> None:
    deepseek = msgspec.structs.replace(LLAMA_8B, latent_length=512)
    assert kv_bytes(deepseek, 1000, "f16") == 1000 * 32 * (512 + 64) * 2


def test_layers_without_attention_cost_nothing() -> None:
    hybrid = msgspec.structs.replace(LLAMA_8B, head_counts_kv=(8, 0) * 16)
    assert kv_bytes(hybrid, 8192, "f16") == kv_bytes(LLAMA_8B, 8192, "f16") / 2


def test_on_a_large_machine_there_are_four_answers_of_8192_tokens() -> None:
    chosen = filled_in(LoadOptions(), BIG, Machine(8, 64 * GIB))
    assert (chosen.context_length, chosen.parallel, chosen.kv_type) == (8192, 4, "f16")


def test_on_a_smaller_machine_there_are_fewer_answers() -> None:
    chosen = filled_in(LoadOptions(), BIG, Machine(8, 8 * GIB))
    assert (chosen.context_length, chosen.parallel) == (8192, 1) or chosen.parallel == 2
    assert estimate(BIG, chosen) <= 8 * GIB


def test_what_was_asked_for_is_kept_even_if_it_cannot_fit() -> None:
    chosen = filled_in(LoadOptions(102_400, 4), BIG, Machine(8, 8 * GIB))
    assert (chosen.context_length, chosen.parallel) == (102_400, 4)
    assert estimate(BIG, chosen) > 8 * GIB


def test_a_context_longer_than_the_model_was_made_for_is_capped() -> None:
    assert filled_in(LoadOptions(8192), SMALL, Machine(8)).context_length == 640


def test_a_context_is_rounded_up_as_the_engine_does() -> None:
    assert filled_in(LoadOptions(600), BIG, Machine(8)).context_length == 768


def test_embedding_models_get_shorter_contexts() -> None:
    size = Size(LLAMA_8B, GIB, 10**9, embedding=True)
    assert filled_in(LoadOptions(), size, Machine(8)).context_length == 2048


@pytest.mark.parametrize(("cores", "size", "threads"), [(8, BIG, 7), (1, BIG, 1), (8, SMALL, 1)])
def test_threads_leave_a_core_to_others_and_small_models_get_one(cores: int, size: Size, threads: int) -> None:
    assert filled_in(LoadOptions(), size, Machine(cores)).threads == threads


def test_explicit_options_pass_through() -> None:
    options = LoadOptions(512, 2, 0, 3, "q8_0", 60.0)
    assert filled_in(options, BIG, Machine(8, GIB)) == options


@given(
    context=st.none() | st.integers(1, 10**6),
    parallel=st.none() | st.integers(1, 64),
    capacity=st.none() | st.integers(0, 2**40),
    cores=st.integers(1, 128),
)
def test_every_choice_is_always_made(
    context: int | None, parallel: int | None, capacity: int | None, cores: int
) -> None:
    chosen = filled_in(LoadOptions(context, parallel), BIG, Machine(cores, capacity))
    assert None not in msgspec.structs.astuple(chosen)[:-1]
    assert chosen.context_length is not None
    assert 1 <= chosen.context_length <= 131_072
    assert estimate(BIG, chosen) > 0
