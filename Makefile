# `make help` lists what can be made. The only needs are make and Python 3.10 or newer.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# A process for each core, of one thread: with more they would wait for one another's. Tests of
# several threads ask for them.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal
SOURCES := bayesft callbacks hydra_plugins tests benchmarks train.py search.py

.DEFAULT_GOAL := help
.PHONY: help search test test-all lint format clean

help:  ## List what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

search: $(VENV)/installed  ## Search dropout rates on the embedded digits, under 3 minutes
	$(RUN) search.py -m hydra/sweeper=bayesft

test: $(VENV)/installed-dev lint  ## Lint, import contracts, and the tests that take seconds
	$(PYTEST) -m "not slow"

test-all: $(VENV)/installed-dev lint  ## The same with the tests that take minutes
	$(PYTEST)

lint: $(VENV)/installed-dev  ## Style and import contracts
	$(RUN) -m ruff check $(SOURCES)
	$(RUN) -m ruff format --check $(SOURCES)
	$(RUN) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

format: $(VENV)/installed-dev  ## Put the code into the house's form
	$(RUN) -m ruff check --fix $(SOURCES)
	$(RUN) -m ruff format $(SOURCES)

clean:  ## Remove the environment and what tools keep; runs and data stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build dist

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "BayesFT needs Python 3.10 or newer, but $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	@echo "Installing BayesFT and PyTorch into $(VENV): a few minutes, once"
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev]'
	@touch $@
