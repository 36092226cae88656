"""A conversation that grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lmbridge.core.chat import Chat
from lmbridge.core.errors import ContextExceeded, InvalidRequest
from lmbridge.core.events import Answer, Finished
from lmbridge.core.messages import ImagePart, Message, MessageRole, TextPart, ToolCall
from lmbridge.core.pictures import picture

GIF = b"GIF89a...."
CALL = Message("assistant", "", tool_calls=(ToolCall("1", "f", "{}"),))


def words(turns: Sequence[Message]) -> int:
    return sum(len(turn.text.split()) for turn in turns)


def test_what_is_appended_are_the_turns_in_order() -> None:
    chat = Chat("Be brief.")
    chat.append("user", "Hello")
    chat.append(MessageRole.ASSISTANT, "Hi")
    chat.append(Answer(Message("assistant", "again"), Finished("stop"), "x", "y"))
    chat.append(CALL)
    assert [m.role for m in chat] == ["system", "user", "assistant", "assistant", "assistant"]
    assert (len(chat), chat[1], chat.messages[-1]) == (5, Message("user", "Hello"), CALL)
    assert repr(chat) == "Chat(5 messages)"


def test_pictures_stand_after_the_words(tmp_path: Path) -> None:
    (tmp_path / "cat.gif").write_bytes(GIF)
    chat = Chat()
    chat.append("user", "What is this?", images=[GIF, tmp_path / "cat.gif"])
    chat.append("user", images=[GIF])
    assert chat[0].content == (TextPart("What is this?"), picture(GIF), picture(GIF))
    assert chat[1].content == (picture(GIF),)


def test_what_is_no_turn_is_refused() -> None:
    chat = Chat()
    with pytest.raises(InvalidRequest, match="no role 'robot'"):
        chat.append("robot", "hi")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="Nothing is said"):
        chat.append("user")
    with pytest.raises(InvalidRequest, match="as it is"):
        chat.append(CALL, "and more")
    with pytest.raises(InvalidRequest, match="is no text: 5"):
        chat.append("user", 5)  # type: ignore[arg-type]
    assert not len(chat)


def test_the_instructions_are_set_changed_and_dropped() -> None:
    chat = Chat()
    assert chat.system == ""
    chat.append("user", "hi")
    assert chat.system == ""
    chat.system = "Be kind."
    chat.system = "Be brief."
    assert chat.messages == (Message("system", "Be brief."), Message("user", "hi"))
    chat.system = ""
    assert chat.messages == (Message("user", "hi"),)


def test_a_copy_goes_its_own_way() -> None:
    chat = Chat("x")
    other = chat.copy()
    assert other == chat
    other.append("user", "hi")
    assert other != chat
    assert chat != "x"
    assert len(chat) == 1


def test_trimming_drops_the_oldest_exchanges_whole() -> None:
    chat = Chat("system")
    for turn in (Message("user", "a b"), CALL, Message("tool", "c", tool_call_id="1"), Message("assistant", "d")):
        chat.append(turn)
    chat.append("user", "e f")
    assert chat.trimmed(10, words) == chat
    assert [m.text for m in chat.trimmed(3, words)] == ["system", "e f"]
    assert len(chat) == 6
    with pytest.raises(ContextExceeded) as caught:
        chat.trimmed(2, words)
    assert (caught.value.prompt_tokens, caught.value.context_length) == (3, 2)


def test_a_saved_chat_is_loaded(tmp_path: Path) -> None:
    chat = Chat("Be kind.", [Message("user", (TextPart("Look"), ImagePart("data:image/png;base64,AA=="))), CALL])
    chat.save(tmp_path / "talk.json", model="embedded:tiny")
    assert Chat.load(str(tmp_path / "talk.json")) == chat
    with pytest.raises(FileExistsError):
        chat.save(tmp_path / "talk.json")
    chat.save(tmp_path / "talk.json", overwrite=True)


def test_openais_messages_and_back() -> None:
    messages: list[dict[str, object]] = [{"role": "user", "content": "Hello"}]
    assert Chat.from_messages(messages).messages == (Message("user", "Hello"),)
    assert Chat.from_messages(messages).to_messages() == messages
