"""What `lms` prints, read."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.models import Download
from lmbridge.machine.lmstudio.output import (
    Bars,
    DaemonStatus,
    LmsModel,
    ServerStatus,
    decode_daemon_status,
    decode_instances,
    decode_json,
    decode_models,
    decode_server_status,
    last_words,
    question,
)

MODEL = {
    "type": "llm",
    "modelKey": "qwen/qwen3-4b-2507",
    "format": "safetensors",
    "displayName": "Qwen3 4B",
    "publisher": "qwen",
    "path": "lmstudio-community/Qwen3-4B-MLX-4bit",
    "sizeBytes": 2278969346,
    "indexedModelIdentifier": "x",
    "deviceIdentifier": None,
    "paramsString": "4B",
    "architecture": "qwen3",
    "quantization": {"name": "4bit", "bits": 4},
    "variants": ["qwen/qwen3-4b-2507@4bit", 7],
    "selectedVariant": "qwen/qwen3-4b-2507@4bit",
    "vision": False,
    "trainedForToolUse": True,
    "maxContextLength": 262144,
    "news": {"of": "tomorrow"},
}


def test_a_model_is_read_whole() -> None:
    (model,) = decode_models([MODEL])
    assert model == LmsModel(
        "qwen/qwen3-4b-2507",
        "llm",
        "lmstudio-community/Qwen3-4B-MLX-4bit",
        "Qwen3 4B",
        "qwen",
        "safetensors",
        "qwen3",
        "4B",
        "4bit",
        4.0,
        2278969346,
        262144,
        False,
        True,
        ("qwen/qwen3-4b-2507@4bit",),
        "qwen/qwen3-4b-2507@4bit",
    )


def test_what_is_missing_or_of_a_wrong_type_has_its_default() -> None:
    odd = {
        "modelKey": "x",
        "type": "embedding",
        "sizeBytes": "big",
        "quantization": "Q4",
        "maxContextLength": True,
    }
    assert decode_models([odd, {"type": "llm"}, "text", None]) == [
        LmsModel("x", "embedding", quantization="Q4"),
    ]


def test_an_instance_tells_its_times_in_seconds() -> None:
    entry = MODEL | {
        "identifier": "my qwen",
        "ttlMs": 90_500,
        "lastUsedTime": 1_790_000_000_123,
        "contextLength": 8192,
        "status": "generating",
        "queued": 2,
        "parallel": 4,
    }
    (instance, other) = decode_instances([entry, {"identifier": "e", "ttlMs": None, "parallel": None}, {}])
    assert (instance.identifier, instance.model.key) == ("my qwen", "qwen/qwen3-4b-2507")
    assert (instance.ttl_s, instance.last_used_s, instance.context_length) == (90.5, 1_790_000_000.123, 8192)
    assert (instance.status, instance.queued, instance.parallel) == ("generating", 2, 4)
    assert (other.ttl_s, other.parallel, other.status) == (None, None, "")


def test_a_list_is_asked_for_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="no list"):
        decode_models({"models": []})
    with pytest.raises(ValueError, match="no list"):
        decode_instances(None)


def test_the_states_of_server_and_daemon_are_read() -> None:
    assert decode_server_status({"running": True, "port": 1234}) == ServerStatus(True, 1234)
    assert decode_server_status({"running": False}) == ServerStatus(False, None)
    assert decode_server_status({"running": "yes", "port": 99999}) == ServerStatus(False, None)
    up = {"status": "running", "pid": 7, "isDaemon": True, "version": "0.0.20"}
    assert decode_daemon_status(up) == DaemonStatus(True, 7, True, "0.0.20")
    assert decode_daemon_status({"status": "not-running"}) == DaemonStatus(False)
    for wrong in ([], {}, None, "running"):
        with pytest.raises(ValueError, match="printed"):
            decode_server_status(wrong)
        with pytest.raises(ValueError, match="printed"):
            decode_daemon_status(wrong)


@pytest.mark.parametrize("around", ["{}", "{}\n", "\ufeff\n{}", "News!\n{}\nbye\n", "\x1b[32m{}\x1b[0m\r\n"])
def test_json_is_found_among_other_lines(around: str) -> None:
    assert decode_json(around.replace("{}", '{"running":true}').encode()) == {"running": True}


@pytest.mark.parametrize(
    ("out", "said"), [(b"", "nothing"), (b"\xff\x00garbage", "garbage"), (b"[1,", "1,"), (b"[" * 99_999, r"\[\[")]
)
def test_what_is_no_json_is_quoted(out: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_json(out)


BARS = (
    "\r\x1b[2K⠋ [                      ] 0.00% | 0 B / 9.70 GB | 0 B/s | ETA --:--"
    "\r\x1b[2K⠙ [██▌                   ] 12.34% | 1.20 GB / 9.70 GB | 24.10 MB/s | ETA 05:51"
    "\r\x1b[2K⠹ [██████████████████████] 100.00% | 9.70 GB / 9.70 GB | 25.00 MB/s | ETA 00:00\n"
)


def test_bars_that_are_redrawn_are_progress() -> None:
    bars = Bars()
    seen = [bars.feed(piece.encode()) for piece in BARS.split("\r")]
    assert seen == [
        None,
        Download("downloading", 0, 9_700_000_000, 0.0),
        Download("downloading", round(0.1234 * 9_700_000_000), 9_700_000_000, 24_100_000.0),
        Download("downloading", 9_700_000_000, 9_700_000_000, 25_000_000.0),
    ]
    assert bars.seen


@given(st.lists(st.integers(0, len(BARS.encode()))))
def test_bars_may_be_cut_anywhere(cuts: list[int]) -> None:
    bars, data = Bars(), BARS.encode()
    edges = sorted({0, *cuts, len(data)})
    seen = [bars.feed(data[a:b]) for a, b in pairwise(edges)]
    done = [each.done_bytes for each in seen if each]
    assert done == sorted(done)
    assert done[-1] == 9_700_000_000


def test_a_bar_without_a_speed_counts_when_its_line_ends() -> None:
    bars = Bars()
    assert bars.feed(b"[##] 50% | 512 MiB / 1 GiB") is None
    assert bars.feed(b"\r") == Download("downloading", 2**29, 2**30, None)


def test_a_bar_without_a_whole_tells_what_is_done() -> None:
    assert Bars().feed(b"1% | 3.5 KB / 0 B | 1 KB/s") == Download("downloading", 3500, 0, 1000.0)
    assert Bars().feed(b"1% | . KB / 0 B | 1 KB/s") == Download("downloading", 0, 0, 1000.0)


def test_other_text_is_no_progress() -> None:
    bars = Bars()
    assert bars.feed(b"Resolving openai/gpt-oss-20b\nDownload completed.\n") is None
    assert not bars.seen


def test_the_percentage_of_a_load_is_a_share() -> None:
    bars = Bars()
    assert bars.feed_percent("\r⠋ Loading model 1".encode()) is None
    assert bars.feed_percent(b"2.5%") == 0.125
    assert bars.feed_percent(b"\rdone 100%\r") == 1.0


def test_last_words_are_the_errors_without_spinners_and_tokens() -> None:
    err = "⠋ Loading 40%\r\x1b[2K\x1b[31mError: \x1b[39mNo model found\nthat matches sk-lm-abcDEF12:secret\n"
    assert last_words(err.encode()) == "No model found"
    assert last_words(b"that matches sk-lm-abcDEF12:secret!\n") == "that matches sk-lm-…!"
    assert last_words(b"", "⠋ On output\n".encode()) == "On output"
    assert last_words(b"\xff\xfe\n50%\n") == "\ufffd\ufffd"
    assert last_words(b"", b"\n \n") == ""
    assert len(last_words(b"x" * 10_000)) == 400


def test_a_question_is_known_when_it_is_asked() -> None:
    assert question(b"? Select a model (Use arrow keys)\n> a\n", b"") == "Select a model (Use arrow keys)"
    assert question(b"", b"Add to PATH? (Y/n)") == "Add to PATH? (Y/n)"
    assert question(b"Loading\n", b"50%\n") == ""


def test_json_printed_in_lines_is_read() -> None:
    assert decode_json(json.dumps([MODEL], indent=2).encode()) == [MODEL]
