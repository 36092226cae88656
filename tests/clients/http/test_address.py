from __future__ import annotations

import pytest

from lmbridge.clients.http.address import wrong_url


@pytest.mark.parametrize("url", ["http://h", "https://h:1/path", "http://[::1]:1234"])
def test_a_url_that_names_a_server_can_be_used(url: str) -> None:
    assert wrong_url(url) == ""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h:99999", "not a URL"),
        ("http://[", "not a URL"),
        ("ftp://h", "http:// or https://"),
        ("http://h:0", "name a host"),
        ("http://u:sesame@h", "must not hold a password"),
        ("http://h?key=sesame", "query or a fragment"),
        ("http://h#x", "query or a fragment"),
    ],
)
def test_another_is_told_why_not_and_is_not_repeated(url: str, reason: str) -> None:
    assert reason in wrong_url(url)
    assert "sesame" not in wrong_url(url)
