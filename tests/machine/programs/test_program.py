from pathlib import Path

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.machine.programs.program import Link, checked_text, checked_url, mcp_part


@pytest.mark.parametrize("text", ["http://127.0.0.1:1235", "http://127.0.0.1:1235/", "http://127.0.0.1:1235/v1/"])
def test_the_url_of_a_gateway_is_understood_with_and_without_v1(text: str) -> None:
    assert checked_url(text) == "http://127.0.0.1:1235"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1235",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:0",
        "http://a b",
        "http://k@x",
        "http://x/?k=1",
        "http://[x",
    ],
)
def test_what_is_no_url_of_a_gateway_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_url(text)


@pytest.mark.parametrize("text", ["", "a\nb", "a\x00", "a\udc80"])
def test_what_cannot_stand_in_settings_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_text(text, "model")
    assert checked_text("qwen3-8b@q4", "model") == "qwen3-8b@q4"


def test_an_entry_says_what_is_run_and_no_more_than_needed(tmp_path: Path) -> None:
    assert Link(command=("/x", "mcp")).mcp_entry == {"command": "/x", "args": ["mcp"]}
    part = mcp_part(tmp_path, "servers", Link(command=("/x",), environ={"A": "1"}), "jsonc", type="stdio")
    assert part.settings[0].value == {"type": "stdio", "command": "/x", "args": [], "env": {"A": "1"}}
    assert (part.use, part.entry_at) == ("tools", ("servers", "lmbridge"))


def test_a_link_does_not_show_its_key() -> None:
    assert "secret" not in repr(Link("http://x", "secret"))
