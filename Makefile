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

.PHONY: help setup round test check static formatted lint contracts types format papers results lock clean

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

papers: setup ## Writes docs/papers.md from recipes, recorded results and flows/papers/papers.yaml
	@$(BIN)/superalign papers --markdown > docs/.papers.md && mv docs/.papers.md docs/papers.md

# What gives each table of docs/results.md. The public data are looked for in $SUPERALIGN_DATA, else in ../shared/data.
DATA := $(or $(SUPERALIGN_DATA),../shared/data)
SOLUTIONS := $(DATA)/gsm8k/example_model_solutions_6b.jsonl.gz
results.recipes = python benchmarks/learning/recipes.py
results.hints = python benchmarks/learning/recipes.py --recipes star --settings curator.rationalise=false
results.random-pairs = python benchmarks/learning/recipes.py --recipes rso --settings curator.beta=1000000
results.self-play = python benchmarks/learning/recipes.py --recipes spin --rounds 3
results.pareto = python benchmarks/learning/pareto.py
results.tree-search = python benchmarks/learning/tree_search.py
results.campaign = python benchmarks/rounds.py --recipe amplify --rounds 5 --jobs 3
results.unlabelled = python benchmarks/rounds.py --recipe amplify --rounds 5 --jobs 3 --settings oversight.budget=0 curator.min_precision=0.5
results.selection = python benchmarks/learning/selection.py
results.rounds = python benchmarks/rounds.py
results.naive = python benchmarks/rounds.py --recipe naive
results.collapse = python benchmarks/validation.py catch
results.health = python benchmarks/validation.py false-alarms --resamples 60
results.exactness = python benchmarks/validation.py exact
results.linear = python benchmarks/validation.py linear
results.speed = python benchmarks/validation.py speed
results.finetuning = superalign verify gsm8k $(SOLUTIONS) --response 6b_finetuning.solution --target ground_truth --json
results.verification = superalign verify gsm8k $(SOLUTIONS) --response 6b_verification.solution --target ground_truth --json
results.verifiers = pytest tests/superalign/test_gsm8k_answers.py tests/superalign/test_code_programs.py tests/superalign/test_instructions.py
results.sandbox = pytest tests/superalign/test_sandbox.py tests/superalign/test_sandbox_limits.py tests/superalign/test_code_programs.py
results.sampling = superalign bench sampling
results.training = superalign bench training
results.memory = python benchmarks/memory.py
results.judges = python benchmarks/oversight/judges.py
results.people = pytest -m data tests/superalign/test_judges_agreement.py
results.winrates = python benchmarks/oversight/winrates.py
results.faithfulness = python benchmarks/critics.py faithful
results.critic = python benchmarks/critics.py shipped
results.unseen = python benchmarks/critics.py unseen
results.operations = python benchmarks/critics.py operations
results.adversarial = python benchmarks/critics.py adversarial
results.highlights = python benchmarks/oversight/highlight.py
results.judge-speed = python benchmarks/oversight/judge_speed.py
results.debate = python benchmarks/oversight/debate.py
results.study-critic = superalign study critic
results.study-weak-to-strong = superalign study weak-to-strong material.folder=$(DATA)
results.study-collapse = superalign study collapse
results.study-gap = superalign study gap
results.study-oversight = superalign study oversight rng_seeds=[0,1]
results.clone = bash benchmarks/fresh_clone.sh
results.startup = python benchmarks/startup.py

results: ## Lists what gives each table of docs/results.md; `make results-NAME` runs it
	@$(foreach name,$(sort $(filter results.%,$(.VARIABLES))),printf '%-32s %s\n' 'make $(subst .,-,$(name))' '$($(name))';)

results-%: setup
	$(if $(results.$*),,$(error there are no results called $*; `make results` lists them))
	PATH=$(CURDIR)/$(BIN):$$PATH $(results.$*)

lock: setup ## Pins the newest versions that fit together, vllm's CPU build among them
	@bash infra/lock.sh

clean: ## Removes .venv and caches; data/, mlruns/ and .superalign/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
	find superalign tasks flows tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
