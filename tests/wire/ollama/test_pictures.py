from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.wire.ollama.pictures import data_url

BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "gif": b"GIF89a",
    "bmp": b"BM6",
    "webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}


@pytest.mark.parametrize(("kind", "begin"), list(BEGINNINGS.items()))
def test_the_first_bytes_tell_the_kind(kind: str, begin: bytes) -> None:
    text = b64encode(begin + b"rest").decode()
    assert data_url(text, "images[0]") == f"data:image/{kind};base64,{text}"


@pytest.mark.parametrize(
    "text", ["data:image/png;base64,iVBORw0KGgo=", "https://example.org/cat.png", "a", "Ünd", "iVBO\nRw0K"]
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="base64") as caught:
        data_url(text, "messages[1].images[0]")
    assert caught.value.param == "messages[1].images[0]"


@pytest.mark.parametrize("data", [b"", b"hello", b"RIFF\x00\x00\x00\x00WAVE", b"<svg/>"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="no picture"):
        data_url(b64encode(data).decode(), "images[0]")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: b64encode(data).decode()))
def test_any_text_is_a_picture_or_a_refusal(text: str) -> None:
    with suppress(InvalidRequest):
        assert data_url(text, "images[0]").startswith("data:image/")
