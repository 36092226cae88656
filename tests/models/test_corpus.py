"""The training text: the same for a seed, and never the wordings that the evaluation uses."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice

import pytest
from models.corpus import conversations
from models.corpus.asking import WAYS
from models.corpus.everyday import TASKS
from models.corpus.others import OTHERS
from models.corpus.source import ALL_WORDINGS, Conversation, Source
from models.render import render

ROLES = {"system", "user", "assistant", "tool"}


def made(seed: int, count: int, *, held_out: bool = False) -> list[Conversation]:
    return list(islice(conversations(seed, held_out=held_out), count))


def plain(phrase: str) -> str:
    return phrase.lower().strip(" .?!")


def test_the_same_seed_gives_the_same_conversations() -> None:
    assert made(11, 300) == made(11, 300)
    assert made(11, 300) != made(12, 300)


def test_held_out_wordings_are_never_trained_on() -> None:
    trained = {plain(phrase) for wordings in ALL_WORDINGS for phrase in (*wordings.train, *wordings.more)}
    trained |= {plain(phrase) for ways in WAYS for phrase in ways}
    held_out = {plain(phrase) for wordings in ALL_WORDINGS for phrase in wordings.held_out}
    assert len(held_out) > 250
    assert not trained & held_out


def test_no_wording_of_somebody_else_is_trained_on_or_steered_by() -> None:
    known = {
        plain(phrase)
        for wordings in ALL_WORDINGS
        for phrase in (*wordings.train, *wordings.more, *wordings.held_out)
    }
    others = [phrase for phrases in OTHERS.values() for phrase in phrases]
    assert not {plain(phrase) for phrase in others} & known
    assert set(OTHERS) == {task.names[0] for task in TASKS}
    assert all(
        phrase.count(f"{{{i}}}") == 1
        for task in TASKS
        for phrase in OTHERS[task.names[0]]
        for i in range(len(task.slots))
    )


def test_no_framed_wording_becomes_one_that_is_held_out() -> None:
    source = Source(5, broad=True)
    held_out = {plain(phrase) for wordings in ALL_WORDINGS for phrase in wordings.held_out}
    for wordings in ALL_WORDINGS:
        assert not {plain(source.phrase(wordings)) for _ in range(60)} & held_out


def test_every_conversation_ends_with_the_model_and_can_be_rendered() -> None:
    for each in made(13, 1000):
        assert {message["role"] for message in each.messages} <= ROLES
        assert each.messages[-1]["role"] == "assistant"
        assert render(each.messages, each.tools).endswith("<|im_end|>\n")


def test_a_call_names_a_tool_on_offer_and_fits_its_parameters() -> None:
    for each in made(14, 2000):
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in each.tools}
        for message in each.messages:
            for call in message.get("tool_calls", ()):
                function = call["function"]
                assert list(function["arguments"]) == list(offered[function["name"]]["properties"])


def test_a_json_answer_has_the_keys_of_its_schema_in_their_order() -> None:
    answers = [each for each in made(15, 1500) if each.schema]
    assert len(answers) > 100
    for each in answers:
        assert each.schema is not None
        assert list(json.loads(each.messages[-1]["content"])) == list(each.schema["properties"])


@pytest.mark.parametrize("module", ["models.corpus", "models.render", "models.evaluate"])
def test_text_and_measuring_need_no_training_library(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
