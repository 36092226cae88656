"""What the lifeline tells a `llama-server`, and what it understands of it. `test_supervisor` runs it."""

from __future__ import annotations

import pytest

from lmbridge.machine.engine.lifeline import LISTENING, server_command


@pytest.mark.parametrize(
    "line",
    [
        b"srv          start: listening on http://127.0.0.1:41237",
        b"main: server is listening on http://127.0.0.1:41237 - starting the main loop",
        b"main: HTTP server is listening, hostname: 127.0.0.1, port: 41237, http threads: 5",
    ],
)
def test_the_port_is_read_from_the_log_of_old_and_new_servers(line: bytes) -> None:
    found = LISTENING.search(line)
    assert found is not None
    assert found[1] == b"41237"


SETTINGS = {
    "engine": "/bin/llama-server",
    "model": "m.gguf",
    "alias": "m",
    "mmproj": "",
    "context_length": 512,
    "parallel": 4,
    "threads": 3,
    "gpu_layers": -1,
    "kv_type": "q8_0",
    "embedding": False,
}


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_options_become_arguments() -> None:
    command = server_command(SETTINGS, "/private/key")
    assert command[0] == "/bin/llama-server"
    assert (option(command, "--ctx-size"), option(command, "--parallel")) == ("2048", "4")
    assert option(command, "--threads") == option(command, "--threads-batch") == "3"
    assert option(command, "--cache-type-k") == option(command, "--cache-type-v") == "q8_0"
    assert (option(command, "--host"), option(command, "--port")) == ("127.0.0.1", "0")
    assert option(command, "--api-key-file") == "/private/key"
    assert not {"--n-gpu-layers", "--mmproj", "--embeddings"} & set(command)


def test_an_embedding_model_reads_a_text_in_one_batch() -> None:
    command = server_command({**SETTINGS, "embedding": True}, "/private/key")
    assert "--embeddings" in command
    assert option(command, "--batch-size") == option(command, "--ubatch-size") == "512"


def test_layers_and_a_projector_are_passed_on() -> None:
    command = server_command({**SETTINGS, "gpu_layers": 7, "mmproj": "p.gguf"}, "/private/key")
    assert (option(command, "--n-gpu-layers"), option(command, "--mmproj")) == ("7", "p.gguf")
