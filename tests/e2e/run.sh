#!/usr/bin/env bash
# The whole program under fire, the short versions: every process killed, every store away, every mishap of a person. Twenty minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/e2e.sh
"$python" tests/e2e/two_streams.py
"$python" tests/e2e/selfcheck.py
"$python" tests/e2e/batch_selfcheck.py
SHORT=1 scripts/chaos.sh
SHORT=1 SINK=postgres scripts/outage.sh
SHORT=1 SINK=lake scripts/outage.sh
"$python" tests/e2e/fresh.py
# The attacks and the API against its description take ten minutes more: `make console`.
"$python" tests/e2e/console.py --browser
"$python" tests/e2e/docs.py
# 77: there is no Java here, and it said so. It judges every panel on the topology; without it they are judged on a platform of our own.
"$python" tests/e2e/topology.py || { [ $? -eq 77 ] && "$python" tests/e2e/dashboards.py --quiet; }
"$python" tests/e2e/batch_mishaps.py
SHORT=1 scripts/batch-chaos.sh
"$python" tests/e2e/maintenance.py --short
