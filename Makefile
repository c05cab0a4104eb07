# petrosa-cio: `make` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.DEFAULT_GOAL := help
.PHONY: help setup run test mongo-test-server check bench crash-report lock docs clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 22

setup: $(STAMP) ## Create .venv with everything, pinned by hash

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "petrosa-cio needs Python 3.11 or newer: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(STAMP)

run: setup ## Run everything on this machine: embedded NATS, gate, projector, a market; ctrl-C ends it
	$(BIN)/petrosa-cio up

test: setup ## Run the tests
	$(BIN)/python -m pytest

mongo-test-server: setup ## Build FerretDB with Go for the tests that need a MongoDB; else they use nx-27017
	$(BIN)/python tests/mongo_server.py

check: setup ## Structure, style, types: the laws of the house
	$(BIN)/lint-imports --no-cache
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

bench: setup ## Measure against a bare forwarder in the same run
	$(BIN)/python bench/run.py
	$(BIN)/python bench/boards.py
	$(BIN)/python bench/policy.py
	$(BIN)/python bench/heartbeat.py

crash-report: setup ## The regime guard on recorded crashes and calm months; KLINES=DIR, JSON=FILE
	$(BIN)/python bench/crash_report.py --klines $(or $(KLINES),../shared/data/klines) $(if $(JSON),--json $(JSON))

docs: setup ## Write the documents that are generated from the code
	$(BIN)/python -m petrosa_cio.bootstrap.documents docs

lock: setup ## Pin the dependencies anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 --quiet --output-file requirements-dev.lock

clean: ## Remove what setup and tools made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache bench-results
