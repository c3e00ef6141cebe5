# make run: set up, train the nine steps, write the report.   make test: set up, run the whole test suite on all cores.
# make docs: the site, into build/site.   make wheel: the sdist, and a wheel made from it, into dist.
# make fuzz: an hour (FUZZ_SECONDS) of drawn inputs.   make kills: kill the real command line 100 times (KILLS).
# make cluster: 60 runs on a cluster of which a worker is killed every few seconds (CLUSTER: runs, workers, seconds).
PYTHON ?= python3
ARGS ?=
FUZZ_SECONDS ?= 3600
KILLS ?= 100
CLUSTER ?= 60,3,3
BIN := .venv/bin
NATIVE := CMakeLists.txt $(wildcard native/*.[ch]pp)

.PHONY: setup run test docs wheel fuzz kills cluster lint bench clean
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
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: setup
	rm -rf dist
	. tools/compiler && $(BIN)/pyproject-build

# Rounds of 500 examples of every target, other ones each time, until the time is over or one fails.
fuzz: setup
	@end=$$(($$(date +%s) + $(FUZZ_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
		STEPLADDER_FUZZ=500 $(BIN)/python -m pytest -q -p no:cacheprovider --numprocesses auto --dist worksteal \
			tests/test_fuzz_*.py $(ARGS) || exit 1; \
	done

kills: setup
	STEPLADDER_KILLS=$(KILLS) $(BIN)/python -m pytest -q -p no:cacheprovider tests/test_kills.py $(ARGS)

cluster: setup
	STEPLADDER_CLUSTER=$(CLUSTER) $(BIN)/python -m pytest -q -s -p no:cacheprovider tests/test_cluster_kills.py $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror native/*.[ch]pp

bench: setup
	$(BIN)/python benchmarks/epoch.py $(ARGS)

clean:
	rm -rf .venv build dist
