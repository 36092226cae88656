from __future__ import annotations

import msgspec
import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.wire.anthropic.blocks import Block
from lmbridge.wire.anthropic.parts import joined, to_parts

PIXEL = "data:image/png;base64,AAAA"


def parts(block: dict[str, object]) -> list[object]:
    return list(to_parts("here", msgspec.convert(block, Block)))  # type: ignore[arg-type]


def test_words_are_words() -> None:
    assert parts({"type": "text", "text": "x"}) == [TextPart("x")]


@pytest.mark.parametrize(
    "source", [{"type": "base64", "media_type": "image/png", "data": "AAAA"}, {"type": "url", "url": PIXEL}]
)
def test_a_picture_in_the_request_is_shown(source: dict[str, str]) -> None:
    assert parts({"type": "image", "source": source}) == [ImagePart(PIXEL)]


def test_a_picture_elsewhere_is_not_fetched() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parts({"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/x.png"}})
    assert caught.value.param == "here.source.url"


def test_a_file_at_anthropic_is_refused() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        parts({"type": "image", "source": {"type": "file", "file_id": "f"}})
    assert caught.value.param == "here.source"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "x"}, ["x"]),
        ({"type": "content", "content": "x"}, ["x"]),
        (
            {"type": "content", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
            ["x", "y"],
        ),
    ],
)
def test_a_document_of_text_is_read_its_title_first(source: dict[str, object], said: list[str]) -> None:
    shown = parts({"type": "document", "source": source, "title": "T", "context": "C"})
    assert shown == [TextPart(text) for text in ("T", "C", *said)]
    assert parts({"type": "document", "source": source}) == [TextPart(text) for text in said]


def test_pictures_in_a_document_are_shown() -> None:
    inside = [{"type": "image", "source": {"type": "url", "url": PIXEL}}]
    assert parts({"type": "document", "source": {"type": "content", "content": inside}}) == [ImagePart(PIXEL)]


@pytest.mark.parametrize("kind", ["base64", "url", "file"])
def test_other_documents_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        parts({"type": "document", "source": {"type": kind}})
    assert caught.value.param == "here.source"


def test_what_a_search_found_is_read_title_and_source_first() -> None:
    found = {"type": "search_result", "source": "S", "title": "T", "content": [{"type": "text", "text": "x"}]}
    assert parts(found) == [TextPart("T\nS\n\nx")]


def test_texts_become_one_text() -> None:
    assert joined([TextPart("a"), TextPart(""), TextPart("b")]) == "a\n\nb"
    assert joined([]) == joined([TextPart("")]) == ""


def test_beside_pictures_texts_stay_in_their_places() -> None:
    picture = ImagePart(PIXEL)
    assert joined([TextPart("a"), TextPart("b"), picture, TextPart("c")]) == (
        TextPart("a\n\nb"),
        picture,
        TextPart("c"),
    )
