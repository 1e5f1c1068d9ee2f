# Thin: the logic is in packaging/bootstrap.py (also for Windows: py packaging\bootstrap.py run).
PYTHON ?= python3
BOOTSTRAP = $(PYTHON) packaging/bootstrap.py
VENV_PYTHON = .venv/bin/python
export CUDA

.PHONY: help setup run test check bench bench-tools bench-engines bench-context screenshots clean

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup:  ## install everything into .venv, engine included
	$(BOOTSTRAP) setup --dev

run:  ## set up and open the window (make run CUDA=1 for NVIDIA cards)
	$(BOOTSTRAP) run

test:  ## set up and run all tests (make test ARGS="-k library")
	$(BOOTSTRAP) test $(ARGS)

check: setup  ## lint, types and floors (types need the engine installed)
	$(BOOTSTRAP) check

bench: setup  ## speed: a table and, as the last line, one JSON object
	$(VENV_PYTHON) tests/bench/run.py $(ARGS)

bench-tools: setup  ## sandbox and library; DATA=FOLDER of question sets for recall
	$(VENV_PYTHON) tests/bench/run.py tools $(if $(DATA),--data $(DATA)) $(ARGS)

bench-engines: setup  ## the backends against their raw libraries; grammars; cancels
	$(VENV_PYTHON) tests/bench/run.py engines $(ARGS)

bench-context: setup  ## what a turn costs: tokens evaluated under each way to keep results in view
	$(VENV_PYTHON) tests/bench/run.py context $(ARGS)

screenshots: setup  ## the README's pictures, from the sample session
	$(VENV_PYTHON) packaging/screenshots.py

clean:  ## remove .venv and caches; your sessions are elsewhere and stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
