#!/usr/bin/env python3
"""A `llama-server` as far as our supervisor meets it: its options, its log lines, its routes.

Checked against the option names and the log line of llama.cpp b11549. Made executable and named in the
settings, it takes the place of the engine. The environment makes it misbehave where a test wants that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """The routes: health, properties, a chat that always says the same."""

    protocol_version = "HTTP/1.1"
    options: argparse.Namespace
    key: str
    not_ready = 3

    def do_GET(self) -> None:
        if self.path == "/health" and Handler.not_ready > 0:
            Handler.not_ready -= 1
            self.reply(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
        elif self.path == "/health":
            self.reply(200, {"status": "ok"})
        elif self.allowed():
            context = self.options.ctx_size // self.options.parallel
            settings = {"default_generation_settings": {"n_ctx": context}, "total_slots": self.options.parallel}
            self.reply(200, settings | {"modalities": {"vision": False}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        if self.path == "/apply-template":
            self.reply(501, {"error": {"code": 501, "message": "no", "type": "not_supported_error"}})
            return
        if body["messages"][-1]["content"] == "die":
            os._exit(7)
        said = f"pid {os.getpid()} threads {self.options.threads} context {self.options.ctx_size}"
        events: list[object] = [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": said}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ]
        data = b"".join(b"data: %s\n\n" % json.dumps({"model": "x", **e}).encode() for e in map(dict, events))  # type: ignore[call-overload]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data + b"data: [DONE]\n\n")

    def allowed(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.key}":
            return True
        self.reply(401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}})
        return False

    def reply(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def log(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(exit_on_error=True)
    for option in (
        "--model",
        "--alias",
        "--host",
        "--api-key-file",
        "--mmproj",
        "--cache-type-k",
        "--cache-type-v",
    ):
        parser.add_argument(option, default="")
    for option in ("--port", "--ctx-size", "--parallel", "--threads", "--threads-batch", "--n-gpu-layers"):
        parser.add_argument(option, type=int, default=0)
    for option in ("--batch-size", "--ubatch-size"):
        parser.add_argument(option, type=int, default=0)
    for option in ("--jinja", "--no-warmup", "--embeddings", "--no-prefill-assistant"):
        parser.add_argument(option, action="store_true")
    Handler.options = parser.parse_args()
    log("build: 11549 (fake)")
    if not Path(Handler.options.model).read_bytes().startswith(b"GGUF"):
        log("0.00.003.729 E llama_model_load: error loading model: invalid magic")
        sys.exit(1)
    Handler.key = Path(Handler.options.api_key_file).read_text()
    server = ThreadingHTTPServer((Handler.options.host, Handler.options.port), Handler)
    log(f"srv          start: listening on http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever(0.02)


if __name__ == "__main__":
    main()
