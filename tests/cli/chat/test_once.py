import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from tests.cli.conftest import Run, Terminal, environment
from tests.fakes.openai_server import FakeOpenAI

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def last_messages(server: FakeOpenAI) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", server.requests[-1][1]["messages"])


def schema_file(folder: Path, text: object) -> str:
    path = folder / "schema.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return str(path)


def test_a_prompt_is_answered_in_plain_text(run: Run) -> None:
    done = run("chat", "-p", "hello **there**")
    assert (done.returncode, done.stdout, done.stderr) == (0, "You said: hello **there** \n", "")


def test_what_is_piped_in_follows_the_prompt_after_an_empty_line(run: Run, server: FakeOpenAI) -> None:
    assert run("chat", "-p", "Summarise", input="one\ntwo\n").returncode == 0
    assert last_messages(server) == [{"role": "user", "content": "Summarise\n\none\ntwo"}]


def test_what_is_piped_in_is_enough(run: Run, server: FakeOpenAI) -> None:
    assert run("chat", input="only this").stdout == "You said: only this \n"
    assert last_messages(server)[-1]["content"] == "only this"


def test_an_empty_question_is_refused(run: Run) -> None:
    done = run("chat", "-p", " ", input="\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "empty" in done.stderr


def test_bytes_that_are_no_text_are_refused_with_their_place(run: Run) -> None:
    done = run("chat", "-p", "x", input=b"abc\xff")
    assert done.returncode == 2
    assert "byte 3" in done.stderr


def test_without_a_terminal_and_a_question_it_says_how_to_ask(run: Run, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lmbridge", "chat"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "-p" in done.stderr


def test_options_reach_the_model(run: Run, server: FakeOpenAI) -> None:
    options = ["--system", "Be brief", "-t", "0.5", "-n", "7", "--seed", "3"]
    assert run("chat", "fake-chat", "-p", "x", *options).returncode == 0
    body = server.requests[-1][1]
    assert body["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "x"}]
    assert (body["temperature"], body["seed"]) == (0.5, 3)
    assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))


@pytest.mark.parametrize(
    ("option", "value"), [("-t", "3"), ("-t", "warm"), ("-n", "0"), ("--seed", "-1"), ("--image", "/no/such/file")]
)
def test_a_value_that_cannot_be_is_refused_by_name(run: Run, server: FakeOpenAI, option: str, value: str) -> None:
    done = run("chat", "-p", "x", option, value)
    assert done.returncode == 2
    assert value in done.stderr
    assert not server.requests


def test_json_is_one_object_with_answer_tokens_and_times(run: Run) -> None:
    done = run("chat", "-p", "hello", "--json")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    told = json.loads(done.stdout)
    assert told["answer"] == "You said: hello "
    assert (told["provider"], told["model"], told["finish_reason"]) == ("fake", "fake-chat", "stop")
    assert told["usage"]["completion_tokens"] == 3
    assert told["timings"]["tokens_per_s"] == 123.5
    assert 0 < told["timings"]["first_word_s"] <= told["timings"]["total_s"]


def test_stats_go_to_standard_error(run: Run) -> None:
    done = run("chat", "-p", "hello", "--stats")
    assert done.stdout == "You said: hello \n"
    assert "fake-chat (fake)" in done.stderr
    assert "124 tokens/s" in done.stderr


def test_an_answer_by_a_schema_is_checked_and_printed(run: Run, server: FakeOpenAI, tmp_path: Path) -> None:
    done = run("chat", "-p", "ok?", "--schema", schema_file(tmp_path, SCHEMA))
    assert (done.returncode, done.stdout) == (0, '{"answer": "yes"}\n')
    sent = cast("dict[str, dict[str, object]]", server.requests[-1][1]["response_format"])
    assert sent["json_schema"]["schema"] == SCHEMA


def test_an_answer_that_does_not_follow_the_schema_is_an_error(run: Run, tmp_path: Path) -> None:
    wanted = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    done = run("chat", "-p", "ok?", "--schema", schema_file(tmp_path, wanted))
    assert (done.returncode, done.stdout) == (6, "")
    assert "$.answer is string, not integer" in done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "array"),
        ({"type": "objekt"}, "objekt"),
        ({"if": {}}, "'if'"),
        ({"$ref": "#/$defs/x"}, "points to nothing"),
    ],
)
def test_a_file_that_is_no_schema_is_refused_before_anything_is_asked(
    run: Run, server: FakeOpenAI, tmp_path: Path, text: object, reason: str
) -> None:
    done = run("chat", "-p", "x", "--schema", schema_file(tmp_path, text))
    assert done.returncode == 2
    assert reason in done.stderr
    assert "schema.json" in done.stderr
    assert not any(route.startswith("POST") for route, _ in server.requests)


def test_a_picture_is_sent_along(run: Run, server: FakeOpenAI, tmp_path: Path) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    assert run("chat", "-p", "What is this?", "--image", str(picture)).returncode == 0
    parts = cast("list[dict[str, object]]", last_messages(server)[-1]["content"])
    assert [part["type"] for part in parts] == ["text", "image_url"]
    assert parts[1]["image_url"] == {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}


def test_a_file_that_is_no_picture_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "notes.png"
    other.write_text("just text")
    done = run("chat", "-p", "x", "--image", str(other))
    assert done.returncode == 2
    assert "notes.png" in done.stderr


def test_an_unknown_model_is_an_error_that_names_the_nearest(run: Run) -> None:
    done = run("chat", "fake-chad", "-p", "x")
    assert done.returncode == 3
    assert "'fake-chat'" in done.stderr


def test_with_json_an_error_is_json_too(run: Run) -> None:
    done = run("chat", "fake-chad", "-p", "x", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["error"]["code"] == "model_not_found"


def test_a_stream_that_breaks_off_is_an_error_after_what_came(run: Run, server: FakeOpenAI) -> None:
    server.models = [{"id": "fault:cut", "object": "model"}]
    done = run("chat", "fake:fault:cut", "-p", "hello")
    assert done.returncode == 6
    assert "hello" not in done.stdout
    assert done.stderr.startswith("lmbridge: ")


def test_a_server_that_is_down_is_an_error_with_a_hint(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text('[openai.gone]\nurl = "http://127.0.0.1:9"\nmodels = ["m"]\n')
    done = alone("chat", "gone:m", "-p", "x")
    assert done.returncode in (3, 4)
    assert done.stderr


def test_a_reader_that_leaves_ends_it_quietly(run: Run, server: FakeOpenAI, home: Path) -> None:
    server.pace = 0.01
    with subprocess.Popen(
        [sys.executable, "-m", "lmbridge", "chat", "-p", "word " * 5000],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 8) != b""
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""


def test_on_a_terminal_the_answer_is_rendered(run: Run, home: Path) -> None:
    with Terminal(home, "chat", "-p", "some **bold** words", "--no-gateway") as terminal:
        assert terminal.wait_for_end() == 0
        assert "You said: some bold words" in terminal.text
        assert "**" not in terminal.text


def test_ctrl_c_ends_it_with_130_and_without_a_traceback(run: Run, server: FakeOpenAI, home: Path) -> None:
    server.pace = 0.05
    with Terminal(home, "chat", "-p", "word " * 500) as terminal:
        terminal.wait_for("You said:")
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.text


def test_the_demo_tells_who_answers_how_fast_and_what_to_try(run: Run) -> None:
    done = run("demo", "Hello there")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "fake-chat" in lines[0]
    assert "fake" in lines[0]
    assert "You said: Hello there " in lines
    assert any("4 tokens at 124 tokens/s, first word after" in line for line in lines)
    assert len(lines[lines.index("Try next:") + 1 :]) == 3


def test_a_character_that_the_terminal_lacks_does_not_end_the_answer(run: Run) -> None:
    done = run("chat", "-p", "Grüße", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout) == (0, "You said: Gr??e \n")


def test_a_terminal_that_cannot_redraw_gets_plain_text(run: Run, home: Path) -> None:
    with Terminal(home, "chat", "-p", "some **bold** words", TERM="dumb") as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.raw.replace("\r", "") == "You said: some **bold** words \n"
