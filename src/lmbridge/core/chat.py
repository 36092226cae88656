"""A conversation that grows: what is said is appended, and `Model.respond` and `Model.act` go on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lmbridge.core import conversation
from lmbridge.core.conversation import Conversation
from lmbridge.core.errors import ContextExceeded, InvalidRequest
from lmbridge.core.events import Answer
from lmbridge.core.messages import Message, Part, Role, TextPart
from lmbridge.core.openai_messages import from_openai, to_openai
from lmbridge.core.pictures import Picture, picture

ROLES = ("system", "developer", "user", "assistant", "tool")


class Chat:
    """Turns, oldest first.

        chat = Chat("You are brief.")
        chat.append("user", "What is in this picture?", images=["cat.png"])

    Args:
        system: instructions for the model, the first turn; "" for none.
        messages: turns to begin with.
    """

    def __init__(self, system: str = "", messages: Iterable[Message] = ()) -> None:
        self._messages = [*([Message("system", system)] if system else []), *messages]

    @property
    def messages(self) -> tuple[Message, ...]:
        """All turns, as `ChatRequest` takes them."""
        return tuple(self._messages)

    @property
    def system(self) -> str:
        """The instructions that it begins with; "" for none."""
        first = self._messages[0] if self._messages else None
        return first.text if first is not None and first.role == "system" else ""

    @system.setter
    def system(self, text: str) -> None:
        if self._messages and self._messages[0].role == "system":
            del self._messages[0]
        if text:
            self._messages.insert(0, Message("system", text))

    def append(
        self, said: Message | Answer | Role, content: str | None = None, *, images: Sequence[Picture] = ()
    ) -> None:
        """Add a turn: a message, the message of an answer, or a role and what it says.

        Of one argument, so that it can be handed over as it is: `model.act(chat, tools, on_message=chat.append)`.

        Args:
            images: pictures beside the words: files, `data:` URLs or bytes.

        Raises:
            InvalidRequest: no such role, nothing said, or something that is no picture.
        """
        if isinstance(said, Answer):
            said = said.message
        if isinstance(said, Message):
            if content is not None or images:
                raise InvalidRequest("A message is appended as it is: it takes no words or pictures besides.")
            self._messages.append(said)
            return
        if said not in ROLES:
            raise InvalidRequest(
                f"There is no role {said!r}.", hint=f"Use one of {', '.join(ROLES)}.", param="role"
            )
        if content is None and not images:
            raise InvalidRequest("Nothing is said: give the words of the turn.", param="content")
        words: object = content
        if words is not None and not isinstance(words, str):
            raise InvalidRequest(
                f"What is said is no text: {words!r:.100}.",
                hint="Append a Message for other parts.",
                param="content",
            )
        self._messages.append(Message(said, _content(content, images)))

    def copy(self) -> Chat:
        """The same turns, to go on from in another way."""
        return Chat(messages=self._messages)

    def trimmed(self, limit: int, count: Callable[[Sequence[Message]], int]) -> Chat:
        """A chat with as few of the oldest exchanges dropped as makes it fit; `Model.trim` counts by itself.

        System and developer turns stay, and so does the last thing the user said with all that follows.

        Args:
            limit: most tokens.
            count: tells the tokens of turns.

        Raises:
            ContextExceeded: what must stay does not fit.
        """
        tokens = 0
        for left in ever_shorter(self._messages):
            tokens = count(left)
            if tokens <= limit:
                return Chat(messages=left)
        raise ContextExceeded(tokens, limit)

    # -- other forms ------------------------------------------------------------------------------

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, object]]) -> Chat:
        """From OpenAI's messages, such as `[{"role": "user", "content": "Hello"}]`.

        Raises:
            InvalidRequest: one that cannot be carried whole, naming what is in the way.
        """
        return cls(messages=from_openai(messages))

    def to_messages(self) -> list[dict[str, object]]:
        """As OpenAI's messages; `from_messages` makes the same chat of them."""
        return to_openai(self._messages)

    def save(self, path: Path | str, *, model: str = "", overwrite: bool = False) -> None:
        """Write it to a file that `Chat.load` reads, and `/load` of `lmbridge chat`.

        Args:
            model: who answered, for people who read it.

        Raises:
            FileExistsError: there is a file, and *overwrite* is not set.
            NoSpace, OSError: it cannot be written.
        """
        conversation.save(Path(path), Conversation(model, self.messages), overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> Chat:
        """What `save` wrote, or `/save` of `lmbridge chat`.

        Raises:
            InvalidRequest: the file is missing or is no saved conversation.
        """
        return cls(messages=conversation.load(Path(path)).messages)

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __getitem__(self, position: int) -> Message:
        return self._messages[position]

    def __eq__(self, other: object) -> bool:
        return self._messages == other._messages if isinstance(other, Chat) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Chat({len(self)} messages)"


def _content(text: str | None, images: Sequence[Picture]) -> str | tuple[Part, ...] | None:
    if not images:
        return text
    words: tuple[Part, ...] = (TextPart(text),) if text else ()
    return (*words, *map(picture, images))


def ever_shorter(turns: Sequence[Message]) -> Iterator[list[Message]]:
    """The conversation, and then the same with one more of its oldest exchanges dropped each time."""
    gone: set[int] = set()
    for exchange in [[], *exchanges(turns)]:
        gone.update(exchange)
        yield [turn for position, turn in enumerate(turns) if position not in gone]


def exchanges(turns: Sequence[Message]) -> list[list[int]]:
    """What may be dropped of a conversation, oldest first: the positions of the turns of each exchange.

    That is what the user said with every answer, call and result up to when he spoke again, so that no call is
    left without its result. In none are system and developer turns, and what the user said last with all after it.
    """
    last = max((position for position, turn in enumerate(turns) if turn.role == "user"), default=0)
    found: list[list[int]] = []
    for position, turn in enumerate(turns[:last]):
        if turn.role in ("system", "developer"):
            continue
        if turn.role == "user" or not found:
            found.append([])
        found[-1].append(position)
    return found
