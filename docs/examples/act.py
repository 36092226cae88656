"""Let a model work with tools until it has done what was asked."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import lmbridge
from lmbridge import Chat, FileTools, Sampling, tool

MODEL = "lmbridge-tiny"  # or openai/gpt-oss-20b, where you have it
FOLDER = TemporaryDirectory()


@tool
def create_file(path: str, content: str) -> str:
    """Write text into a file.

    Args:
        path: name of the file.
        content: the text to put into it.
    """
    file = Path(FOLDER.name) / Path(path).name
    if file.exists():
        return f"{path} exists, and is not overwritten."
    file.write_text(content, encoding="utf-8")
    return f"{path} was created."


async def main() -> None:
    greedy = Sampling(temperature=0)
    async with lmbridge.connect() as hub:
        model = await hub.model(MODEL)
        chat = Chat()
        chat.append("user", "Write to report.md: hello")
        result = await model.act(
            chat,
            [create_file],
            on_message=chat.append,
            on_tool_call=lambda request: print("→", request.call.name, request.arguments),
            on_prediction_fragment=lambda f: print(f.content, end=""),
            sampling=greedy,
        )
        print(f"\n{result.stop}, {result.rounds} rounds:", [message.role for message in chat])

        # The file tools that come with lmbridge are confined to a folder.
        box = FileTools(FOLDER.name, read_only=True)
        result = await model.act("Read the file report.md", [box], max_rounds=4, sampling=greedy)
        print(result.stop, result.text)


if __name__ == "__main__":
    with FOLDER:
        asyncio.run(main())
