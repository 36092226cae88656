"""One file: gone on with where it stopped, believed by its hash alone, whatever CDN and disk do."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.byte_server import ByteServer, answer, read_request
from tests.fakes.model_hub import FAULTS, FakeHub
from tests.machine.downloads.conftest import (
    FILE,
    IMPATIENT,
    LIMITS,
    NAME,
    SILENT,
    Ordered,
    content,
    done,
    fails,
    files,
    models,
)

from lmbridge.core.errors import (
    DownloadFailed,
    NoSpace,
    ProviderUnavailable,
)
from lmbridge.machine.downloads.order import Account, Moved


async def test_a_small_file_is_checked_by_the_hash_that_git_has_of_it(
    hub: FakeHub, order: Ordered, model: bytes
) -> None:
    hub.add(NAME, {FILE: model}, lfs=frozenset())
    hub.faults.append("wrong")
    await fails(order(NAME), DownloadFailed, "not what its hash says")
    assert (await done(order(NAME))).fetched


async def test_a_large_file_is_asked_for_in_pieces(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await done(order(NAME, limits=replace(LIMITS, piece=100_000)))
    assert [asked.range for asked in hub.cdn_requests] == [
        "bytes=0-99999",
        "bytes=100000-199999",
        f"bytes=200000-{len(model) - 1}",
    ]


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


async def test_a_part_that_was_not_asked_for_is_refused(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.extend(["cut", "other-range"])
    await fails(order(NAME), DownloadFailed, "another part of the file")


async def test_a_file_that_has_grown_meanwhile_is_refused(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model}, sizes={FILE: len(model) - 1})
    hub.faults.append("cut")
    await fails(order(NAME), DownloadFailed, "bytes where")
    await fails(order(NAME, limits=replace(LIMITS, piece=100_000)), DownloadFailed, "bytes where")


async def test_a_cdn_that_is_gone_is_told(hub: FakeHub, order: Ordered, model: bytes) -> None:
    redirect = answer(b"", "location: http://127.0.0.1:9/x", status="302 Found")
    sibling = {"rfilename": FILE, "size": 9, "lfs": {"sha256": "ab"}}
    listing = json.dumps({"id": NAME, "sha": "c0ffee", "siblings": [sibling]}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        writer.write(answer(listing) if b"/api/" in head else redirect)

    async with ByteServer(serve) as server:
        await fails(
            order(NAME, account=Account(server.url)), ProviderUnavailable, r"nothing answers at 127\.0\.0\.1:9"
        )
