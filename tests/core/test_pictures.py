"""Pictures from wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart
from lmbridge.core.pictures import picture


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_the_kind_of_a_picture_is_told_by_its_bytes_not_its_name(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "picture.dat"
    path.write_bytes(data)
    assert picture(path).url.startswith(f"data:{kind};base64,")


def test_a_picture_that_is_too_large_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(20 * 2**20 + 1)
    with pytest.raises(InvalidRequest, match=r"20,971,521 bytes.*20,971,520"):
        picture(path)


def test_bytes_a_path_as_text_and_a_data_url_are_pictures_too(tmp_path: Path) -> None:
    data = b"GIF89a...."
    (tmp_path / "cat.gif").write_bytes(data)
    shown = picture(data)
    assert picture(str(tmp_path / "cat.gif")) == shown
    assert picture(shown.url) == shown == picture(shown)
    assert picture("data:image/png;base64,AA==") == ImagePart("data:image/png;base64,AA==")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is not a PNG"):
        picture(b"words")
    with pytest.raises(InvalidRequest, match=r"gone\.png cannot be read"):
        picture(tmp_path / "gone.png")
    for other in (None, 5):
        with pytest.raises(InvalidRequest, match="is no picture"):
            picture(other)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="an address"):
        picture("https://example.org/cat.png")
