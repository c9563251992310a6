# `make` lists the targets. PYTHON is what the environment is made with; TESTS narrows `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types format lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

# The stamps hold the time of the last install: a changed project file or lock installs again.
$(VENV)/.run: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: medseg needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $@

install: $(VENV)/.dev ## create .venv with all that users and developers need

demo: $(VENV)/.run ## train and test ConvUNeXt on drawn images (2 to 4 minutes on two cores)
	$(BIN)/python -m medseg.train +experiments=demo

test: $(VENV)/.dev ## run the tests
	$(BIN)/python -m pytest -n $(JOBS) $(TESTS)

lint: $(VENV)/.dev ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## write requirements.lock from the newest versions that pyproject.toml allows
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	build/lock/bin/python -m pip freeze --exclude medseg | grep -E '^[A-Za-z0-9._-]+==' > requirements.lock
	rm -rf build/lock

clean: ## remove the environment and caches, never runs or data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache
