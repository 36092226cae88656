from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from tests.doors.gateway.asking import Running


async def test_the_page_needs_nothing_from_elsewhere(door: Running) -> None:
    got = await door.get("/")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    page = got.body.decode()
    assert re.findall(r"""(?:src|href)=["']([^"'#]*)""", page) == ["data:,", "/openapi.json"]
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("kind", ["script", "style"])
async def test_only_the_script_and_style_of_the_page_may_run(door: Running, kind: str) -> None:
    got = await door.get("/")
    (inline,) = re.findall(rf"<{kind}>(.*?)</{kind}>", got.body.decode(), re.DOTALL)
    found = b64encode(sha256(inline.encode()).digest()).decode()
    policy = got.headers["content-security-policy"]
    assert f"{kind}-src 'sha256-{found}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_what_comes_from_elsewhere_is_shown_as_text_only(door: Running) -> None:
    page = (await door.get("/")).body.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in page


async def test_every_answer_that_a_browser_might_guess_about_forbids_guessing(door: Running) -> None:
    for path in ("/", "/health", "/v1/models", "/openapi.json", "/metrics", "/nothing"):
        assert (await door.get(path)).headers["x-content-type-options"] == "nosniff"
