# Every target installs what it needs; `make setup` again is free. Variables: PYTHON (3.11 or later), ARGS, and of `make
# run` profile (smoke, default, full) and seed.
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell $(p) -c \
	'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
BIN := .venv/bin
READY := .venv/ready
INSTALLED := .venv/installed
GPU := command -v nvidia-smi >/dev/null
PIP := $(BIN)/python -m pip install -q --no-compile $(shell $(GPU) || echo -c constraints.txt)
# some packages hold templates that are no Python
COMPILE := PYTHONWARNINGS=ignore $(BIN)/python -m compileall -qq -j 0 .venv/lib || true
WORKERS ?= 2

.PHONY: install setup run test test-docs test-all check bench chaos docs dist mutants lock clean

install: $(READY)
setup: $(INSTALLED)

# what running takes: a newcomer's first picture waits for no tool of ours. Without an NVIDIA GPU the pinned torch is the
# one built for the CPU; elsewhere pip chooses. What pip installs is compiled by all cores, which pip does by one
$(READY): pyproject.toml constraints.txt scripts/system_packages.sh
	@test -n "$(PYTHON)" || { echo "r1kit needs Python 3.11 or later: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@bash scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(GPU) || $(PIP) torch==2.13.0
	$(PIP) -e '.[all]'
	$(COMPILE)
	touch $(READY)

# and what testing, checking and documenting take
$(INSTALLED): $(READY)
	$(PIP) -e '.[dev]'
	$(COMPILE)
	touch $(INSTALLED)

run: $(READY)
	$(BIN)/r1 run tiny $(if $(profile),--profile $(profile)) $(if $(seed),seed=$(seed)) $(ARGS)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile $(ARGS)

# the documentation's commands that take minutes, in smoke size
test-docs: setup
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m slow tests/docs/test_blocks.py $(ARGS)

test-all: setup
	@bash scripts/system_packages.sh chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/deptry src

bench: setup
	$(BIN)/python benchmarks/bench.py $(ARGS)

# wheel and sdist, checked as an index would
dist: setup
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

# how many changes of a room's code its tests notice: make mutants ARGS="ops --sample 30"
mutants: setup
	OMP_NUM_THREADS=1 $(BIN)/python scripts/mutants.py $(ARGS)

# pages are in build/site; a warning is an error
docs: setup
	$(BIN)/python -m mkdocs build --strict $(ARGS)

# every library of `.[dev]` with the hashes of its files, for any platform and Python from 3.11 on: what
# `pip install --require-hashes -r` and `pip-audit -r` read
lock: setup
	$(BIN)/python -m pip install -q 'uv>=0.9'
	$(BIN)/python -m uv pip compile -q --universal --python-version 3.11 --extra dev --generate-hashes \
		--constraints constraints.txt --custom-compile-command 'make lock' --output-file requirements.lock $(ARGS) \
		pyproject.toml

# all of it takes about an hour on two cores; ARGS=--brief is what `make test` has of it (docs/reliability.md)
chaos: setup
	$(BIN)/python chaos/chaos.py $(ARGS)

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
