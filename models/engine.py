"""A model file in the real engine, for measuring it: what users get, not what training believes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import xllamacpp

TIMEOUT_S = 120


class EngineError(Exception):
    """The engine answered with an error."""


class Engine:
    """A running llama.cpp server."""

    def __init__(self, address: str) -> None:
        self.address = address

    def post(self, route: str, body: dict[str, Any]) -> Any:
        """The decoded answer to a POST."""
        request = urllib.request.Request(  # noqa: S310 -- our own server, on the loopback interface
            self.address + route, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as error:
            with error:
                raise EngineError(error.read().decode(errors="replace")) from error

    def chat(self, messages: list[dict[str, Any]], *, tools: Any = None, schema: Any = None) -> dict[str, Any]:
        """The model's most likely next message."""
        body: dict[str, Any] = {"messages": messages, "temperature": 0, "max_tokens": 200}
        if tools:
            body["tools"] = tools
        if schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        choice = self.post("/v1/chat/completions", body)["choices"][0]
        return {**choice["message"], "finish_reason": choice["finish_reason"]}

    def prompt(self, messages: list[dict[str, Any]], tools: Any = None) -> str:
        """*messages* as the engine's own template engine renders them."""
        return str(
            self.post("/apply-template", {"messages": messages, **({"tools": tools} if tools else {})})["prompt"]
        )

    def tokenize(self, text: str) -> list[int]:
        """Token ids of *text*, special tokens recognised."""
        return list(self.post("/tokenize", {"content": text, "parse_special": True})["tokens"])

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector per text."""
        answer = self.post("/v1/embeddings", {"input": texts})
        return [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]


@contextmanager
def running(model: Path, *, embedding: bool = False) -> Iterator[Engine]:
    """An engine with *model* loaded, on one thread: for a model this small a second one only costs."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.embedding = embedding
    params.n_ctx = params.n_batch = params.n_ubatch = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.warmup = params.fit_params = False
    params.verbosity = 1
    params.port = 0
    server = xllamacpp.Server(params)
    try:
        yield Engine(server.listening_address)
    finally:
        del server
