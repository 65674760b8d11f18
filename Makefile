# make demo: environment, a small dataset, measure it, name the report
# make test: environment, the quick tests   make slow: the rest of them, and those on real scans
# make lint: format, rules, types, import contracts   make docs: the documentation as a site, in site/
# make scripts: shellcheck (which is to be installed)   make check-demo: the demo's files, the BIDS validator, a second run
# Needs make and Python 3.11 or later with venv. PYTHON=python3.13 make test takes another Python.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
NPROCS ?= 2
TESTS ?=
AGAIN ?=
BIN := $(VENV)/bin
SCRIPTS := .ci/run docker/add docs/cluster/participants.slurm tests/demo_check.sh

.PHONY: help demo test slow lint scripts check-demo docs format clean

help:
	@sed -n '1,5s/^# //p' Makefile

demo: $(VENV)/.demo
	$(BIN)/thalbids demo $(DEMO) --nprocs $(NPROCS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not data" $(AGAIN)

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow or data" --timeout 1200 $(AGAIN) $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/python -m pip check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

scripts:
	shellcheck $(SCRIPTS)

check-demo: $(VENV)/.dev
	rm -rf $(DEMO)
	PATH="$(abspath $(BIN)):$$PATH" tests/demo_check.sh $(DEMO)

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: PYTHON=/path/to/python make ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@
