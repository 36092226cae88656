"""LM Studio over HTTP: what it has, a model more, and that model in memory."""

import asyncio

from lmbridge import Download, LMStudioClient

MODEL = "openai/gpt-oss-20b"


def show(download: Download) -> None:
    if download.fraction is not None:
        print(f"{download.state}: {download.fraction:.0%}")


async def main() -> None:
    # Without an address: $LMSTUDIO_BASE_URL, else http://localhost:1234. It fails fast, with a hint what to do.
    async with await LMStudioClient.try_from_base_url() as client:
        for model in await client.fetch_models():
            print(model, model.kind, "loaded" if model.loaded else "on disk")
        await client.download_model(MODEL, on_progress=show)
        instance = await client.load_model(MODEL, context_length=32768)
        print(instance, "has a context of", instance.context_length, "tokens")
        await client.unload_model(MODEL)


if __name__ == "__main__":
    asyncio.run(main())
