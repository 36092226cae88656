from __future__ import annotations

import msgspec
import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import Sampling
from lmbridge.wire.ollama.fields import OPTIONS_IGNORED, OPTIONS_REFUSED, OPTIONS_TRANSLATED
from lmbridge.wire.ollama.options import Options, load_options


def options(**fields: object) -> Options:
    made = msgspec.convert(fields, Options)
    made.check()
    return made


def test_what_is_not_said_is_left_to_the_model() -> None:
    assert options().sampling == Sampling()
    assert options().extra == {}
    assert load_options(None, None, 4096) == LoadOptions()


def test_ways_of_sampling_are_honoured() -> None:
    made = options(
        temperature=0,
        top_k=20,
        top_p=0.9,
        min_p=0.05,
        num_predict=7,
        seed=42,
        stop=["\n", "user:"],
        repeat_penalty=1.2,
        presence_penalty=1.5,
        frequency_penalty=1.0,
    )
    assert made.sampling == Sampling(
        temperature=0.0,
        top_k=20,
        top_p=0.9,
        min_p=0.05,
        max_tokens=7,
        seed=42,
        stop=("\n", "user:"),
        repeat_penalty=1.2,
        presence_penalty=1.5,
        frequency_penalty=1.0,
    )


def test_one_stop_may_come_alone() -> None:
    assert options(stop="end").sampling.stop == ("end",)


@pytest.mark.parametrize("limit", [-1, -2])
def test_no_limit_is_no_limit(limit: int) -> None:
    assert options(num_predict=limit).sampling.max_tokens is None


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options(num_predict=0)
    assert caught.value.param == "options.num_predict"


def test_a_seed_of_minus_one_is_any() -> None:
    assert options(seed=-1).sampling.seed is None
    assert options(seed=0).sampling.seed == 0


def test_what_core_has_no_word_for_is_carried_to_who_can_honour_it() -> None:
    made = options(typical_p=0.7, repeat_last_n=33, mirostat=1, mirostat_tau=0.8, mirostat_eta=0.6)
    assert made.extra == {
        "typical_p": 0.7,
        "repeat_last_n": 33,
        "mirostat": 1,
        "mirostat_tau": 0.8,
        "mirostat_eta": 0.6,
    }


@pytest.mark.parametrize("field", OPTIONS_REFUSED, ids=lambda field: field.name)
def test_what_cannot_be_had_is_refused_by_name_unless_it_asks_for_nothing(field: object) -> None:
    name, unless = field.name, field.unless  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedParameter) as caught:
        options(**{name: "something"})
    assert caught.value.param == name
    for value in (*unless, None):
        options(**{name: value})


def test_every_name_in_the_tables_is_an_option() -> None:
    names = [field.name for field in (*OPTIONS_REFUSED, *OPTIONS_IGNORED, *OPTIONS_TRANSLATED)]
    assert set(names) <= set(Options.__struct_fields__)
    assert len(names) == len(set(names))


def test_the_ones_about_the_load_become_options_of_the_load() -> None:
    made = load_options(options(num_ctx=2048, num_gpu=99, num_thread=4), "5m", None)
    assert made == LoadOptions(2048, gpu_layers=99, threads=4, ttl=300.0)


def test_threads_of_zero_are_as_many_as_we_choose() -> None:
    assert load_options(options(num_thread=0), None, None).threads is None


def test_a_longer_context_than_the_model_was_made_for_is_the_longest_it_was_made_for() -> None:
    assert load_options(options(num_ctx=131072), None, 4096).context_length == 4096
    assert load_options(options(num_ctx=2048), None, 4096).context_length == 2048


@pytest.mark.parametrize(("said", "ttl"), [(60, 60.0), (-1, 0.0), (0, None), (None, None), ("1h", 3600.0)])
def test_how_long_it_is_kept_is_its_time_to_live_and_unloading_at_once_is_not(
    said: float | str | None, ttl: float | None
) -> None:
    assert load_options(None, said, None).ttl == ttl
