from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import BridgeError, ConfigInvalid, InvalidRequest
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import Sampling
from lmbridge.machine.home import presets_folder
from lmbridge.machine.presets import (
    Preset,
    decode_preset,
    delete_preset,
    encode_preset,
    list_presets,
    load_preset,
    preset_of,
    write_preset,
)

FULL = Preset(
    "For reviews",
    "qwen/qwen3-8b",
    'Be "short".\nTwo lines, \\ and \x7f.',
    LoadOptions(context_length=16384, kv_type="q8_0", ttl=60.0),
    Sampling(temperature=0.2, max_tokens=100, stop=("a", "b"), logit_bias={"5": -1.5}),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert write_preset(tmp_path, "reviews", FULL) == presets_folder(tmp_path) / "reviews.toml"
    assert load_preset(tmp_path, "reviews") == FULL
    with pytest.raises(InvalidRequest, match="--replace"):
        write_preset(tmp_path, "reviews", Preset())
    write_preset(tmp_path, "reviews", Preset(), replaces=True)
    assert load_preset(tmp_path, "reviews") == Preset()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_instructions_survive_being_written(text: str) -> None:
    assert decode_preset(encode_preset(Preset(system=text)), "x").system == text


def test_a_preset_may_be_written_by_hand() -> None:
    toml = '# mine\nmodel = "m"\nload.context_length = 512\n\n["sampling"]\ntemperature = 1\n'
    assert decode_preset(toml, "x") == Preset("", "m", "", LoadOptions(512), Sampling(temperature=1.0))


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('model = "m"\nsystem = ?', "is not TOML: .*line 2"),
        ('model = "m"\n\nmodle = "x"\n', "line 3: `modle`: there is no such setting"),
        ('[sampling]\nmodel = "m"\n', "line 2: `sampling.model`"),
        (
            'model = "m"\n[load]\n# c\ncontext_length = "big"\n',
            "line 4: `load.context_length`: expected a whole number",
        ),
        ("temperature = 1\n", "line 1: `temperature`"),
        ("[load]\n[sampling]\ntemperature = 3\n", "line 3: `sampling.temperature`: must be from 0 to 2"),
        ("load = 5\n", "line 1: `load`: expected a table"),
        ("[[load]]\nx = 1\n", "`load`"),
        ("sampling = {temperature = 'x'}\n", "`sampling.temperature`"),
        ("[model]\nx = 1\n", "line 1: `model`: expected a text"),
        ("[sampling]\nstop = [5]\n", "line 2: `sampling.stop`"),
    ],
)
def test_a_wrong_file_is_told_with_the_line(tmp_path: Path, toml: str, said: str) -> None:
    presets_folder(tmp_path).mkdir()
    (presets_folder(tmp_path) / "bad.toml").write_text(toml)
    with pytest.raises(ConfigInvalid, match=said) as caught:
        load_preset(tmp_path, "bad")
    assert "bad.toml" in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (presets_folder(tmp_path) / "folder.toml").mkdir(parents=True)
    (presets_folder(tmp_path) / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigInvalid, match="UTF-8"):
        load_preset(tmp_path, "bytes")
    with pytest.raises(ConfigInvalid, match=r"folder\.toml"):
        load_preset(tmp_path, "folder")


@pytest.mark.parametrize("name", ["../keys", "a/b", "", ".hidden", "x" * 65])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    for act in (load_preset, delete_preset):
        with pytest.raises(InvalidRequest, match="cannot be the name"):
            act(tmp_path, name)


def test_all_are_listed_those_that_cannot_be_used_too(tmp_path: Path) -> None:
    assert list_presets(tmp_path) == []
    write_preset(tmp_path, "good", FULL)
    (presets_folder(tmp_path) / "bad.toml").write_text("x")
    (presets_folder(tmp_path) / ".hidden.toml").write_text("x")
    bad, good = list_presets(tmp_path)
    assert (bad.name, bad.preset, "is not TOML" in bad.problem) == ("bad", None, True)
    assert (good.name, good.preset, good.problem) == ("good", FULL, "")


def test_one_that_is_deleted_is_gone_and_one_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    write_preset(tmp_path, "reviews", FULL)
    with pytest.raises(InvalidRequest, match="Did you mean 'reviews'"):
        load_preset(tmp_path, "reviwes")
    delete_preset(tmp_path, "reviews")
    with pytest.raises(InvalidRequest, match="presets list"):
        delete_preset(tmp_path, "reviews")


def test_texts_of_a_command_line_become_a_preset() -> None:
    values = {"model": "m", "context_length": "512", "temperature": "0", "stop": "a,b", "seed": "1"}
    assert preset_of(values) == Preset(
        "", "m", "", LoadOptions(512), Sampling(temperature=0.0, stop=("a", "b"), seed=1)
    )
    for wrong, said in (
        ({"temprature": "1"}, "Did you mean 'temperature'"),
        ({"zzz": "1"}, "There are: description, model"),
        ({"load": "x"}, "no setting 'load'"),
        ({"context_length": "big"}, "`context_length`: Expected a whole number"),
        ({"temperature": "5"}, "`temperature`: must be from 0 to 2"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            preset_of(wrong)


def test_what_cannot_be_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match="from 0 to 2"):
        write_preset(tmp_path, "hot", Preset(sampling=Sampling(temperature=5)))
    assert list_presets(tmp_path) == []


def test_arguments_go_before_what_a_preset_says() -> None:
    got = FULL.sampled(Sampling(temperature=1.0, seed=3))
    assert got == Sampling(temperature=1.0, max_tokens=100, stop=("a", "b"), logit_bias={"5": -1.5}, seed=3)
    assert FULL.sampled(Sampling()) == FULL.sampling
