#!/usr/bin/env bash
# Installs what is missing, and says what and why. Run it as often as you like.
#
#   scripts/setup.sh up      what building and running needs
#   scripts/setup.sh test    that, and what the tests need: kcat, Prometheus, a Python environment in .venv (or TRIBUTARY_VENV), and a
#                            browser with what drives it
#   scripts/setup.sh ci      that, and patch, a JRE and Maven: with these two the tests against Apache Kafka are not skipped
#
# Packages come from apt: as root directly, else with sudo where that asks no password. Elsewhere it prints the command and,
# when something needed is really missing, fails.
set -euo pipefail
cd "$(dirname "$0")/.."

stage=${1:-up}
case "$stage" in up | test | ci) ;; *) sed -n '2,10p' "$0"; exit 2 ;; esac
tests() { [ "$stage" != up ]; }

say() { echo "setup: $*" >&2; }
die() { echo "setup: $*" >&2; exit 1; }

packages=() reasons=()
want() { packages+=("$1"); reasons+=("$1 ($2)"); }
has() { command -v "$1" >/dev/null 2>&1; }
# Headers are found the way the build finds them.
has_library() { has pkg-config && pkg-config --exists "$1"; }

has_postgres() {
  local bin
  for bin in "${PG_BIN:-}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin; do
    [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] && return 0
  done
  has postgres && has initdb
}

# By any of the names that tests/browser looks for.
has_chromium() { [ -x "${CHROMIUM:-}" ] || has chromium || has chromium-browser || has google-chrome; }

if ! has cc || ! has c++ || ! has make; then want build-essential "librdkafka, zstd and aws-lc are C"; fi
has pkg-config || want pkg-config "finds the libraries below"
has_library openssl || want libssl-dev "TLS to Kafka"
has_library zlib || want zlib1g-dev "gzip from Kafka"
if [ -z "${DATABASE_URL:-}${POSTGRES_HOST:-}" ] && ! has_postgres; then want postgresql "the embedded PostgreSQL is a real one"; fi
if tests; then
  has_postgres || want postgresql "the tests start servers of their own"
  has kcat || want kcat "the tests speak to the broker with a second client"
  python3 -c 'import venv, ensurepip' 2>/dev/null || want python3-venv "the tests read the stores with a second set of eyes"
  has_chromium || want chromium "the console is tested in a real browser"
  has node || want nodejs "what drives the browser is JavaScript"
  has npm || want npm "what drives the browser comes from npm"
fi
if [ "$stage" = ci ]; then
  has java || want default-jre-headless "Apache Kafka is what the embedded broker and the topology are compared with"
  has patch || want patch "whether the mutants still apply is asked"
  has mvn || want maven "Apache Kafka's jars come from Maven Central"
fi

install_packages() {
  local run=()
  if ! has apt-get; then
    die "please install: ${reasons[*]} (these are Debian's names; there is no apt-get here)"
  elif [ "$(id -u)" -ne 0 ]; then
    has sudo && sudo -n true 2>/dev/null || die "please run: sudo apt-get install --yes ${packages[*]}    because of: ${reasons[*]}"
    run=(sudo -n)
  fi
  say "installing ${reasons[*]}"
  run+=(env DEBIAN_FRONTEND=noninteractive)
  "${run[@]}" apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
  if [[ " ${packages[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    # Debian would start a server of its own on port 5432; only the programs are needed.
    "${run[@]}" apt-get install -qq --yes --no-install-recommends postgresql-common >/dev/null
    "${run[@]}" sh -c 'echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf'
  fi
  "${run[@]}" apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
}
[ ${#packages[@]} -eq 0 ] || install_packages

if ! has cargo; then
  # rustup puts it there, and says so only to new shells.
  [ -x "$HOME/.cargo/bin/cargo" ] && die "cargo is in $HOME/.cargo/bin but not on the PATH: . \"\$HOME/.cargo/env\""
  die "there is no Rust; install it with rustup (https://rustup.rs), then run this again"
fi
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n%s\n' "$needed" "$found" | sort -V | head -1)" = "$needed" ] ||
  die "Rust $needed or newer is needed, this is $found: rustup update stable"

# Debian's package would start a server on all interfaces at once, so its two programs are unpacked here and nothing is installed.
unpack_prometheus() {
  local work file
  has apt-get && has dpkg-deb || die "please install Prometheus (https://prometheus.io/download): the dashboards and alerts are tested with a real one"
  say "unpacking prometheus and promtool into .tools, because the dashboards and alerts are tested with real ones (installing the package would start a server)"
  work=$(mktemp -d)
  if ! (cd "$work" && apt-get download -qq prometheus) >/dev/null 2>&1; then
    if [ "$(id -u)" -eq 0 ]; then apt-get update -qq || true; else sudo -n apt-get update -qq 2>/dev/null || true; fi
    (cd "$work" && apt-get download -qq prometheus >/dev/null 2>&1) || { rm -rf "$work"; die "apt-get download prometheus failed; please run: sudo apt-get update"; }
  fi
  file=$(echo "$work"/prometheus_*.deb)
  dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work" ./usr/bin/prometheus ./usr/bin/promtool
  mkdir -p .tools/usr/bin
  mv "$work"/usr/bin/prometheus "$work"/usr/bin/promtool .tools/usr/bin/
  rm -rf "$work"
}
if tests && { ! has prometheus || ! has promtool; } && [ ! -x .tools/usr/bin/promtool ]; then unpack_prometheus; fi

if tests; then
  venv=${TRIBUTARY_VENV:-.venv}
  mark=$(sha256sum scripts/requirements.txt | cut -d' ' -f1)
  if [ "$(cat "$venv/.requirements" 2>/dev/null)" != "$mark" ]; then
    say "making a Python environment in $venv: second readers of every store, linters, and what draws the dashboards"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
    echo "$mark" >"$venv/.requirements"
  fi
  # Exact versions by the lock file; neither package brings a browser nor runs a script of its own.
  mark=$(sha256sum tests/browser/package-lock.json | cut -d' ' -f1)
  if [ "$(cat tests/browser/node_modules/.locked 2>/dev/null)" != "$mark" ]; then
    node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' ||
      die "Node 20 or newer is needed to drive the browser, this is $(node --version)"
    say "installing playwright-core and axe-core into tests/browser/node_modules: one drives the browser, one looks for barriers"
    npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    echo "$mark" >tests/browser/node_modules/.locked
  fi
fi
