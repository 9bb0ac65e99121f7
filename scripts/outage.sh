#!/usr/bin/env bash
# Takes one store away under load; the other must stay fresh.   make outage SINK=postgres|lake
#
# From the environment: SINK MINUTES RATE SEED; SHORT=1 takes a minute. Arguments are those of tests/e2e/outage.py. Needs the program
# (TRIBUTARY_BIN) and a Python with scripts/requirements.txt (the first python3 on the PATH, TRIBUTARY_VENV, or .venv).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/e2e.sh

options=()
take --sink SINK
take --minutes MINUTES
take --rate RATE
take --seed SEED
[ -z "${SHORT:-}" ] || options+=(--short)
exec "$python" tests/e2e/outage.py "${options[@]}" "$@"
