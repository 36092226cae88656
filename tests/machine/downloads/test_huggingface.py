"""What the hub answers, and what is made of it: repositories that are missing, private, gated or moved."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.byte_server import ByteServer, always, answer
from tests.fakes.model_hub import FakeHub
from tests.machine.downloads.conftest import (
    FILE,
    IMPATIENT,
    LIMITS,
    NAME,
    SILENT,
    Ordered,
    done,
    fails,
    files,
)

from lmbridge.core.errors import (
    BridgeError,
    DownloadFailed,
    ModelNotFound,
    ProviderUnavailable,
)
from lmbridge.machine.downloads.order import Account


async def test_a_renamed_repository_is_followed_with_the_token(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.token = "hf_secret"
    hub.add("new/m", {FILE: model}, private=True)
    hub.add("old/m", {}, moved="new/m")
    await done(order("old/m", token="hf_secret"))
    assert list(files(folder)) == [f"new/m/{FILE}"]


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
        ("torn", DownloadFailed, "broke off its answer"),
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


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://example.com/x", "http:", ""])
async def test_a_redirect_to_where_nothing_is_fetched_from_is_not_followed(where: str, order: Ordered) -> None:
    async with ByteServer(always(answer(b"", f"location: {where}", status="302 Found"), keep=False)) as server:
        await fails(order(NAME, account=Account(server.url)), DownloadFailed, "redirects")


async def test_a_status_that_nobody_expects_is_told(order: Ordered) -> None:
    async with ByteServer(always(answer(b"", status="418 I'm a teapot"), keep=False)) as server:
        await fails(order(NAME, account=Account(server.url)), DownloadFailed, "answers: status 418")


async def test_redirects_in_a_circle_end(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add("x/y", {}, moved="x/y")
    await fails(order("x/y"), DownloadFailed, "redirects in a circle")
