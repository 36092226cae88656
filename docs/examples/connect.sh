#!/bin/sh
# Programs are told of the gateway by one command, and made to forget it by another.
set -e

lmbridge gateway start --port 0        # any free port: what is written follows
trap 'lmbridge gateway stop' EXIT

lmbridge connect                       # which programs there are, and which are on this computer
lmbridge connect codex --dry-run       # only show what would be written
lmbridge connect codex --yes           # write it; a copy of what was there lies beside it
lmbridge disconnect codex --yes        # take exactly that back

eval "$(lmbridge connect shell)"       # the packages of OpenAI, Anthropic and Ollama ask the gateway, in this shell
python <<'PY'
from anthropic import Anthropic
from ollama import Client
from openai import OpenAI

question = {"role": "user", "content": "What is lmbridge?"}
answers = [
    OpenAI().chat.completions.create(model="lmbridge-tiny", messages=[question]).choices[0].message.content,
    Anthropic().messages.create(model="lmbridge-tiny", messages=[question], max_tokens=100).content[0].text,
    Client().chat("lmbridge-tiny", [question]).message.content,
]
print(len(answers), "packages were answered:", answers[0])
PY
