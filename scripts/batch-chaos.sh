#!/usr/bin/env bash
# Breaks the batch layer in every way and recounts everything from bronze after each.   make batch-chaos SEED=7
#
# From the environment: SEED KILLS RACES; SHORT=1 takes three minutes. Arguments are those of tests/e2e/batch_chaos.py. Needs the program
# (TRIBUTARY_BIN) and a Python with scripts/requirements.txt (the first python3 on the PATH, TRIBUTARY_VENV, or .venv).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/e2e.sh

options=()
take --seed SEED
take --kills KILLS
take --races RACES
[ -z "${SHORT:-}" ] || options+=(--short)
exec "$python" tests/e2e/batch_chaos.py "${options[@]}" "$@"
