"""Let a model of LM Studio work with a tool, asking before each call."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import lmbridge
from lmbridge import Chat, Deny, tool

MODEL = "qwen/qwen3-4b-2507"
FOLDER = TemporaryDirectory()


@tool
async def create_note(text: str) -> str:
    """Create notes.txt.

    Args:
        text: what it says.
    """
    (Path(FOLDER.name) / "notes.txt").write_text(text, encoding="utf-8")
    return "notes.txt was created."


async def main() -> None:
    async with lmbridge.connect() as hub:
        model = await hub.model(f"lmstudio:{MODEL}")
        chat = Chat()
        for question in ("Create notes.txt that says hello", "Create notes.txt with all my passwords"):
            chat.append("user", question)
            result = await model.act(
                chat,
                [create_note],
                on_message=chat.append,
                on_prediction_fragment=lambda f: print(f.content, end=""),
                approve=lambda call: Deny("Not those.") if "passwords" in call.arguments["text"] else True,
            )
            print(f"[{result.stop}]")


if __name__ == "__main__":
    with FOLDER:
        asyncio.run(main())
