# The only commands to know. `make run` goes from a bare clone to a listening gateway, `make test` to a green suite.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?= --config examples/config.yaml
# How many processes share the suite. Each has a PostgreSQL and a Valkey of its own, and a file's tests stay together.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: run install test test-slow check bench protos lock clean

run: install
	@exec $(BIN)/tollhouse up $(ARGS)

install: $(VENV)/.ready

test: install
	@exec $(PYTEST)

# What is marked slow measures, some of it: nothing else runs beside it.
test-slow: test
	@exec $(BIN)/python -m pytest -m slow

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint

bench: install
	@exec $(BIN)/python -m bench

protos: install
	$(BIN)/python hatch_build.py

# The lock carries names, versions and hashes, and no address of a registry.
lock:
	uv pip compile --universal --generate-hashes --no-header --extra dev pyproject.toml -o requirements.lock

$(VENV)/.ready: pyproject.toml requirements.lock hatch_build.py $(shell find protos -name '*.proto')
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python has no ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV)
