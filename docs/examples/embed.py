"""Vectors for texts, and which of them are near each other."""

import asyncio
from math import sqrt

import lmbridge


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


async def main() -> None:
    texts = ("How do I load a model?", "Which command loads a model?", "Hello, how are you?")
    async with lmbridge.connect() as hub:
        embeddings = await hub.embed(lmbridge.EmbedRequest("lmbridge-tiny-embed", texts))
    question, paraphrase, other = embeddings.vectors
    print("paraphrase", round(cosine(question, paraphrase), 3))
    print("unrelated ", round(cosine(question, other), 3))


if __name__ == "__main__":
    asyncio.run(main())
