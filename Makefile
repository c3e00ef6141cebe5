# make run: set up, train the nine steps, write the report.   make test: set up, run the whole test suite.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
NATIVE := CMakeLists.txt $(wildcard native/*)

.PHONY: setup run test lint bench clean
.DELETE_ON_ERROR:

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt tools/compiler $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, found " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	. tools/compiler && $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: setup
	$(BIN)/stepladder run $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror native/*

bench: setup
	$(BIN)/python benchmarks/epoch.py $(ARGS)

clean:
	rm -rf .venv build
