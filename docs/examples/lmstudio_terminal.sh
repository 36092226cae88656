#!/bin/sh
# LM Studio from the terminal, from starting it to stopping it. Needs LM Studio, and nothing of it running.
set -e

lmbridge lmstudio status || true       # what is there, what is missing, and the one command that mends it
lmbridge lmstudio start                # its server, LM Studio itself before it if need be
lmbridge get openai/gpt-oss-20b        # into LM Studio; where there is none, into lmbridge's own folder
lmbridge load openai/gpt-oss-20b --context-length 32768
lmbridge ps                            # what is in memory, whoever loaded it
lmbridge chat openai/gpt-oss-20b -p "Hello"
lmbridge unload openai/gpt-oss-20b
lmbridge lmstudio stop
lmbridge doctor || true                # what works, what does not, and what to do about it
