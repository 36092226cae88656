from __future__ import annotations

import pytest

from lmbridge.clients.http.address import is_near, wrong_url


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


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "[::1]", "gpu", "gpu.local", "GPU.lan.", "a.home.arpa", "llm.corp.internal"),
        *("10.1.2.3", "192.168.0.9", "172.16.0.1", "100.64.3.4", "169.254.1.1", "[fe80::1]", "[fd00::1]"),
    ],
)
def test_what_is_in_ones_own_network_is_near(host: str) -> None:
    assert is_near(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    "host", ["api.openai.com", "api.anthropic.com", "8.8.8.8", "[2606:4700::1111]", "local.example", "100.63.0.1"]
)
def test_what_is_on_the_internet_is_not_near(host: str) -> None:
    assert not is_near(f"https://{host}/v1")
