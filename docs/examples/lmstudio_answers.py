"""Everything that LM Studio's models answer: chats, completions, embeddings, responses, and its own chat."""

import asyncio

from lmbridge import ChatRequest, EmbedRequest, LMStudioClient, ReasoningDelta, Sampling, TextDelta

MODEL = "qwen/qwen3-4b-2507"


def show(event: object) -> None:
    if isinstance(event, TextDelta):
        print(event.text, end="", flush=True)
    elif isinstance(event, ReasoningDelta):
        print(f"({event.text})", end="", flush=True)


async def main() -> None:
    async with await LMStudioClient.try_from_base_url() as client:
        async with client.chat(ChatRequest(MODEL, "Hello")) as events:
            async for event in events:
                show(event)
        print(" [chat]")

        async with client.complete("Once upon a time", model=MODEL, sampling=Sampling(max_tokens=20)) as events:
            async for event in events:
                show(event)
        print(" [completion]")

        first = client.respond(ChatRequest(MODEL, "My name is Ada."))
        await first.answer()
        again = ChatRequest(MODEL, "What is my name?")
        async with client.respond(again, previous_response_id=first.response_id) as events:
            async for event in events:
                show(event)
        print(" [response]")

        async with client.native_chat("Hello", model=MODEL) as native:
            async for event in native:
                show(event)
        print(" [LM Studio's own chat]")

        vectors = await client.embed(EmbedRequest("text-embedding-nomic-embed-text-v1.5", ("one", "two")))
        print(len(vectors.vectors), "vectors [embeddings]")


if __name__ == "__main__":
    asyncio.run(main())
