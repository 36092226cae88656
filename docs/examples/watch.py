"""What a gateway (`lmbridge serve`) does, as it happens. With any HTTP client; this one: `pip install httpx`."""

import json
import os
from collections.abc import Iterator

import httpx

URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1235/v1").removesuffix("/v1")
HEADERS = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'not-needed')}"}

gateway = httpx.Client(base_url=URL, headers=HEADERS, timeout=60)


def happenings() -> Iterator[dict]:
    """Everything that happens from now on, and first how things are."""
    with gateway.stream("GET", "/api/lmbridge/activity") as feed:
        for line in feed.raise_for_status().iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def main() -> None:
    question = {"model": "lmbridge-tiny", "messages": [{"role": "user", "content": "What is lmbridge?"}]}
    for happened in happenings():
        match happened["type"]:
            case "snapshot":
                print(f"{len(happened['instances'])} models in memory, {happened['waiting']} callers waiting")
                gateway.post("/v1/chat/completions", json=question)  # so that something happens
            case "request_ended":
                print(
                    f"{happened['model']}: {happened['completion_tokens']} tokens in {happened['total_s']:.2f} s"
                )
                break
            case other:
                print(other)


if __name__ == "__main__":
    main()
