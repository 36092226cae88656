"""The whole errand against a hub and its CDN, with every fault that either can have."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes import gguf_files
from tests.fakes.model_hub import FAULTS, FakeHub
from tests.machine.downloads.conftest import IMPATIENT, LIMITS, Ordered, done, files

from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    DownloadFailed,
    ModelNotFound,
    NoSpace,
    ProviderUnavailable,
)
from lmbridge.machine.downloads.order import Account, Moved, Order, Ready
from lmbridge.machine.model_folders import find_models

NAME = "o/m-GGUF"
FILE = "m-Q4_K_M.gguf"
SILENT = ("stall", "mute")


def models(folder: Path) -> list[str]:
    return [model.id for model in find_models([folder], folder / "none")]


def content(ready: Ready) -> bytes:
    return Path(ready.path).read_bytes()


async def fails(order: Order, kind: type[BridgeError], words: str = "") -> BridgeError:
    with pytest.raises(kind, match=words or None) as caught:
        await done(order)
    return caught.value


# -- what should happen ---------------------------------------------------------------------------


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


async def test_a_small_file_is_checked_by_the_hash_that_git_has_of_it(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model}, lfs=frozenset())
    hub.faults.append("wrong")
    await fails(order(NAME), DownloadFailed, "not what its hash says")
    assert (await done(order(NAME))).fetched


async def test_a_renamed_repository_is_followed_with_the_token(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.token = "hf_secret"
    hub.add("new/m", {FILE: model}, private=True)
    hub.add("old/m", {}, moved="new/m")
    await done(order("old/m", token="hf_secret"))
    assert list(files(folder)) == [f"new/m/{FILE}"]


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


async def test_a_large_file_is_asked_for_in_pieces(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await done(order(NAME, limits=replace(LIMITS, piece=100_000)))
    assert [asked.range for asked in hub.cdn_requests] == [
        "bytes=0-99999",
        "bytes=100000-199999",
        f"bytes=200000-{len(model) - 1}",
    ]


# -- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "stall"])
async def test_what_was_cut_off_goes_on_where_it_stopped(
    fault: str, hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.append(fault)
    await done(order(NAME, limits=IMPATIENT if fault == "stall" else LIMITS))
    assert [asked.range for asked in hub.cdn_requests] == ["", f"bytes={len(model) // 2}-{len(model) - 1}"]
    assert hub.sent == len(model)


async def test_a_download_that_was_given_up_goes_on_the_next_time(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut", "hangup", "hangup"])
    await fails(order(NAME), DownloadFailed, "closed the connection")
    assert models(folder) == []
    (partial,) = files(folder)
    assert partial.startswith(f".downloads/{NAME}/{FILE}.")
    news: list[Moved] = []
    await done(order(NAME), news)
    assert news[0].done == len(model) // 2
    assert hub.sent == len(model)
    assert list(files(folder)) == [f"{NAME}/{FILE}"]


async def test_attempts_that_bring_something_are_not_counted(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut"] * 8)
    assert (await done(order(NAME))).fetched


async def test_a_server_without_ranges_sends_everything_again(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut", "no-range"])
    assert content(await done(order(NAME))) == model


async def test_a_server_without_ranges_that_always_cuts_is_given_up(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["no-range-cut"] * 9)
    await fails(order(NAME), DownloadFailed, "before the end")
    assert len(hub.cdn_requests) == LIMITS.attempts


async def test_what_a_power_failure_left_is_fetched_anew(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut", "hangup", "hangup"])
    await fails(order(NAME), DownloadFailed, "closed")
    (partial,) = (folder / path for path in files(folder))
    partial.write_bytes(bytes(partial.stat().st_size))
    assert content(await done(order(NAME))) == model


async def test_a_partial_file_that_is_too_long_is_fetched_anew(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut", "hangup", "hangup"])
    await fails(order(NAME), DownloadFailed, "closed")
    (partial,) = (folder / path for path in files(folder))
    partial.write_bytes(model + model)
    assert content(await done(order(NAME))) == model


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


async def test_without_any_hash_nothing_is_gone_on_with(
    hub: FakeHub, order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmbridge.machine.downloads.transfer.MAX_IN_GIT", 1000)
    hub.add(NAME, {FILE: model}, hashless=True)
    hub.faults.extend(["cut", "hangup", "hangup"])
    await fails(order(NAME), DownloadFailed, "closed")
    hub.cdn_requests.clear()
    assert content(await done(order(NAME))) == model
    assert [asked.range for asked in hub.cdn_requests] == [""]


# -- what does not work ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_every_fault_of_the_cdn_that_lasts_ends_in_an_error_and_shows_no_model(
    fault: str, hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend([fault] * 99)
    if fault in ("no-range", "other-range"):  # none, where everything is asked for
        await done(order(NAME))
        return
    limits = replace(LIMITS, silence=0.05 if fault in SILENT else LIMITS.silence)
    error = await fails(order(NAME, limits=limits), DownloadFailed)
    assert models(folder) == []
    assert error.hint
    if fault not in ("cut", "stall"):  # which bring half of the rest each time
        assert len(hub.cdn_requests) <= LIMITS.attempts


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"wrong", "short", "encoded", "html", "429-long"}))
async def test_every_fault_of_the_cdn_that_passes_is_overcome(
    fault: str, hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.append(fault)
    assert content(await done(order(NAME, limits=IMPATIENT if fault in SILENT else LIMITS))) == model
    assert models(folder) == ["m"]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("500", DownloadFailed, "answers: status 500"),
        ("429", DownloadFailed, "too many requests"),
        ("429-long", DownloadFailed, "left alone for 3600 s"),
        ("html", ProviderUnavailable, r"does not answer as the Hugging Face hub does \(text/html\)"),
        ("hangup", DownloadFailed, "closed the connection"),
        ("not-http", DownloadFailed, "does not speak HTTP"),
        ("mute", DownloadFailed, "is silent"),
    ],
)
async def test_every_fault_of_the_api_is_told(
    fault: str, kind: type[BridgeError], words: str, hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.api_faults.extend([fault] * 9)
    await fails(order(NAME, limits=IMPATIENT if fault in SILENT else LIMITS), kind, words)
    assert files(folder) == {}
    hub.api_faults.clear()
    assert (await done(order(NAME))).fetched


async def test_a_hub_that_is_busy_for_a_moment_is_asked_again(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.api_faults.extend(["429", "500"])
    assert (await done(order(NAME))).fetched


async def test_without_a_network_it_says_so_at_once(order: Ordered) -> None:
    error = await fails(order(NAME, account=Account("http://127.0.0.1:9")), ProviderUnavailable, "nothing answers")
    assert "HTTPS_PROXY" in error.hint


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


async def test_a_repository_that_is_not_there_is_answered_with_those_that_are(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add("bart/qwen3-8b-GGUF", {FILE: model})
    error = await fails(order("qwen/qwen3-8b"), ModelNotFound, "No model named 'qwen/qwen3-8b' at 127")
    assert isinstance(error, ModelNotFound)
    assert error.known == ("bart/qwen3-8b-GGUF",)
    assert "bart/qwen3-8b-GGUF" in error.hint
    assert "HF_TOKEN" in error.hint


async def test_a_name_without_owner_is_answered_with_what_is_called_so(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add("bart/qwen3-8b-GGUF", {FILE: model})
    assert "bart/qwen3-8b-GGUF" in (await fails(order("qwen3-8b"), ModelNotFound)).hint
    assert "owner/repository" in (await fails(order("nothing-like-it"), ModelNotFound)).hint


async def test_a_catalogue_name_without_gguf_files_is_answered_with_repositories_that_have_some(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add("openai/gpt-oss-20b", {"model.safetensors": b"x", "config.json": b"{}"})
    hub.add("ggml-org/gpt-oss-20b-GGUF", {"gpt-oss-20b-mxfp4.gguf": model})
    error = await fails(order("openai/gpt-oss-20b"), DownloadFailed, "no GGUF file")
    assert error.hint == "These have GGUF files: ggml-org/gpt-oss-20b-GGUF."
    assert (await done(order("ggml-org/gpt-oss-20b-GGUF"))).fetched


async def test_a_search_that_fails_hides_no_error(hub: FakeHub, order: Ordered) -> None:
    hub.api_faults.extend([None, "html"])
    assert "Search the hub" in (await fails(order("qwen/qwen3-8b"), ModelNotFound)).hint


async def test_a_private_repository_opens_to_its_owners_token_alone(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.token = "hf_secret"
    hub.add(NAME, {FILE: model}, private=True)
    assert "HF_TOKEN" in (await fails(order(NAME), ModelNotFound)).hint
    error = await fails(order(NAME, token="hf_wrong"), DownloadFailed, "does not accept the token")
    assert f"{hub.url}/settings/tokens" in error.hint
    assert (await done(order(NAME, token="hf_secret"))).fetched
    assert all("authorization" not in asked.headers for asked in hub.cdn_requests)


async def test_with_a_token_a_missing_repository_is_missing(hub: FakeHub, order: Ordered) -> None:
    hub.token = "hf_secret"
    assert "HF_TOKEN" not in (await fails(order(NAME, token="hf_secret"), ModelNotFound)).hint


async def test_a_gated_repository_says_where_to_agree_and_that_a_token_is_needed(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.token = "hf_secret"
    repository = hub.add(NAME, {FILE: model}, gated=True, let_in=False)
    error = await fails(order(NAME), DownloadFailed, "agreed to the terms")
    assert error.hint == (
        f"Agree to them at {hub.url}/{NAME}, then set HF_TOKEN to a token of {hub.url}/settings/tokens."
    )
    error = await fails(order(NAME, token="hf_secret"), DownloadFailed, "has not let in the account")
    assert error.hint == f"Agree to them at {hub.url}/{NAME}."
    repository.let_in = True
    assert (await done(order(NAME, token="hf_secret"))).fetched


async def test_a_revision_that_is_not_there_is_told(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await fails(order(f"https://hf.co/{NAME}/blob/v9/{FILE}"), DownloadFailed, "no such revision")


async def test_a_file_that_vanishes_between_listing_and_fetching_is_told(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    repository = hub.add(NAME, {FILE: model})
    repository.files = _Vanishing(repository.files)
    await fails(order(NAME), DownloadFailed, "lost one of its files")


class _Vanishing(dict[str, bytes]):
    """Files that are listed, and then not there."""

    def __contains__(self, path: object) -> bool:
        return False


async def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model}, sizes={FILE: 10**18})
    error = await fails(order(NAME), NoSpace, "1000000000.00 GB on a disk that has")
    assert isinstance(error, NoSpace)
    assert error.needed == 10**18
    assert hub.cdn_requests == []
    assert files(folder) == {}


async def test_a_disk_that_becomes_full_is_told(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.add(NAME, {FILE: model})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        await fails(order(NAME), NoSpace)
    assert models(folder) == []
    assert (await done(order(NAME))).fetched
    assert hub.sent == len(model)


async def test_a_file_that_the_disk_cannot_hold_is_told(
    hub: FakeHub, order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(_: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    hub.add(NAME, {FILE: model})
    monkeypatch.setattr(os, "fsync", too_large)
    assert "download_folder" in (await fails(order(NAME), DownloadFailed, "cannot hold files of")).hint


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


async def test_redirects_in_a_circle_end(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add("x/y", {}, moved="x/y")
    await fails(order("x/y"), DownloadFailed, "redirects in a circle")


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
