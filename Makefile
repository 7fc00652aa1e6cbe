# ML Guard: every command a person needs. `make demo` and `make test` are the two to know.
#
# STACK=docker|embedded decides where things run; by itself it is Docker where an engine answers, else the embedded stack.

VENV := .venv
BIN := $(VENV)/bin
STACK ?= $(shell docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1 && echo docker || echo embedded)

.PHONY: lock wheel setup setup-dev up demo dashboard screenshots down validate test chaos lint bench docs help
.DEFAULT_GOAL := help

help: ## what you can ask for
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## the Python environment, pinned by hash
setup-dev: $(VENV)/.ready-dev ## the same, with what tests, lint and docs need
$(VENV)/.ready: requirements.txt pyproject.toml
	@command -v python3 >/dev/null || { echo "ML Guard needs Python 3.11 or later: install it from your system's packages or from python.org" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ML Guard needs Python 3.11 or later; this is $$(python3 --version)" >&2; exit 1; }
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@echo "Installing the Python packages (about half a minute) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@echo "Installing what the tests need ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: setup ## start everything, replay a synthetic topic, print metrics and drift
	@STACK=$(STACK) $(BIN)/ml-guard demo

ifeq ($(STACK),docker)
up: export ML_GUARD_AWS_DIR ?= $(wildcard $(HOME)/.aws)
up:
	docker compose up --build --detach --wait
down: setup
	docker compose down --volumes --remove-orphans
	@$(BIN)/ml-guard down --delete
else
up: setup ## start the stack
	@$(BIN)/ml-guard up
down: setup ## end the stack and remove its data
	@$(BIN)/ml-guard down --delete
endif

validate: setup ## replay a synthetic topic and compare the product with an oracle
	@./validation.sh

# A database that is named is one for all tests, so they run one after the other.
TEST_PROCESSES := $(if $(ML_GUARD_TEST_DATABASE_URL),0,3)

test: setup-dev ## every test, on real Kafka and real TimescaleDB
	@command -v psql >/dev/null || { echo "The tests need psql: install postgresql-client from your system's packages" >&2; exit 1; }
	@test -x /usr/bin/chromium || { echo "The tests need Chromium: install chromium from your system's packages" >&2; exit 1; }
	@test -x /usr/sbin/nginx || { echo "The tests need nginx: install nginx-light from your system's packages" >&2; exit 1; }
	@test -x /usr/lib/postgresql/15/bin/initdb || { echo "The tests need PostgreSQL 15: install postgresql-15 from your system's packages" >&2; exit 1; }
	@$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

chaos: setup-dev ## every fault, with a table of results; LONG=1 gives outages their true lengths
	@test -x /usr/lib/postgresql/15/bin/initdb || { echo "Races of several backends need PostgreSQL 15: install postgresql-15 from your system's packages" >&2; exit 1; }
	@ML_GUARD_CHAOS_LONG=$(LONG) $(BIN)/python -m tests.chaos

lint: setup-dev ## style, types, and the way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 --package ml_guard
	$(BIN)/lint-imports

dashboard: up ## start the stack if it does not run, and print where the dashboard is
	@$(BIN)/python -m dashboards.live.where

screenshots: setup-dev ## pictures of every page, light, dark and phone, into docs/images
	@test -x /usr/bin/chromium || { echo "The pictures need Chromium: install chromium from your system's packages" >&2; exit 1; }
	@$(BIN)/python -m dashboards.live.screenshots

bench: setup-dev ## figures of this machine: throughput beside stock Faust, freshness, memory
	@$(BIN)/python -m bench

wheel: setup ## the SDK and its command line as a wheel in dist/, to install or to put on your index
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel

docs: setup-dev ## the pages and the Grafana boards that are generated from the code
	@$(BIN)/python -m docs.generate

COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml
lock: setup
	@$(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --extra kafka --extra cli --extra replay --extra server --extra dashboard --extra build \
	    --output-file requirements.txt
	@$(COMPILE) --all-extras --constraint requirements.txt --output-file requirements-dev.txt
