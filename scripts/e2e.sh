# Sourced by the scripts that run tests/e2e: which Python, and settings from the environment as options.

# The first Python that can read all the stores.
python=
for candidate in "${TRIBUTARY_VENV:-.venv}/bin/python" "$(command -v python3 || true)" .venv/bin/python; do
  if [ -x "$candidate" ] && "$candidate" -c 'import confluent_kafka, deltalake, duckdb, psycopg' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "no Python here can read the stores; run: make setup-tests" >&2; exit 1; }

# take OPTION NAME: adds the option when the variable is set.
take() { [ -z "${!2:-}" ] || options+=("$1" "${!2}"); }
