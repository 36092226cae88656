from __future__ import annotations

from lmbridge.cli.unload import names
from lmbridge.core.models import InstanceState


def test_copies_of_ours_are_unloaded_one_by_one_and_those_of_a_runtime_with_one_word() -> None:
    states = [
        InstanceState("talker", "embedded", "ready"),
        InstanceState("talker", "embedded", "ready", name="talker:2"),
        InstanceState("org/big", "lmstudio", "ready"),
        InstanceState("org/big", "lmstudio", "ready", name="org/big:2", kept=True),
        InstanceState("org/small", "lmstudio", "ready", name="org/small:2", kept=True),
    ]
    assert names(states) == ["embedded:talker", "embedded:talker:2", "lmstudio:org/big", "lmstudio:org/small"]
    assert names([]) == []
