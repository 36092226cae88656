"""A program made for LM Studio's own API, against `lmbridge serve --stand-in`; it needs no package."""

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

LM_STUDIO = urlsplit(os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1234/v1")).netloc
MODEL = "lmbridge-tiny"


def lines(path: str, body: object = None) -> Iterator[bytes]:
    """The lines of an answer, as they come."""
    connection = HTTPConnection(LM_STUDIO, timeout=60)
    data = None if body is None else json.dumps(body).encode()
    connection.request("GET" if data is None else "POST", path, data, {"Content-Type": "application/json"})
    yield from connection.getresponse()
    connection.close()


def ask(path: str, body: object = None) -> dict:
    """The whole answer to a request."""
    return json.loads(b"".join(lines(path, body)))


def chat(text: str, **more: object) -> dict:
    """One turn: its words are shown as they come, then there is the whole answer."""
    body = {"model": MODEL, "input": text, "temperature": 0, "stream": True, **more}
    events = (json.loads(line[6:]) for line in lines("/api/v1/chat", body) if line.startswith(b"data: "))
    for event in events:
        if event["type"] == "model_load.progress":
            print(f"loading: {event['progress']:.0%}")
        elif event["type"] == "message.delta":
            print(event["content"], end="", flush=True)
        elif event["type"] == "chat.end":
            print()
            return event["result"]
    raise ConnectionError("the stream ended without chat.end")


def main() -> None:
    print("LM Studio is here:", ask("/lmstudio-greeting")["lmstudio"])
    for model in ask("/api/v1/models")["models"]:
        print(model["type"], model["key"], model["params_string"])
    first = chat("What is lmbridge?")
    again = chat("Say it again.", previous_response_id=first["response_id"])
    print("answered by", again["model_instance_id"], "with", again["stats"]["total_output_tokens"], "tokens")

    load = {"model": MODEL, "context_length": 1024, "echo_load_config": True}
    extra = ask("/api/v1/models/load", load)
    print(extra["instance_id"], "has a context of", extra["load_config"]["context_length"], "tokens")
    ask("/api/v1/models/unload", {"instance_id": extra["instance_id"]})


if __name__ == "__main__":
    main()
