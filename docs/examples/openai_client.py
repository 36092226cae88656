"""Any OpenAI client, pointed at the gateway (`lmbridge serve`). This one: `pip install openai`."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1235/v1"), api_key="not-needed")


def main() -> None:
    for model in client.models.list():
        print(model.id)
    stream = client.chat.completions.create(
        model="lmbridge-tiny", messages=[{"role": "user", "content": "What is lmbridge?"}], stream=True
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()
    vectors = client.embeddings.create(model="lmbridge-tiny-embed", input=["Hello"])
    print(len(vectors.data[0].embedding), "dimensions")


if __name__ == "__main__":
    main()
