# make round: set up, bootstrap, run one round.   make test: set up, run the tests.   make check: everything CI asks.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
BIN := .venv/bin
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n > 4 ? 4 : n)))

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export GX_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup round test check static formatted lint contracts types format lock clean

help: ## Says what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: .venv/.ready ## Makes .venv from requirements.lock; does nothing where it is up to date

.venv/.ready: requirements.lock pyproject.toml infra/setup.sh
	@bash infra/setup.sh
	@touch $@

round: setup ## Bootstraps this folder if need be, runs one round, says what happened
	@$(BIN)/superalign bootstrap
	@$(BIN)/superalign run || [ $$? -eq 3 ] # 3: the gates kept the champion, which is a result
	@printf '\nNext:\n  %s\n  %s\n  %s\n' \
		'$(BIN)/superalign lineage learner/2   where the new policy comes from' \
		'$(BIN)/superalign up                  Prefect and MLflow in the browser' \
		'$(BIN)/superalign run --rounds 3      more rounds'

test: setup ## Runs the tests, on a process of one thread a core, four at most
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

static: formatted lint contracts types

formatted: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

contracts: setup # no cache: it does not see a module that is new
	$(BIN)/lint-imports --no-logo --no-cache

types: setup
	$(BIN)/mypy

check: static test ## Format, lint, types, import contracts, tests

format: setup ## Formats, and mends what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## Pins the newest versions that fit together, vllm's CPU build among them
	@bash infra/lock.sh

clean: ## Removes .venv and caches; data/, mlruns/ and .superalign/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
	find superalign tasks flows tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
