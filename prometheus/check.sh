#!/usr/bin/env bash
# Checks what Prometheus and Alertmanager are given, and runs the tests of the rules with the real promtool.
#
#   prometheus/check.sh                  all
#   prometheus/check.sh batch slow       the tests whose names begin so, alone
#
# Assumes promtool on the PATH or in .tools/usr/bin (Debian: package prometheus); amtool (package prometheus-alertmanager) is used when
# it is there. Promises exit status 0 only when everything passed, and one last line: rules N tests N ok.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$PWD/.tools/usr/bin"

if ! command -v promtool >/dev/null; then
  echo "prometheus/check.sh: there is no promtool; on Debian: sudo apt-get install --yes prometheus" >&2
  exit 1
fi
# On success promtool's many lines say nothing.
quiet() {
  local said
  said=$("$@" 2>&1) || { echo "$said" >&2; echo "prometheus/check.sh: failed: $*" >&2; return 1; }
}

quiet promtool check config prometheus/prometheus.yml
quiet promtool check rules prometheus/rules/*.yml
if command -v amtool >/dev/null; then
  quiet amtool check-config prometheus/alertmanager.yml
else
  echo "prometheus/check.sh: there is no amtool, so alertmanager.yml is not checked (Debian: prometheus-alertmanager)" >&2
fi

tests=()
for name in "${@:-}"; do
  for file in prometheus/tests/"$name"*_test.yml; do tests+=("$file"); done
done
# The long ones side by side. A file with a failed test prints what was expected and what came.
export -f quiet
printf '%s\0' "${tests[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'quiet promtool test rules "$1"' _

rules=$(cat prometheus/rules/*.yml | grep -cE '^ +- (alert:|record:|\{record:)')
cases=$(cat "${tests[@]}" | grep -cE '^ +- name:')
echo "rules $rules tests $cases ok"
