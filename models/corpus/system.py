"""System prompts: some change nothing, some ask for something simple."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models.corpus.source import Conversation, Source, Wordings, assistant, user
from models.corpus.words import invented, name, word

PLAIN = Wordings(
    train=(
        "You are a helpful assistant.|You are helpful.|Be short.|Answer in one sentence.|You are a friendly assistant.|"
        "Answer briefly.|You are lmbridge-tiny.|Be polite.|You are an assistant for developers.|Answer in English.|"
        "You are a careful assistant. Think before you answer.|Use tools when they help.|Be concise and kind.|"
        "You help people with lmbridge.|Do not make things up.|You are a helpful, honest assistant. Answer the question."
    ).split("|"),
    held_out="You are a kind helper.|Please answer shortly.|You are a useful assistant for everybody.|Be precise.".split(
        "|"
    ),
    more="Be brief and clear.|You are a good helper.|Please be short.|Answer in a friendly way.|You are an expert.|You are a useful tool.|Keep answers short.|You answer questions.|You are an AI assistant.|Be honest.".split(
        "|"
    ),
)
START = Wordings(
    train=(
        'Begin every answer with "{x}".|Start every answer with "{x}".|Always begin with "{x}".|'
        'Start each reply with "{x}".|Say "{x}" first, then answer.|Your answers must start with "{x}".'
    ).split("|"),
    held_out='Every answer begins with "{x}".|Always start your answers with "{x}".'.split("|"),
    more='Put "{x}" before every answer.|The first word of every answer is "{x}".|Every reply starts with "{x}".|Open each answer with "{x}".|Begin all your answers with "{x}".|Answers begin with "{x}".'.split(
        "|"
    ),
)
END = Wordings(
    train=(
        'End every answer with "{x}".|Finish every answer with "{x}".|Always end with "{x}".|'
        'Close each reply with "{x}".|Say "{x}" at the end of every answer.'
    ).split("|"),
    held_out='Every answer ends with "{x}".|Always finish your answers with "{x}".'.split("|"),
    more='Put "{x}" after every answer.|The last word of every answer is "{x}".|Every reply ends with "{x}".|End all your answers with "{x}".|Answers end with "{x}".'.split(
        "|"
    ),
)
NAMED = Wordings(
    train="Your name is {x}.|You are {x}, an assistant.|You are called {x}.|You are {x}.|Your name is {x}. Be kind.".split(
        "|"
    ),
    held_out="You go by the name {x}.|You are an assistant with the name {x}.".split("|"),
    more="They call you {x}.|You have the name {x}.|Your name: {x}|You are an assistant named {x}.|You are known as {x}.|Your users call you {x}.|Your new name is {x}.|You are a helper called {x}.".split(
        "|"
    ),
)
ASK_OWN_NAME = Wordings(
    train="What is your name?|Who are you?|What's your name?|Do you have a name?|Tell me your name.|How are you called?".split(
        "|"
    ),
    held_out="Please tell me your name.|What should I call you?".split("|"),
    more="Which name do you have?|How should I call you?|What are you called?|Could you tell me your name?|And your name?|Say your name.|What name do you go by?|Tell me how you are called.|Whom am I talking to?|your name?".split(
        "|"
    ),
)


def plain(source: Source, inner: Conversation) -> Conversation:
    """A system prompt that changes nothing."""
    return _with(inner, source.phrase(PLAIN))


def _with(inner: Conversation, text: str) -> Conversation:
    if inner.messages[0]["role"] == "system":
        return inner
    return replace(inner, messages=[{"role": "system", "content": text}, *inner.messages])


def _marked(inner: Conversation, change: Callable[[str], str]) -> Conversation:
    messages = [assistant(change(m["content"])) if m["role"] == "assistant" else m for m in inner.messages]
    return replace(inner, messages=messages)


def _signal(source: Source) -> str:
    return " ".join(word(source) for _ in range(source.number(1, 2))).capitalize() + source.pick(
        ("!", "!", ".", "")
    )


def first_word(source: Source, inner: Conversation) -> Conversation:
    """Every answer begins with something."""
    mark = _signal(source)
    return _system(_with(_marked(inner, lambda text: f"{mark} {text}"), source.phrase(START).format(x=mark)), mark)


def last_word(source: Source, inner: Conversation) -> Conversation:
    """Every answer ends with something."""
    mark = _signal(source)
    return _system(_with(_marked(inner, lambda text: f"{text} {mark}"), source.phrase(END).format(x=mark)), mark)


def _system(inner: Conversation, keyword: str) -> Conversation:
    return replace(inner, skill="system", keywords=(*inner.keywords, keyword))


def own_name(source: Source) -> Conversation:
    """The system prompt gives the model another name."""
    who = source.pick((name(source), invented(source).capitalize()))
    talk = Conversation(
        "system", [user(source.phrase(ASK_OWN_NAME)), assistant(f"My name is {who}.")], keywords=(who,)
    )
    return _with(talk, source.phrase(NAMED).format(x=who))
