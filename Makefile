# make run                  an answer from a model on this machine, everything set up first
# make run PROMPT="…"       an answer to something else
# make test                 everything set up, every test run
# make check                the linters
# make bench                the figures of the README
# make lock                 pin the newest versions we allow
.PHONY: run test check bench lock clean

PROMPT ?= What is lmbridge?
# As it was typed: make would take a dollar sign in it for a variable of its own.
override PROMPT := $(value PROMPT)
export PROMPT

run:
	@scripts/setup run
	@.venv/bin/lmbridge demo -- "$$PROMPT"

test:
	@scripts/setup dev
	@scripts/test

check:
	@scripts/setup dev
	@scripts/check

bench:
	@scripts/setup dev
	@.venv/bin/python -m bench

lock:
	@scripts/lock

clean:
	rm -rf .venv .build dist bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
