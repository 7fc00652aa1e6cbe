# ML Guard: every command a person needs. `make demo` and `make test` are the two to know.
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: setup lint test
.DEFAULT_GOAL := setup

# Everything that the project needs of Python, pinned by hash; made anew when the lock changes.
setup: $(VENV)/.ready
$(VENV)/.ready: requirements.txt pyproject.toml
	@command -v python3 >/dev/null || { echo "ML Guard needs Python 3.11 or later (https://www.python.org)"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ML Guard needs Python 3.11 or later; this is $$(python3 --version)"; exit 1; }
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "Installing Python packages (about half a minute) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: setup
	$(VENV)/bin/pytest
