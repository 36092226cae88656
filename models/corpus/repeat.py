"""Repeating what was said, invented words included."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

from models.corpus.source import Conversation, Source, Wordings, assistant, user
from models.corpus.words import email, path, sentence, word

ASK = Wordings(
    train=(
        "Repeat: {x}|Repeat after me: {x}|Say: {x}|Say {x}|Please repeat: {x}|Repeat this sentence: {x}|Echo: {x}|"
        'Repeat "{x}"|Say "{x}"|Please say: {x}|Write: {x}|Repeat the following: {x}|Repeat this: {x}|'
        "Repeat exactly: {x}|Copy this text: {x}|Please repeat after me: {x}|Repeat the words: {x}|Type this: {x}|"
        "Say exactly this: {x}|Print: {x}|repeat {x}|Can you repeat this? {x}|Reply with: {x}|"
        "Answer only with: {x}|Echo back the following text:\n{x}|Repeat what I say: {x}|Just say {x}"
    ).split("|"),
    held_out=(
        "Repeat the sentence: {x}|Please echo this: {x}|Say the following: {x}|Repeat my words: {x}|"
        "Copy exactly: {x}|Can you say this: {x}|Please write exactly: {x}"
    ).split("|"),
    more="Repeat what follows: {x}|Say after me: {x}|Please type: {x}|Echo this sentence: {x}|Write this: {x}|Say these words: {x}|Repeat the text: {x}|Copy: {x}|Please copy this: {x}|Can you repeat: {x}|Say only: {x}|Return this text: {x}|Please print this: {x}|Write exactly this: {x}".split(
        "|"
    ),
)


def text(source: Source) -> str:
    """Something to repeat: words, a sentence, a path or an address."""
    kind = source.number(0, 19)
    if kind < 6:
        return sentence(source)
    if kind == 6:
        return path(source)
    if kind == 7:
        return email(source)
    words = [word(source) for _ in range(source.likely(((3, 1), (4, 2), (5, 4), (4, 6), (3, 9), (1, 13))))]
    mark = source.pick((" ", " ", " ", " ", " ", ", ", "-", "  "))
    joined = mark.join(words)
    return joined.capitalize() + source.pick((".", "!", "?")) if kind < 12 else joined


def repeat(source: Source) -> Conversation:
    """A request to repeat something."""
    said = text(source)
    return Conversation("repeat", [user(source.phrase(ASK).format(x=said)), assistant(said)])
