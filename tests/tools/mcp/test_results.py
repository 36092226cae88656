"""What servers give back becomes text and pictures; whatever else it is, it is told of."""

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    PromptMessage,
    ReadResourceResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.tools.mcp.results import MOST_PICTURES, of_call, of_prompt, of_resource

PIXEL = ImageContent(data="aGk=", mime_type="image/png")


def said(*blocks: object, **more: object) -> str:
    return of_call(CallToolResult(content=list(blocks), **more)).text  # type: ignore[arg-type]


def test_text_is_text_and_errors_are_errors() -> None:
    result = of_call(CallToolResult(content=[TextContent(text="a"), TextContent(text="b")], is_error=True))
    assert (result.content, result.is_error) == ("a\nb", True)


def test_a_structured_result_is_shown_where_there_is_no_text() -> None:
    assert said(structured_content={"a": [1]}) == '{"a":[1]}'
    assert said(TextContent(text="words"), structured_content={"a": 1}) == "words"
    assert said() == ""


def test_pictures_stand_between_words() -> None:
    result = of_call(CallToolResult(content=[TextContent(text="a"), PIXEL]))
    assert result.content == (TextPart("a"), ImagePart("data:image/png;base64,aGk="))


def test_what_cannot_be_shown_is_told_of() -> None:
    assert "image/svg+xml" in said(ImageContent(data="aGk=", mime_type="image/svg+xml"))
    assert "broken" in said(ImageContent(data="no base64 {}", mime_type="image/png"))
    assert "too large" in said(ImageContent(data="a" * (20 * 2**20 + 4), mime_type="image/png"))
    assert "audio/wav" in said(AudioContent(data="aGk=", mime_type="audio/wav"))
    assert "one too many" in said(*[PIXEL] * (MOST_PICTURES + 1))


def test_resources_inside_of_results_are_shown_or_named() -> None:
    text = TextResourceContents(uri="memo://a", text="inside")
    assert said(EmbeddedResource(resource=text)) == "inside"
    data = BlobResourceContents(uri="memo://b", blob="aGk=", mime_type="application/pdf")
    assert (
        said(EmbeddedResource(resource=data)) == "[memo://b: data of the type application/pdf, which is not shown]"
    )
    assert said(ResourceLink(name="n", uri="memo://c", description="more")) == "[the resource memo://c: more]"


def test_too_much_text_is_cut_off_over_all_parts_together() -> None:
    result = of_call(CallToolResult(content=[TextContent(text="abc"), TextContent(text="defg")]), most_text=5)
    assert result.text == "abc\nd\n\n[3 more characters are cut off]"


def test_a_resource_may_be_a_picture_and_a_prompt_is_a_conversation() -> None:
    pixel = BlobResourceContents(uri="memo://p", blob="aGk=", mime_type="image/png")
    assert of_resource(ReadResourceResult(contents=[pixel])).content == (ImagePart("data:image/png;base64,aGk="),)
    prompt = GetPromptResult(messages=[PromptMessage(role="assistant", content=TextContent(text="Hi"))])
    [turn] = of_prompt(prompt)
    assert (turn.role, turn.content) == ("assistant", "Hi")
