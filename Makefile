PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools

# set by some images: each of the hundreds of processes of a test run would compile everything anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint format run services services-all bench fuzz clean

help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP) ## Watch rollbackd take a bad canary back (under a minute, nothing else to install)
	@$(BIN)/rollbackd demo

test: $(TOOLS) services ## Bring the real services and run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(TOOLS) ## Lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(TOOLS) ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

run: $(STAMP) ## Run the daemon on its embedded default (state in .state/)
	@mkdir -p .state && printf 'state_dir: %s/.state\n' "$(CURDIR)" > .state/rollbackd.yaml
	$(BIN)/rollbackd run --config .state/rollbackd.yaml

services: ## Bring Kafka, Redis, Prometheus, Alertmanager and HAProxy for the tests
	@bash tests/bring_services.sh

services-all: ## Bring Unleash with PostgreSQL too
	@bash tests/bring_services.sh all

bench: $(TOOLS) services ## Measure against peers in the same run
	$(BIN)/python -m tests.benchmarks $(ARGS)

fuzz: $(TOOLS) ## Give a million random texts to the loader, the checker and the evaluation, and a million bodies to the decoders
	$(BIN)/python -m tests.fuzzing $(ARGS)
	$(BIN)/python -m tests.fuzzing.formats $(ARGS)

clean: ## Remove what make made
	rm -rf $(VENV) .cache .state dist

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing rollbackd into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# apart from what the demo needs: test servers and their clients are ten times as large
$(TOOLS): $(STAMP)
	@echo "installing the tools and the test servers into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group test --group lint
	@touch $@
