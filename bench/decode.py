"""Decoding a chat stream into typed events: ours against the `openai` package and against bare loops.

All of it is CPU time of this process, for the same bytes. First the decoders alone, with the bytes in memory,
one piece for each event, as an engine sends them: the package's own `Stream` gets them through a transport
that does nothing. Then whole clients, asking a server in another process. `python -m bench decode`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import msgspec
from msgspec import Struct

from bench.processes import Failed, free_port, start_module, wait_until_ready
from bench.report import Part, Target, middle
from lmbridge.clients.http import HTTPClient
from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.events import Event, Finished, Started, TextDelta
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.openai.answers import ChatEventDecoder

WANTED = 30.0
"""Times less CPU for each event than the openai package."""
WORDS = ("A", "lease", "is", "held", "until", "the", "answer", "has", "ended", "and", "then", "it", "may", "rest")
# As llama.cpp writes them.
ENDING = (
    b'"created":1795228623,"id":"chatcmpl-i7j1yFfvNIC8UP6VE1bpcQD9Iozq68OU","model":"lmbridge-tiny",'
    b'"system_fingerprint":"b11549","object":"chat.completion.chunk"'
)
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Size(Struct, frozen=True):
    """How much is measured.

    Attributes:
        events: of a stream. rounds: measurements of each way. repeats: streams in one measurement of a fast way.
    """

    events: int = 2000
    rounds: int = 9
    repeats: int = 10


FULL = Size()
QUICK = Size(events=500, rounds=3, repeats=4)


class Way(Struct):
    """One way to decode.

    Attributes:
        decode: takes the pieces of a stream, returns how many pieces of text it found in them.
        repeats: how often it is run in one measurement.
        took: microseconds of CPU for each event, by round.
    """

    name: str
    decode: Callable[[], int]
    repeats: int
    took: list[float] = []

    def measure(self, events: int) -> None:
        """Run it once more."""
        began = process_time()
        for _ in range(self.repeats):
            found = self.decode()
            if found != events:
                raise Failed(f"{self.name} found {found} of {events} events")
        self.took.append((process_time() - began) / self.repeats / events * 1e6)


def stream(events: int) -> list[bytes]:
    """The pieces of a stream with so many pieces of text."""

    def event(choices: bytes, more: bytes = b"") -> bytes:
        return b'data: {"choices":[' + choices + b"]," + ENDING + more + b"}\n\n"

    def choice(delta: bytes, reason: bytes = b"null") -> bytes:
        return b'{"finish_reason":' + reason + b',"index":0,"delta":{' + delta + b"}}"

    said = (f" {WORDS[k % len(WORDS)]}".encode() for k in range(events))
    usage = b'{"completion_tokens":%d,"prompt_tokens":9,"total_tokens":%d}' % (events, events + 9)
    return [
        event(choice(b'"role":"assistant","content":null')),
        *(event(choice(b'"content":"' + word + b'"')) for word in said),
        event(choice(b"", b'"stop"')),
        event(b"", b',"usage":' + usage),
        b"data: [DONE]\n\n",
    ]


def in_memory(pieces: list[bytes], size: Size) -> list[Way]:
    """The decoders alone."""
    return [
        Way("bare loop, json", lambda: _bare(pieces, json.loads), size.repeats),
        Way("bare loop, msgspec", lambda: _bare(pieces, msgspec.json.decode), size.repeats),
        Way("lmbridge", lambda: _ours(pieces), size.repeats),
        Way("openai", _official(pieces), 1),
    ]


def _bare(pieces: list[bytes], decode: Callable[[bytes], dict[str, list[dict[str, dict[str, object]]]]]) -> int:
    """What anybody would write first: no errors, no limits, no types, whole events only."""
    found = 0
    for piece in pieces:
        for line in piece.split(b"\n"):
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                for choice in decode(line[6:])["choices"]:
                    found += bool(choice["delta"].get("content"))
    return found


def _ours(pieces: list[bytes]) -> int:
    decoder, found = ChatEventDecoder("bench"), 0
    for piece in pieces:
        found += _texts(decoder.feed(piece))
    return found + _texts(decoder.close())


def _texts(events: list[Event]) -> int:
    return sum(isinstance(event, TextDelta) for event in events)


def _official(pieces: list[bytes]) -> Callable[[], int]:
    """The package, over a transport that hands out the pieces."""
    if find_spec("openai") is None or find_spec("httpx2") is None:
        raise Failed("the package openai (3 or later) is not installed")
    import httpx2
    import openai

    class Pieces(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

    class InMemory(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())

    client = openai.OpenAI(
        api_key="none", base_url="http://bench/v1", http_client=httpx2.Client(transport=InMemory())
    )
    return lambda: _package(client)


def _package(client: object) -> int:
    found = 0
    for chunk in client.chat.completions.create(**ASKED):  # type: ignore[attr-defined]
        for choice in chunk.choices:
            found += bool(choice.delta.content)
    return found


def over_a_socket(url: str, size: Size) -> list[Way]:
    """Whole clients, each asking the same server."""
    import openai

    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
    return [
        Way("lmbridge, whole client", lambda: asyncio.run(_whole(url, size.repeats)) // size.repeats, 1),
        Way("openai, whole client", lambda: _package(client), 1),
    ]


async def _whole(url: str, times: int) -> int:
    """So many streams over one client."""
    found = 0
    async with HTTPClient() as http:
        client = OpenAIClient(http, "bench")
        for _ in range(times):
            async with client.chat(Endpoint(url, (), "m"), ChatRequest("m", "hi")) as events:
                async for event in events:
                    found += not isinstance(event, Started | Finished)
    return found


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure and judge."""
    size = size or (QUICK if quick else FULL)
    ways = in_memory(stream(size.events), size)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lmbridge-bench-")))
        port, log = free_port(), folder / "upstream.log"
        server = start_module(stack, "bench.upstream", str(port), str(size.events), "0", log=log)
        wait_until_ready(server, f"http://127.0.0.1:{port}/v1/models", log)
        whole = over_a_socket(f"http://127.0.0.1:{port}/v1", size)
        for _ in range(size.rounds):
            for way in (*ways, *whole):
                way.measure(size.events)
    for way in whole:  # its repeats are inside
        if way.name.startswith("lmbridge"):
            way.took = [took / size.repeats for took in way.took]
    return _report([*ways, *whole], size)


def _report(ways: list[Way], size: Size) -> Part:
    part = Part(
        "decode",
        f"Decode: a chat stream of {size.events:,} events into typed events (medians of {size.rounds} rounds)",
        ("", "CPU µs/event", "openai takes", "bare json takes"),
    )
    took = {way.name: middle(way.took) for way in ways}
    for name, own in took.items():
        official = took["openai, whole client" if name.endswith("client") else "openai"]
        part.rows.append((name, f"{own:.2f}", f"{official / own:.1f} x", f"{took['bare loop, json'] / own:.2f} x"))
        part.figures[name] = {"cpu_us_per_event": own, "rounds": next(w.took for w in ways if w.name == name)}
    ratio = took["openai"] / took["lmbridge"]
    part.figures["openai_over_lmbridge"] = ratio
    part.targets.append(Target("openai's CPU for each event, against ours", ratio, WANTED, unit=" x"))
    part.notes.append(
        "the bare loops check nothing and make no types; over a socket, one read holds several events"
    )
    return part


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    parser.add_argument("--quick", action="store_true", help="a rough look")
    given = parser.parse_args()
    part = run(quick=given.quick)
    print(part, *part.targets, sep="\n")
    if given.json is not None:
        given.json.write_bytes(msgspec.json.encode(part.as_json()))


if __name__ == "__main__":
    main()
