# Everything a person or CI does here is one of these verbs. `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := uv==0.13.9
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup run test check docs bench pythons soak sabotage lock clean

help:  ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## make the virtual environment from the lock file

$(READY): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

run: $(READY)  ## the built-in suite against the reference gateway, in virtual time
	@$(BIN)/refgate run -j $(JOBS)

test: $(READY)  ## the tests
	@$(BIN)/python -m pytest -n $(JOBS)

check: $(READY)  ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

docs: $(READY)  ## write the pages that are made from the code
	@$(BIN)/python -m scenarios.pages > docs/acts.md
	@$(BIN)/python -m scenarios.checks.page > docs/invariants.md

bench: $(READY)  ## cost per call, side by side in one run
	@$(BIN)/python -m tests.bench

soak: $(READY)  ## the long sweeps (SOAK=short for the form CI runs)
	@$(BIN)/python -m tests.soak $(SOAK)

pythons: $(READY)  ## the same histories on every supported Python that is on this machine
	@$(BIN)/python -m tests.pythons

sabotage: $(READY)  ## every hazard brought back, one at a time: which check catches it
	@$(BIN)/refgate sabotage -j $(JOBS)

lock: $(READY)  ## write the lock file anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade --quiet -o requirements.lock

clean:  ## remove what the verbs made
	@rm -rf $(VENV) .refgate .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
