# `make` lists the targets. PYTHON is what the environment is made with; TESTS narrows `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
JOBS ?= 2
PYTEST := -n $(JOBS) --durations 10
ALL := .[dev,ray,submitit,export,demo,notebook,docs,optuna,weights]

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint types docs format lock clean

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '$(ALL)'
	@touch $@

install: $(VENV)/.dev ## create .venv with all that users and developers need

demo: $(VENV)/.run ## train and test ConvUNeXt on drawn images (2 to 4 minutes on two cores), and make its page
	$(BIN)/python -m medseg.train +experiments=demo
	@$(BIN)/medseg report runs/demo format=html > /dev/null
	@echo "open in a browser: $(CURDIR)/runs/demo/report/report.html"

test: $(VENV)/.dev ## run the tests, but for the slowest
	$(BIN)/python -m pytest $(PYTEST) -m "not slow" $(TESTS)

slow: $(VENV)/.dev ## run the slowest tests: the whole demo, an experiment as a sweep, ONNX of every network
	$(BIN)/python -m pytest $(PYTEST) -m slow $(TESTS)

lint: $(VENV)/.dev ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

docs: $(VENV)/.dev ## build the documentation site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open in a browser: $(CURDIR)/build/site/index.html"

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## write requirements.lock from the newest versions that pyproject.toml allows
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '$(ALL)'
	build/lock/bin/python -m pip freeze --all --exclude pip --exclude medseg | grep -E '^[A-Za-z0-9._-]+==' \
	  | LC_ALL=C sort -f > requirements.lock
	rm -rf build/lock

clean: ## remove the environment and caches, never runs or data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache
