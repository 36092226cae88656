"""Which models are found, and what they are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.fakes import gguf_files

from lmbridge.machine.model_folders import FoundModel, find_models


@pytest.fixture
def none(tmp_path: Path) -> Path:
    """No built-in models."""
    return tmp_path / "no-builtin"


def put(chat_file: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(chat_file, path))


def found(folder: Path, none: Path) -> dict[str, FoundModel]:
    return {model.id: model for model in find_models([folder], none)}


def test_a_repository_gives_its_name(chat_file: Path, tmp_path: Path, none: Path) -> None:
    put(chat_file, tmp_path / "m/someone/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf")
    assert list(found(tmp_path / "m", none)) == ["qwen3-8b"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "qwen3-8b"),
        ("gpt-oss-20b-MXFP4.gguf", "gpt-oss-20b"),
        ("tiny.f16.gguf", "tiny"),
        ("Model-UD-IQ2_XXS.gguf", "model"),
        ("Llama-3.2-1B-Instruct-GGUF-Q8_0.gguf", "llama-3.2-1b-instruct"),
        ("plain.gguf", "plain"),
    ],
)
def test_a_lone_file_gives_its_name_without_the_quantization(
    chat_file: Path, tmp_path: Path, none: Path, file: str, name: str
) -> None:
    put(chat_file, tmp_path / "m" / file)
    assert list(found(tmp_path / "m", none)) == [name]


def test_two_publishers_are_told_apart(chat_file: Path, tmp_path: Path, none: Path) -> None:
    put(chat_file, tmp_path / "m/one/Qwen-GGUF/Qwen-Q8_0.gguf")
    put(chat_file, tmp_path / "m/two/Qwen-GGUF/Qwen-Q8_0.gguf")
    assert set(found(tmp_path / "m", none)) == {"one/qwen", "two/qwen"}


def test_two_quantizations_are_told_apart(chat_file: Path, tmp_path: Path, none: Path) -> None:
    put(chat_file, tmp_path / "m/one/Qwen-GGUF/Qwen-Q8_0.gguf")
    put(chat_file, tmp_path / "m/one/Qwen-GGUF/Qwen-Q4_K_M.gguf")
    assert set(found(tmp_path / "m", none)) == {"qwen@q8_0", "qwen@q4_k_m"}


def test_whatever_collides_every_model_has_a_name_of_its_own(chat_file: Path, tmp_path: Path, none: Path) -> None:
    for place in ("a/Same.gguf", "b/Same.gguf", "a/same/Same.gguf", "c/d/e/Same.gguf", "Same-Q8_0.gguf"):
        put(chat_file, tmp_path / "m" / place)
    assert len(found(tmp_path / "m", none)) == 5


def test_a_built_in_name_is_never_taken_away(chat_file: Path, tmp_path: Path) -> None:
    put(chat_file, tmp_path / "builtin/lmbridge-tiny.gguf")
    put(chat_file, tmp_path / "m/someone/lmbridge-tiny-GGUF/lmbridge-tiny-Q8_0.gguf")
    models = find_models([tmp_path / "m"], tmp_path / "builtin")
    assert [model.id for model in models] == ["someone/lmbridge-tiny", "lmbridge-tiny"]


def test_a_projector_makes_its_model_see(tmp_path: Path, none: Path) -> None:
    model, projector = gguf_files.vision_model(tmp_path / "m/someone/Vision-GGUF")
    (only,) = found(tmp_path / "m", none).values()
    assert only.mmproj == projector
    assert only.info("embedded").vision
    assert only.size_bytes == model.stat().st_size + projector.stat().st_size


def test_in_a_folder_of_many_models_a_projector_belongs_to_the_one_it_is_named_after(
    chat_file: Path, tmp_path: Path, none: Path
) -> None:
    gguf_files.vision_model(tmp_path / "m")
    put(chat_file, tmp_path / "m/other-Q8_0.gguf")
    models = found(tmp_path / "m", none)
    assert models["random-vision"].mmproj is not None
    assert models["other"].mmproj is None


def test_a_split_model_is_one_model(chat_file: Path, tmp_path: Path, none: Path) -> None:
    for part in (1, 2):
        put(chat_file, tmp_path / f"m/big-Q8_0-0000{part}-of-00002.gguf")
    (only,) = found(tmp_path / "m", none).values()
    assert (only.id, only.path.name) == ("big", "big-Q8_0-00001-of-00002.gguf")
    assert only.size_bytes == 2 * chat_file.stat().st_size
    assert not only.problem


def test_a_missing_part_is_named(chat_file: Path, tmp_path: Path, none: Path) -> None:
    put(chat_file, tmp_path / "m/big-Q8_0-00002-of-00002.gguf")
    (only,) = found(tmp_path / "m", none).values()
    assert only.problem == "its part big-Q8_0-00001-of-00002.gguf: No such file or directory"


def test_a_broken_file_is_listed_with_its_problem(chat_file: Path, tmp_path: Path, none: Path) -> None:
    gguf_files.truncated(tmp_path / "m/cut.gguf", chat_file)
    info = found(tmp_path / "m", none)["cut"].info("embedded")
    assert info.problem.startswith("truncated at")
    assert info.size_bytes == chat_file.stat().st_size // 2


def test_an_embedding_model_is_of_its_kind(tmp_path: Path, none: Path) -> None:
    gguf_files.embedding_model(tmp_path / "m/embed.gguf")
    info = found(tmp_path / "m", none)["embed"].info("embedded")
    assert (info.kind, info.tools) == ("embedding", False)


def test_a_lone_projector_is_no_model(tmp_path: Path, none: Path) -> None:
    model, _ = gguf_files.vision_model(tmp_path / "m")
    model.unlink()
    assert found(tmp_path / "m", none) == {}


def test_a_file_may_be_named_itself(chat_file: Path, none: Path) -> None:
    assert list(found(chat_file, none)) == ["chat"]


def test_a_file_that_is_reached_twice_counts_once(chat_file: Path, tmp_path: Path, none: Path) -> None:
    path = put(chat_file, tmp_path / "m/one.gguf")
    (tmp_path / "m/link.gguf").symlink_to(path)
    (tmp_path / "m/loop").symlink_to(tmp_path / "m")
    assert len(find_models([tmp_path / "m", tmp_path / "m"], none)) == 1


def test_a_name_that_is_no_text_is_passed_over(chat_file: Path, tmp_path: Path, none: Path) -> None:
    put(chat_file, tmp_path / "m" / "x\udcff.gguf")
    assert find_models([tmp_path / "m"], none) == []


def test_a_folder_that_is_not_there_has_no_models(tmp_path: Path, none: Path) -> None:
    assert find_models([tmp_path / "nowhere"], none) == []
