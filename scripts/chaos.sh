#!/usr/bin/env bash
# Kills everything at random while events flow, then recounts.   make chaos KILLS=50 SEED=7
#
# From the environment: KILLS SEED EVENTS DURATION BROKER_KILLS POSTGRES_KILLS JOINS ZOMBIES; SHORT=1 takes two minutes. Arguments are
# those of tests/e2e/chaos.py. Needs the program (TRIBUTARY_BIN) and a Python with scripts/requirements.txt (the first python3 on the PATH,
# TRIBUTARY_VENV, or .venv).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/e2e.sh

options=()
take --kills KILLS
take --seed SEED
take --events EVENTS
take --seconds DURATION
take --broker-kills BROKER_KILLS
take --postgres-kills POSTGRES_KILLS
take --joins JOINS
take --zombies ZOMBIES
[ -z "${SHORT:-}" ] || options+=(--short)
exec "$python" tests/e2e/chaos.py "${options[@]}" "$@"
