"""An answer that follows a JSON schema."""

import asyncio
import json

import lmbridge

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


async def main() -> None:
    question = "Anna is 31 years old. Give the name and age as JSON."
    async with lmbridge.connect() as hub:
        answer = await hub.answer(lmbridge.ChatRequest("lmbridge-tiny", question, schema=lmbridge.Schema(PERSON)))
        person = json.loads(answer.text)
        print(person["name"], "is", person["age"])


if __name__ == "__main__":
    asyncio.run(main())
