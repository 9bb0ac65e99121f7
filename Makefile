# Everything a person does with this checkout. `make help` lists it.
#
# CARGO_TARGET_DIR is honoured. ARGS goes to the program: make up ARGS="--rate 2000". A file .env (see .env.example) is read by `up`.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PROFILE := up
TARGET  := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
BIN     := $(TARGET)/$(PROFILE)/tributary
VENV    := $(if $(TRIBUTARY_VENV),$(TRIBUTARY_VENV),.venv)
PYTHON  := $(VENV)/bin/python
# Where scripts/setup.sh puts Prometheus when there is none; what is on the PATH comes first.
TOOLED  := PATH="$(abspath $(VENV))/bin:$$PATH:$(abspath .tools/usr/bin)"
DATA    := $(if $(TRIBUTARY_DATA),$(TRIBUTARY_DATA),data)
ARGS    ?=

export TRIBUTARY_BIN ?= $(abspath $(BIN))

.PHONY: help setup setup-tests build up status audit test test-rust test-e2e test-rules test-image lint lint-deploy fmt bench chaos batch-chaos outage mutants conformance dashboards alerts topology console docs docs-check clean reset

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and running needs, where it is missing
	@scripts/setup.sh up

setup-tests: ## Install what the tests need beyond that, where it is missing
	@scripts/setup.sh test

build: setup ## Build the program
	@test -x $(BIN) || echo "Building everything once: half an hour or more on two cores, then seconds. Cargo's last line says how far it is." >&2
	@cargo build --profile $(PROFILE) --locked --bin tributary

up: build ## Run the lakehouse on this machine; Ctrl-C stops it
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; PATH="$$PATH:$(abspath .tools/usr/bin)" exec $(BIN) up $(ARGS)

status: ## What runs, where, and how far it is
	@$(BIN) status $(ARGS)

audit: ## Prove that nothing is missing and nothing is there twice
	@$(BIN) audit $(ARGS)

test: setup setup-tests lint-deploy test-rules test-rust test-image test-e2e ## All tests

test-rust: ## The Rust tests alone
	cargo test --profile $(PROFILE) --locked --workspace

test-e2e: build setup-tests ## The tests of the whole program alone
	@if [ -x tests/e2e/run.sh ]; then $(TOOLED) tests/e2e/run.sh $(ARGS); fi

test-rules: setup-tests ## Prometheus's rules and alerts, by promtool
	@$(TOOLED) prometheus/check.sh

test-image: build ## The Dockerfile's build steps as they stand there, without Docker
	@scripts/dockerfile-steps.sh

lint: ## Formatting and clippy, as CI asks for them
	cargo fmt --all --check
	cargo clippy --profile $(PROFILE) --locked --workspace --all-targets -- -D warnings

lint-deploy: setup-tests ## Compose files against their schema; YAML and Dockerfile by their linters
	@$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose*.yml
	@$(VENV)/bin/yamllint --strict docker-compose*.yml .yamllint.yaml scripts/compose grafana prometheus
	@$(VENV)/bin/hadolint Dockerfile

docs: ## Write the documents that are generated
	WRITE_DOCS=1 cargo test --profile $(PROFILE) --locked --workspace --test deploy the_document_is_what

fmt: ## Format the Rust sources
	cargo fmt --all

conformance: ## One suite against the embedded broker and against Apache Kafka
	@scripts/conformance.sh $(ARGS)

chaos: build setup-tests ## Kill everything at random while events flow, then recount
	@PATH="$(abspath $(VENV))/bin:$$PATH" scripts/chaos.sh $(ARGS)

batch-chaos: build setup-tests ## Break silver and gold in every way, and recount them from bronze after each
	@PATH="$(abspath $(VENV))/bin:$$PATH" scripts/batch-chaos.sh $(ARGS)

outage: build setup-tests ## Take one store away; the other must stay fresh
	@PATH="$(abspath $(VENV))/bin:$$PATH" scripts/outage.sh $(ARGS)

dashboards: build setup-tests ## Ask every panel of every dashboard on a running platform, and draw the answers
	@$(TOOLED) python tests/e2e/dashboards.py --draw target/dashboards $(ARGS)

alerts: build setup-tests ## Ten minutes of outages and bad records: the right alerts fire and clear, and the numbers are the audit's
	@$(TOOLED) python tests/e2e/alerts.py $(ARGS)

topology: build setup-tests ## The topology of docker-compose.yml as processes, without Docker, and every documented command against it
	@$(TOOLED) python tests/e2e/topology.py $(ARGS)

console: build setup-tests ## The console: every page and action in a real browser, then every attack on it
	@$(TOOLED) python tests/e2e/console.py $(ARGS)

docs-check: build setup-tests ## Run every command and query of README and docs on a platform of its own, and follow every link
	@$(TOOLED) python tests/e2e/docs.py $(ARGS)

mutants: ## Break the code on purpose; a test must notice
	@scripts/mutants.sh $(ARGS)

bench: build setup-tests ## Measure throughput and freshness
	@PATH="$(abspath $(VENV))/bin:$$PATH" scripts/bench.sh $(ARGS)

reset: ## Delete the data folder: broker, PostgreSQL and lake (asks first; YES=1 does not)
	@if [ -z "$${YES:-}" ]; then read -r -p "Delete $(DATA) with everything in it? [y/N] " answer; [ "$$answer" = y ]; fi
	@rm -rf -- "$(DATA)"

clean: ## Delete what was built (the data stays)
	cargo clean
