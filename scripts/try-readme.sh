#!/usr/bin/env bash
# Does what the README says, on a data folder of its own, and checks that a person would see what it promises.
# Every command it runs must stand in the README: the two cannot drift apart.
set -euo pipefail
cd "$(dirname "$0")/.."

data=$(mktemp -d)
up=
finish() {
  [ -z "$up" ] || kill "$up" 2>/dev/null || true
  [ -z "$up" ] || wait "$up" 2>/dev/null || true
  rm -rf "$data"
}
trap finish EXIT
die() { echo "readme: $*" >&2; tail -20 "$data/err" >&2; exit 1; }
says() { grep -qF -- "$1" README.md || die "README.md no longer says: $1"; }

# Other programs may have the usual ports; nothing here may disturb the person's own data.
export TRIBUTARY_DATA="$data/data" POSTGRES_PORT=0 TRIBUTARY_KAFKA_EMBEDDED_PORT=0 TRIBUTARY_HTTP_LISTEN=127.0.0.1:0

says "make up"
begun=$SECONDS
make --no-print-directory build
./scripts/setup.sh up
# The program itself, so that the signal below reaches it and not make.
"${TRIBUTARY_BIN:-${CARGO_TARGET_DIR:-target}/up/tributary}" up --rate 50 >"$data/out" 2>"$data/err" &
up=$!
for _ in $(seq 1 600); do
  grep -q 'Ctrl-C stops it' "$data/out" && break
  kill -0 "$up" 2>/dev/null || die "up ended"
  sleep 0.1
done
grep -q 'Tributary is up' "$data/out" || die "up did not come up"
kafka=$(awk '$1 == "Kafka" { print $2 }' "$data/out")
database=$(sed -n "s/^ *psql '\(postgres:[^']*\)'$/\1/p" "$data/out")

says "SELECT * FROM realtime.events_per_minute ORDER BY window_start DESC LIMIT 8"
rows=0
for _ in $(seq 1 100); do
  rows=$(psql "$database" -Atc 'SELECT count(*) FROM realtime.events_per_minute' 2>/dev/null || echo 0)
  [ "$rows" -gt 0 ] && break
  sleep 0.2
done
[ "$rows" -gt 0 ] || die "no window appeared in PostgreSQL"
psql "$database" -c 'SELECT * FROM realtime.events_per_minute ORDER BY window_start DESC LIMIT 8'

says "kcat -b 127.0.0.1:29092 -t user-events -C -o -5 -c 5"
if command -v kcat >/dev/null; then kcat -b "$kafka" -t user-events -C -o -5 -c 5 2>/dev/null | grep -c event_id | sed 's/$/ events by kcat/'; fi

says "make status"
make --no-print-directory status
says "make audit"
make --no-print-directory audit

kill -INT "$up"
wait "$up" && code=0 || code=$?
up=
[ "$code" = 0 ] || die "up ended with $code"
echo "ok: the README's commands work; up stopped in order ($((SECONDS - begun)) s)"
