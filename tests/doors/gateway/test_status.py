from __future__ import annotations

import pytest

from lmbridge.core.errors import (
    BridgeError,
    MethodNotAllowed,
    ModelBusy,
    NotEnoughMemory,
    ProviderRefused,
    Unauthorized,
    all_errors,
)
from lmbridge.doors.gateway.status import HOPELESS, RETRY_AFTER, STATUS, headers_of, status_of


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    codes = {error.code for error in all_errors()}
    assert set(STATUS) == codes
    assert set(RETRY_AFTER) <= codes
    assert set(HOPELESS) <= codes
    assert not set(RETRY_AFTER) & HOPELESS


def test_every_status_is_an_error() -> None:
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize(
    ("status", "shown"), [(400, 400), (429, 429), (401, 502), (403, 502), (500, 502), (None, 502)]
)
def test_what_a_provider_blames_on_the_request_keeps_its_status(status: int | None, shown: int) -> None:
    assert status_of(ProviderRefused("cloud", status, "no")) == shown


def test_headers_say_what_to_do() -> None:
    assert (b"retry-after", b"2") in headers_of(ModelBusy("m", 1))
    assert (b"x-should-retry", b"false") in headers_of(NotEnoughMemory("m", 2, 1))
    assert (b"www-authenticate", b'Bearer realm="lmbridge"') in headers_of(Unauthorized())
    assert (b"allow", b"GET, HEAD") in headers_of(MethodNotAllowed("PUT", "/", ["GET", "HEAD"]))
    assert headers_of(BridgeError("x")) == []
