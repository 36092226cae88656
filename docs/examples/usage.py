"""What models were used for: every call is counted, with the task it was for, and never what was said."""

import asyncio

import lmbridge


async def main() -> None:
    async with lmbridge.connect() as hub:
        model = await hub.model("lmbridge-tiny")
        await model.respond("Hello", task="greetings")

        report = await hub.usage("task")
        for row in report.rows:
            calls = f"{row.calls} {'call' if row.calls == 1 else 'calls'}"
            print(f"{calls} for {row.name}: {row.prompt_tokens} tokens in, {row.completion_tokens} out")
        if report.total.tokens_per_s is not None:
            print(f"{report.total.calls} in all, written at {report.total.tokens_per_s:.0f} tokens/s")


asyncio.run(main())
