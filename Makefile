# The front door. `make demo` and `make test` need nothing but git, make and Python 3.11 on Debian;
# what else they need they install, or they say which package is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard native/*.pyx native/*_impl*.c native/*.h)

.PHONY: build aws demo test test-all check bench bench-smoke clean help

help:
	@echo "make demo         set up, run the example pipeline with the real AWS CLI, explain what happened"
	@echo "make test         set up and run the tests"
	@echo "make test-all     the long suites too (minutes to hours)"
	@echo "make check        formatting, lint, types, layers"
	@echo "make bench        measure what exists; make bench-smoke runs every benchmark tiny"
	@echo "make build        set up .venv with the sidegate command"
	@echo "make aws          set up .venv-aws with the AWS CLI"

build: $(VENV)/.built

$(VENV)/.built: $(SOURCES)
	@PYTHON=$(PYTHON) sh scripts/setup.sh build

$(VENV)/.tested: $(VENV)/.built
	@PYTHON=$(PYTHON) sh scripts/setup.sh test

$(VENV)/.checked: $(VENV)/.built
	@PYTHON=$(PYTHON) sh scripts/setup.sh check

.venv-aws/.installed: scripts/setup.sh
	@PYTHON=$(PYTHON) sh scripts/setup.sh aws

aws: .venv-aws/.installed

demo: $(VENV)/.built .venv-aws/.installed
	@sh demo/run.sh

test: $(VENV)/.tested .venv-aws/.installed
	$(BIN)/python -m pytest -m "not long" tests

test-all: $(VENV)/.tested .venv-aws/.installed
	$(BIN)/python -m pytest tests

check: $(VENV)/.tested $(VENV)/.checked
	$(BIN)/ruff format --check gateway native tests bench demo setup.py
	$(BIN)/ruff check gateway native tests bench demo setup.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint native
	$(BIN)/python -m pytest -q tests/tidy

bench: $(VENV)/.built
	$(BIN)/python -m bench

bench-smoke: $(VENV)/.built
	$(BIN)/python -m bench --smoke

clean:
	rm -rf $(VENV) .venv-aws .demo build *.egg-info native/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
