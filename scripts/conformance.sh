#!/usr/bin/env bash
# One suite, two brokers: the embedded one and Apache Kafka must look the same to a client.
#
# Without Java (or without a way to fetch Kafka's jars) the second half is skipped, with a line that starts with SKIPPED.
set -euo pipefail
cd "$(dirname "$0")/.."

# --workspace: with the features of one package alone, its dependencies would be built again.
suite() { cargo test --profile up --locked --workspace --test conformance -- "$@"; }

echo "conformance: the embedded broker"
suite "$@"

place=$(mktemp -d)
finish() {
  scripts/apache-kafka.sh stop "$place" || true
  rm -rf "$place"
}
trap finish EXIT

# Two free ports in a row: the broker and its controller.
port=0
for candidate in $(shuf -i 20000-32000 -n 50); do
  if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null && ! (exec 3<>"/dev/tcp/127.0.0.1/$((candidate + 1))") 2>/dev/null; then
    port=$candidate
    break
  fi
done
code=0
started=$(scripts/apache-kafka.sh start "$place" "$port") || code=$?
[ "$code" -ne 77 ] || exit 0
[ "$code" -eq 0 ] || exit "$code"

echo "conformance: Apache Kafka at ${started% *}"
CONFORMANCE_BOOTSTRAP=${started% *} suite "$@"
