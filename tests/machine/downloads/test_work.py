"""The whole errand: what is fetched, what is here already, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes import gguf_files
from tests.fakes.model_hub import FakeHub
from tests.machine.downloads.conftest import (
    FILE,
    NAME,
    Ordered,
    content,
    done,
    fails,
    files,
    models,
)

from lmbridge.core.errors import (
    BadModelFile,
    DownloadFailed,
    NoSpace,
    ProviderUnavailable,
)
from lmbridge.machine.downloads.order import Account, Moved
from lmbridge.machine.model_folders import find_models


async def test_a_model_is_downloaded_to_where_models_are_found(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {"README.md": b"# m", FILE: model, "m-Q8_0.gguf": model + b"8"})
    news: list[Moved] = []
    ready = await done(order(NAME), news)
    assert content(ready) == model
    assert files(folder) == {f"{NAME}/{FILE}": len(model)}
    assert models(folder) == ["m"]
    assert (news[0].done, news[0].total, news[-1].done) == (0, len(model), len(model))


async def test_the_same_again_asks_nobody(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await done(order(NAME))
    hub.requests.clear()
    again = await done(order(NAME))
    assert (again.fetched, hub.requests) == (False, [])


async def test_a_wish_that_is_fulfilled_already_transfers_nothing(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    await done(order(NAME))
    for name in (f"{NAME}@q4_k_m", f"{NAME}/{FILE}"):
        assert not (await done(order(name))).fetched
    assert len(hub.cdn_requests) == 1


async def test_another_quantization_comes_beside_the_first(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model, "m-Q8_0.gguf": model + b"8"})
    await done(order(NAME))
    await done(order(f"{NAME}@q8_0"))
    assert sorted(models(folder)) == ["m@q4_k_m", "m@q8_0"]


async def test_a_file_that_has_changed_on_the_hub_takes_the_place_of_the_old_one(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    repository = hub.add(NAME, {FILE: model})
    await done(order(NAME))
    repository.files[FILE] = model + b"!"
    assert (await done(order(f"{NAME}@q4_k_m"))).fetched
    assert files(folder) == {f"{NAME}/{FILE}": len(model) + 1}


async def test_all_parts_and_the_projector_come_along(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes, projector: bytes
) -> None:
    parts = {f"Q4_K_M/big-Q4_K_M-0000{part}-of-00002.gguf": model for part in (1, 2)}
    hub.add("o/big-GGUF", parts | {"mmproj-F16.gguf": projector})
    ready = await done(order("o/big-GGUF"))
    assert ready.path.endswith("o/big-GGUF/big-Q4_K_M-00001-of-00002.gguf")
    assert ready.size == 2 * len(model) + len(projector)
    (found,) = find_models([folder], folder / "none")
    assert found.info("embedded").vision


async def test_a_model_in_the_folder_of_another_program_is_not_downloaded_again(
    hub: FakeHub, order: Ordered, folder: Path, tmp_path: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    theirs = tmp_path / "theirs" / NAME / FILE
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(model)
    for name in (NAME, f"{NAME}@q4_k_m"):
        ready = await done(order(name, elsewhere=(str(tmp_path / "theirs"),)))
        assert (ready.path, ready.fetched) == (str(theirs), False)
    assert files(folder) == {}


# -- going on -------------------------------------------------------------------------------------


async def test_of_a_split_model_only_what_is_missing_is_fetched(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    one, two = (f"m-Q4_K_M-0000{part}-of-00002.gguf" for part in (1, 2))
    hub.add(NAME, {one: model + b"1", two: model + b"2"})
    hub.faults.extend([None, "hangup", "hangup", "hangup"])
    await fails(order(NAME), DownloadFailed, "closed")
    assert models(folder) == []
    await done(order(NAME))
    assert [asked.path.rpartition("/")[2] for asked in hub.cdn_requests] == [two, one, one, one, one]
    assert hub.sent == 2 * len(model) + 2


# -- what does not work ---------------------------------------------------------------------------


async def test_without_a_network_what_is_here_is_found(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await done(order(NAME))
    for name in (NAME, f"{NAME}@q4_k_m", f"{NAME}/{FILE}"):
        assert not (await done(order(name, account=Account("http://127.0.0.1:9")))).fetched
    await fails(order(f"{NAME}@q8_0", account=Account("http://127.0.0.1:9")), ProviderUnavailable)


async def test_who_wants_no_network_gets_none(hub: FakeHub, order: Ordered) -> None:
    error = await fails(order(NAME, account=Account(hub.url, "", True)), ProviderUnavailable, "HF_HUB_OFFLINE")
    assert hub.requests == []
    assert "Unset" in error.hint


async def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model}, sizes={FILE: 10**18})
    error = await fails(order(NAME), NoSpace, "1000000000.00 GB on a disk that has")
    assert isinstance(error, NoSpace)
    assert error.needed == 10**18
    assert hub.cdn_requests == []
    assert files(folder) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"GGUF" + bytes(100), "big-endian|version 0"),
    ],
)
async def test_an_upload_that_is_no_model_is_never_shown(
    content: bytes, words: str, hub: FakeHub, order: Ordered, folder: Path
) -> None:
    hub.add(NAME, {FILE: content})
    error = await fails(order(NAME), BadModelFile, words)
    assert f"{NAME}/{FILE}" in error.message
    assert files(folder) == {}


async def test_a_truncated_upload_is_never_shown(hub: FakeHub, order: Ordered, folder: Path, model: bytes) -> None:
    hub.add(NAME, {FILE: model[: len(model) // 2]})
    await fails(order(NAME), BadModelFile, "truncated")
    assert files(folder) == {}


async def test_an_upload_that_is_no_model_by_itself_is_never_shown(
    hub: FakeHub, order: Ordered, folder: Path, projector: bytes
) -> None:
    hub.add(NAME, {FILE: projector})
    await fails(order(NAME), BadModelFile, "a vision projector")
    assert files(folder) == {}


async def test_a_model_that_fits_no_memory_is_refused_unless_it_is_asked_for(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    assert "@q4_k_m" in (await fails(order(NAME, capacity=1000), DownloadFailed, "of memory")).hint
    assert (await done(order(f"{NAME}@q4_k_m", capacity=1000))).fetched


async def test_a_model_with_an_accent_and_a_space_in_its_file_is_downloaded(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {"modèle léger-Q4_K_M.gguf": model})
    await done(order(NAME))
    assert list(files(folder)) == [f"{NAME}/modèle léger-Q4_K_M.gguf"]


async def test_an_embedding_model_is_downloaded_as_one(
    hub: FakeHub, order: Ordered, folder: Path, tmp_path: Path
) -> None:
    hub.add("o/embed-GGUF", {"embed-Q8_0.gguf": gguf_files.embedding_model(tmp_path / "e.gguf").read_bytes()})
    await done(order("o/embed-GGUF"))
    (found,) = find_models([folder], folder / "none")
    assert found.info("embedded").kind == "embedding"
