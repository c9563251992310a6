# `make` lists the targets. PYTHON is what the environment is made with; TESTS narrows `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
JOBS ?= 2
# worksteal: the tests of a file stay in one process, which makes their shared fixtures once.
PYTEST := -n $(JOBS) --dist worksteal --durations 10
ALL := .[dev,ray,submitit,export,demo,notebook,docs,optuna,mlflow,weights]
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint types docs format dist lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

# The project itself. Where pyproject.toml names more than the lock has, that is installed too, without hashes.
define install_project
	$(PIP) --no-deps --no-build-isolation --editable .
	@$(PIP) --dry-run --no-index --no-build-isolation --editable '$(1)' > /dev/null 2>&1 || \
	  { echo "warning: $(2) is older than pyproject.toml (make lock); what it lacks is installed without hashes" >&2; \
	    $(PIP) --no-build-isolation --editable '$(1)'; }
endef

# The stamps hold the time of the last install: a changed project file or lock installs again. What builds packages that
# have no wheel is installed first, so that pip fetches nothing whose hash is unknown.
$(VENV)/.run: pyproject.toml requirements-build.lock requirements-run.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: medseg needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --requirement requirements-build.lock
	$(PIP) --require-hashes --no-build-isolation --requirement requirements-run.lock
	$(call install_project,.,requirements-run.lock)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements.lock
	$(PIP) --require-hashes --no-build-isolation --requirement requirements.lock
	$(call install_project,$(ALL),requirements.lock)
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

dist: $(VENV)/.dev ## build the sdist, and the wheel from it, into dist/, and check both
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	$(BIN)/python -m twine check --strict dist/*

# Versions stay as they are locked wherever pyproject.toml allows them; UPGRADE=--upgrade takes the newest. Some packages
# of the documentation site need 3.11.5.
COMPILE := build/lock/bin/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11.5 --generate-hashes \
  --no-emit-index-url --no-annotate --custom-compile-command 'make lock'

lock: ## write requirements*.lock: versions and hashes of all files that pyproject.toml needs
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --all-extras --group build pyproject.toml --output-file requirements.lock
	$(COMPILE) --group build pyproject.toml --constraint requirements.lock --output-file requirements-run.lock
	$(COMPILE) --group pyproject.toml:build --constraint requirements.lock --output-file requirements-build.lock
	rm -rf build/lock

clean: ## remove the environment and caches, never runs or data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache
