#!/usr/bin/env bash
# Makes the built-in models anew: tokenizer, training, export, measuring, model card. About two hours on one core.
#   models/build.sh           everything, into src/lmbridge/machine/builtin
#   models/build.sh measure   only measure what is there, and write the card
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.build/models/venv
export OMP_NUM_THREADS=1 # a second thread would gain little here, and costs much when another program wants the core

if [ ! -x "$venv/bin/python" ] || ! cmp -s models/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    "${PYTHON:-python3.11}" -m venv "$venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r models/requirements.txt
    cp models/requirements.txt "$venv/requirements.txt"
fi
run() { "$venv/bin/python" -m "models.$@"; }

if [ "${1:-all}" = all ]; then
    run train --part 1
    run train --part 2
    run train --part 3
    run train --part 4
    run train --part 5
    run export chat
    run embed
    run export embed
fi
run evaluate --save --log .build/models/wrong.log
run card
