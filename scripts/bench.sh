#!/usr/bin/env bash
# Measures throughput against librdkafka alone, commit times, freshness, memory and idling.   make bench ARGS="--kafka --rounds 7"
#
# Arguments are those of bench/bench.py. Prints figures only when the audit of the tables it made passes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/e2e.sh
cargo build --profile up --locked --workspace --example raw_drain --example open_table
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
exec "$python" bench/bench.py "$@"
