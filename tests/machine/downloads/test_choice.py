"""Which files are taken, for repositories as they are found on the hub."""

from __future__ import annotations

import pytest

from lmbridge.machine.downloads.choice import Choice, NotChosen, RemoteFile, choose
from lmbridge.machine.downloads.names import parse

GB = 10**9

QWEN = {
    "README.md": 0.00001,
    "Qwen3-8B-BF16.gguf": 16.4,
    "Qwen3-8B-Q8_0.gguf": 8.7,
    "Qwen3-8B-Q6_K.gguf": 6.7,
    "Qwen3-8B-Q5_K_M.gguf": 5.9,
    "Qwen3-8B-Q4_K_M.gguf": 5.0,
    "Qwen3-8B-UD-Q4_K_XL.gguf": 5.1,
    "Qwen3-8B-Q3_K_M.gguf": 4.1,
    "Qwen3-8B-Q2_K.gguf": 3.3,
    "imatrix_unsloth.gguf": 0.005,
}


def listed(sizes: dict[str, float]) -> list[RemoteFile]:
    return [RemoteFile(path, int(size * GB)) for path, size in sizes.items()]


def chosen(sizes: dict[str, float], name: str = "o/Qwen3-8B-GGUF", gigabytes: float | None = None) -> Choice:
    return choose(listed(sizes), parse(name), None if gigabytes is None else int(gigabytes * GB))


def paths(choice: Choice) -> list[str]:
    return [file.path for file in choice.files]


def refusal(sizes: dict[str, float], name: str = "o/Qwen3-8B-GGUF", gigabytes: float | None = None) -> NotChosen:
    with pytest.raises(NotChosen) as caught:
        chosen(sizes, name, gigabytes)
    return caught.value


@pytest.mark.parametrize(
    ("gigabytes", "quantization"),
    [(None, "q4_k_m"), (64, "q4_k_m"), (6.1, "q4_k_m"), (5.5, "q3_k_m"), (4.5, "q2_k")],
)
def test_four_bits_are_taken_or_what_is_next_to_them_and_fits(gigabytes: float | None, quantization: str) -> None:
    assert chosen(QWEN, gigabytes=gigabytes).quantization == quantization


def test_what_is_asked_for_is_taken_whatever_it_needs() -> None:
    assert paths(chosen(QWEN, "o/Qwen3-8B-GGUF@Q8_0", 1)) == ["Qwen3-8B-Q8_0.gguf"]
    assert paths(chosen(QWEN, "o/Qwen3-8B-GGUF@bf16", 1)) == ["Qwen3-8B-BF16.gguf"]
    assert paths(chosen(QWEN, "o/Qwen3-8B-GGUF@q4_k_xl")) == ["Qwen3-8B-UD-Q4_K_XL.gguf"]
    assert paths(chosen(QWEN, "o/Qwen3-8B-GGUF/Qwen3-8B-Q2_K.gguf", 1)) == ["Qwen3-8B-Q2_K.gguf"]


def test_what_is_not_there_is_answered_with_what_is() -> None:
    error = refusal(QWEN, "o/Qwen3-8B-GGUF@iq1_s")
    assert "'iq1_s'" in error.reason
    assert "q4_k_m" in error.hint
    assert "Qwen3-8B-Q4_K_M.gguf" in refusal(QWEN, "o/Qwen3-8B-GGUF/other.gguf").hint


def test_what_fits_no_memory_is_refused_with_the_way_to_have_it_all_the_same() -> None:
    error = refusal(QWEN, gigabytes=2)
    assert "at least 4.2 GB" in error.reason
    assert "2.0 GB" in error.reason
    assert "`o/Qwen3-8B-GGUF@q2_k`" in error.hint


def test_full_weights_are_never_a_surprise() -> None:
    error = refusal({"m-F16.gguf": 16.0, "m-F32.gguf": 32.0}, "o/m")
    assert "f16, 16.0 GB" in error.reason
    assert "`o/m@f16`" in error.hint


def test_a_repository_without_gguf_files_says_so() -> None:
    assert "no GGUF file" in refusal({"model.safetensors": 16, "config.json": 0.00001}).reason
    assert "no GGUF file" in refusal({"imatrix.gguf": 0.1}).reason


def test_a_file_whose_name_tells_nothing_is_taken_when_it_is_the_only_one() -> None:
    assert paths(chosen({"model.gguf": 4.0}, "o/m")) == ["model.gguf"]


def test_formats_nobody_has_heard_of_come_last() -> None:
    assert chosen({"m-q9_x.gguf": 1.0, "m-Q2_K.gguf": 3.0}, "o/m").quantization == "q2_k"
    assert chosen({"m-q9_x.gguf": 1.0, "m-F16.gguf": 3.0}, "o/m").quantization == "q9_x"


# -- split models ---------------------------------------------------------------------------------

SPLIT = {
    "Q4_K_M/big-Q4_K_M-00002-of-00003.gguf": 40,
    "Q4_K_M/big-Q4_K_M-00001-of-00003.gguf": 40,
    "Q4_K_M/big-Q4_K_M-00003-of-00003.gguf": 11,
    "Q2_K/big-Q2_K-00001-of-00002.gguf": 40,
    "Q2_K/big-Q2_K-00002-of-00002.gguf": 2,
}


def test_all_parts_of_a_split_model_are_taken_in_order() -> None:
    choice = chosen(SPLIT, "o/big-GGUF")
    assert [path[-19:-5] for path in paths(choice)] == ["00001-of-00003", "00002-of-00003", "00003-of-00003"]
    assert choice.size == 91 * GB


def test_naming_one_part_means_all_of_them() -> None:
    assert len(paths(chosen(SPLIT, "o/big-GGUF/Q2_K/big-Q2_K-00002-of-00002.gguf"))) == 2


def test_a_folder_narrows_the_choice() -> None:
    assert chosen(SPLIT, "https://hf.co/o/big-GGUF/tree/main/Q2_K").quantization == "q2_k"
    assert "'Q9'" in refusal(SPLIT, "https://hf.co/o/big-GGUF/tree/main/Q9").reason


def test_a_model_of_which_a_part_is_missing_is_no_choice() -> None:
    lacking = {path: size for path, size in SPLIT.items() if "00003-of-00003" not in path}
    assert chosen(lacking, "o/big-GGUF").quantization == "q2_k"
    assert "no whole model" in refusal({"m-Q4_K_M-00001-of-00002.gguf": 1}, "o/m").reason


# -- several models in one repository -------------------------------------------------------------


def test_of_several_models_the_one_is_taken_that_the_repository_is_called_after() -> None:
    files = {"qwen3-8b-Q4_K_M.gguf": 5.0, "qwen3-0.6b-draft-Q4_K_M.gguf": 0.5}
    assert paths(chosen(files)) == ["qwen3-8b-Q4_K_M.gguf"]


def test_several_models_of_other_names_are_listed() -> None:
    error = refusal({"one-Q4_K_M.gguf": 5.0, "two-Q4_K_M.gguf": 0.5})
    assert "2 different models" in error.reason
    assert "one-Q4_K_M.gguf, two-Q4_K_M.gguf" in error.hint


def test_a_long_list_is_cut() -> None:
    error = refusal({f"m{number}-Q4_K_M.gguf": 5.0 for number in range(20)})
    assert "and 8 more" in error.hint


# -- vision ---------------------------------------------------------------------------------------

VISION = {"gemma-Q4_K_M.gguf": 2.5, "gemma-Q8_0.gguf": 4.1, "mmproj-BF16.gguf": 0.9, "mmproj-F16.gguf": 0.85}


def test_a_projector_comes_with_its_model_and_counts() -> None:
    choice = chosen(VISION, "o/gemma-GGUF")
    assert choice.projector is not None
    assert choice.projector.path == "mmproj-F16.gguf"
    assert choice.size == 2_500_000_000 + 850_000_000
    assert chosen(VISION, "o/gemma-GGUF", 4.3).quantization == "q4_k_m"
    assert "at least 4.2 GB" in refusal(VISION, "o/gemma-GGUF", 4.0).reason


def test_the_projector_named_after_the_model_is_preferred() -> None:
    files = VISION | {"mmproj-gemma-f32.gguf": 1.7}
    projector = chosen(files, "o/gemma-GGUF").projector
    assert projector is not None
    assert projector.path == "mmproj-gemma-f32.gguf"


def test_a_projector_alone_is_no_model() -> None:
    assert "projector" in refusal(VISION, "o/gemma-GGUF/mmproj-F16.gguf").reason
    assert "no whole model" in refusal({"mmproj-F16.gguf": 1}, "o/m").reason


def test_the_first_part_appears_last() -> None:
    split = {"m-Q4_K_M-00001-of-00002.gguf": 1, "m-Q4_K_M-00002-of-00002.gguf": 1, "mmproj-F16.gguf": 1}
    assert [file.path for file in chosen(split, "o/m").everything] == [
        "mmproj-F16.gguf",
        "m-Q4_K_M-00002-of-00002.gguf",
        "m-Q4_K_M-00001-of-00002.gguf",
    ]
