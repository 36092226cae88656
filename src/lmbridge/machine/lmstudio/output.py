"""Reads what `lms` prints: JSON, progress bars, and its last words when it fails. No I/O.

Its JSON comes from a program with other versions than ours, so what is unknown is passed over and what is
missing has a default; only what is no JSON at all is an error.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from lmbridge.core.models import Download

# Escape sequences; those that move the cursor or erase begin another picture of the same line.
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-9;?]*([A-Za-z])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_BREAK: Final = re.compile(r"[\r\n]+")
_TOKEN: Final = re.compile(r"sk-lm-[A-Za-z0-9:]+")
_SPINNER: Final = re.compile(r"^[\u2800-\u28ff|/\\-]\s+|[\u2580-\u259f\u2588]+")
_ERROR: Final = re.compile(r"^(?:error|warning)\s*:\s*", re.IGNORECASE)
_MOST_WORDS: Final = 400

_UNITS: Final[Mapping[str, int]] = {
    "": 1,
    **{f"{k}B": 1000**n for n, k in enumerate(("", "K", "M", "G", "T", "P"))},
    **{f"{k}IB": 1024**n for n, k in enumerate(("", "K", "M", "G", "T", "P")) if k},
}
_SIZE: Final = r"([\d.,]+)\s*([KMGTP]?i?B)"
# `⠋ [████████              ] 12.34% | 1.20 GB / 9.70 GB | 24.10 MB/s | ETA 05:51`
# A bar without its end may be one that is cut.
_BAR: Final = re.compile(
    rf"(\d+(?:\.\d+)?)\s*%\s*\|\s*{_SIZE}\s*/\s*{_SIZE}\s*(?:\|\s*{_SIZE}/s|[\r\n])", re.IGNORECASE
)
_PERCENT: Final = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s*%")


class ServerStatus(Struct, frozen=True):
    """The REST server.

    Attributes:
        port: as it is set, also when it does not run; None when it was never set.
    """

    running: bool
    port: int | None


class DaemonStatus(Struct, frozen=True):
    """The program that holds the models: the app, or the daemon without a window.

    Attributes:
        pid: 0 when it does not run. daemon: it is the one without a window.
        version: of the program; "" where it is not told.
    """

    running: bool
    pid: int = 0
    daemon: bool = False
    version: str = ""


class LmsModel(Struct, frozen=True):
    """A model on disk, as `lms ls` tells it.

    Attributes:
        key: name to ask for. path: relative to the models folder, the argument of `load --exact`.
        params: number of weights, such as `7B`. bits: for each weight.
        variants: further names, `key@quantization`. selected_variant: the one that the key means.
        device: "" for this computer, else the id of a linked one.
    """

    key: str
    kind: Literal["llm", "embedding"] = "llm"
    path: str = ""
    display_name: str = ""
    publisher: str = ""
    format: str = ""
    architecture: str = ""
    params: str = ""
    quantization: str = ""
    bits: float | None = None
    size_bytes: int | None = None
    max_context_length: int | None = None
    vision: bool = False
    tools: bool = False
    variants: tuple[str, ...] = ()
    selected_variant: str = ""
    device: str = ""


class LmsInstance(Struct, frozen=True):
    """A loaded model, as `lms ps` tells it.

    Attributes:
        identifier: name to ask for and to unload by.
        status: `idle`, `processingPrompt`, `generating`, `computingEmbedding` or a newer word.
        queued: requests that wait for it. parallel: answers at the same time.
        ttl_s: seconds it may stay idle; None for ever. last_used_s: seconds since 1970.
    """

    identifier: str
    model: LmsModel
    status: str = ""
    queued: int = 0
    parallel: int | None = None
    context_length: int | None = None
    ttl_s: float | None = None
    last_used_s: float | None = None


def decode_json(out: bytes) -> object:
    """The JSON value that was printed, with or without other lines around it.

    Raises:
        ValueError: there is none; the text begins with what was printed instead.
    """
    text = plain(out.decode("utf-8", "replace")).strip()
    for part in (text, *reversed([line for line in text.splitlines() if line[:1] in ("{", "[")])):
        try:
            found: object = json.loads(part)
        except (ValueError, RecursionError):
            continue
        return found
    raise ValueError(f"it printed {text[:80]!r}" if text else "it printed nothing")


def decode_server_status(value: object) -> ServerStatus:
    """From `lms server status --json`.

    Raises:
        ValueError: it is about something else.
    """
    table = _table(value, "running")
    port = _whole(table, "port")
    return ServerStatus(table["running"] is True, port if port and port < 65536 else None)


def decode_daemon_status(value: object) -> DaemonStatus:
    """From `lms daemon up|status --json`.

    Raises:
        ValueError: it is about something else.
    """
    table = _table(value, "status")
    running = table["status"] == "running"
    return DaemonStatus(running, _whole(table, "pid") or 0, table.get("isDaemon") is True, _text(table, "version"))


def decode_models(value: object) -> list[LmsModel]:
    """From `lms ls --json`; entries without a key are passed over.

    Raises:
        ValueError: it is no list.
    """
    return [model for model in map(_model, _tables(value)) if model.key]


def decode_instances(value: object) -> list[LmsInstance]:
    """From `lms ps --json`; entries without an identifier are passed over.

    Raises:
        ValueError: it is no list.
    """
    return [instance for instance in map(_instance, _tables(value)) if instance.identifier]


def _table(value: object, key: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or key not in value:
        raise ValueError(f"what it printed has no {key!r}")
    return value


def _tables(value: object) -> Iterator[Mapping[str, object]]:
    if not isinstance(value, list):
        raise ValueError("what it printed is no list")
    return (each for each in value if isinstance(each, dict))


def _model(table: Mapping[str, object]) -> LmsModel:
    stored = table.get("quantization")
    quantization: Mapping[str, object] = stored if isinstance(stored, dict) else {"name": stored}
    variants = table.get("variants")
    return LmsModel(
        _text(table, "modelKey"),
        "embedding" if table.get("type") == "embedding" else "llm",
        _text(table, "path"),
        _text(table, "displayName"),
        _text(table, "publisher"),
        _text(table, "format"),
        _text(table, "architecture"),
        _text(table, "paramsString"),
        _text(quantization, "name"),
        _number(quantization, "bits"),
        _whole(table, "sizeBytes"),
        _whole(table, "maxContextLength"),
        table.get("vision") is True,
        table.get("trainedForToolUse") is True,
        tuple(each for each in variants if isinstance(each, str)) if isinstance(variants, list) else (),
        _text(table, "selectedVariant"),
        _text(table, "deviceIdentifier"),
    )


def _instance(table: Mapping[str, object]) -> LmsInstance:
    ttl, used = _number(table, "ttlMs"), _number(table, "lastUsedTime")
    return LmsInstance(
        _text(table, "identifier"),
        _model(table),
        _text(table, "status"),
        _whole(table, "queued") or 0,
        _whole(table, "parallel"),
        _whole(table, "contextLength"),
        None if ttl is None else ttl / 1000,
        None if used is None else used / 1000,
    )


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""


def _number(table: Mapping[str, object], key: str) -> float | None:
    value = table.get(key)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
    return float(value) if usable and isinstance(value, int | float) and value >= 0 else None


def _whole(table: Mapping[str, object], key: str) -> int | None:
    value = _number(table, key)
    return None if value is None else int(value)


def plain(text: str) -> str:
    """Text without escape sequences; what begins a picture of a line anew becomes a line break."""
    return _ESCAPE.sub(lambda found: "\n" if found[1] and found[1] in "ABCDEFGHJK" else "", text)


def last_words(err: bytes, out: bytes = b"") -> str:
    """What a command said at last, in one line: of its errors, else of its output; "" when it said nothing.

    Spinners, bars and tokens are left out.
    """
    for said in (err, out):
        lines = [_cleaned(line) for line in _BREAK.split(plain(said.decode("utf-8", "replace")))]
        lines = [line for line in lines if line and not _PERCENT.search(line)]
        if lines:
            marked = [line for line in lines if _ERROR.match(line) and line[:1] in "eE"]
            words = " ".join(_ERROR.sub("", line) for line in (marked or lines)[-3:])
            return _TOKEN.sub("sk-lm-…", words)[-_MOST_WORDS:]
    return ""


def question(err: bytes, out: bytes) -> str:
    """The question that a command waits to have answered; "" when it asked none."""
    for said in (err, out):
        lines = [_cleaned(line) for line in _BREAK.split(plain(said.decode("utf-8", "replace")))]
        for line in reversed([line for line in lines if line]):
            if line.startswith("?") or line.endswith(("?", "(y/n)", "(Y/n)", "(y/N)", "[y/n]", "[Y/n]", "[y/N]")):
                return line.removeprefix("?").strip()[:_MOST_WORDS]
    return ""


def _cleaned(line: str) -> str:
    return _SPINNER.sub("", line.strip()).strip()


class Bars:
    """Reads progress from bars that are redrawn in place. Fed with pieces cut anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self.seen = False
        """Whether there was any progress."""
        self.noise = 0
        """Bytes since the last progress."""

    def feed(self, data: bytes) -> Download | None:
        """The newest state that the text shows so far; None when it shows nothing new."""
        found = self._last(data, _BAR)
        if found is None:
            return None
        percent, done, unit, total, of, speed, per = found.groups()
        whole = _bytes(total, of)
        # The percentage has more digits than the sizes beside it.
        exact = round(whole * min(100.0, float(percent)) / 100) if whole else _bytes(done, unit)
        return Download("downloading", exact, whole, float(_bytes(speed, per)) if speed else None)

    def feed_percent(self, data: bytes) -> float | None:
        """The newest share (0 to 1) that the text shows so far; None when it shows nothing new."""
        found = self._last(data, _PERCENT)
        return None if found is None else min(1.0, float(found[1]) / 100)

    def _last(self, data: bytes, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._text = plain(self._text + self._decoder.decode(data))
        found = max(pattern.finditer(self._text), key=lambda each: each.end(), default=None)
        self.seen = self.seen or found is not None
        self.noise = 0 if found else self.noise + len(data)
        # What follows the last picture may be the beginning of the next one.
        self._text = self._text[found.end() if found else 0 :][-4096:]
        return found


def _bytes(number: str, unit: str) -> int:
    try:
        return int(float(number.replace(",", "")) * _UNITS.get(unit.upper(), 1))
    except (ValueError, OverflowError):
        return 0
