# Thin: the logic is in packaging/bootstrap.py (also for Windows: py packaging\bootstrap.py run).
PYTHON ?= python3
BOOTSTRAP = $(PYTHON) packaging/bootstrap.py
VENV_PYTHON = .venv/bin/python
export CUDA

.PHONY: help setup run test check bench screenshots sample-library clean

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup:  ## install everything into .venv, engine included
	$(BOOTSTRAP) setup --dev

run:  ## set up and open the window (make run CUDA=1 for NVIDIA cards)
	$(BOOTSTRAP) run

test:  ## set up and run all tests (make test ARGS="-k library")
	$(BOOTSTRAP) test $(ARGS)

check:  ## lint, types and floors
	$(BOOTSTRAP) check

bench: setup  ## speed: a table and, as the last line, one JSON object
	$(VENV_PYTHON) tests/bench/run.py $(ARGS)

screenshots: setup  ## the README's pictures, from the sample session
	$(VENV_PYTHON) packaging/screenshots.py

clean:  ## remove .venv and caches; your sessions are elsewhere and stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
