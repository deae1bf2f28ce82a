# Each target sets itself up from a fresh clone: Python >= 3.10 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
CASES ?= 100
# Empty: bytecode is kept, also where the environment says otherwise. Without it each process of the tests compiles them anew, for 8 s.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: serve test stores compat parity chaos soak mutants bench lint format docs screenshots all-pythons lowest clean

serve: $(VENV)/.serve
	$(BIN)/runpod-emulator serve handlers --port $(PORT)

test: $(VENV)/.test
	$(BIN)/python -m pytest

# The API, the rules and the stores on a Valkey or Redis server, which RUNPOD_EMULATOR_STORE_SERVER may name.
stores: $(VENV)/.test
	EMULATOR_TEST_STORE=redis $(BIN)/python -m pytest tests/doors tests/http
	EMULATOR_TEST_STORE=redis $(BIN)/python -m pytest -k redis tests/core tests/effects tests/world
	$(BIN)/python -m pytest tests/stores

compat: $(VENV)/.test $(VENV)/.sdk2 $(VENV)/.public
	$(BIN)/python -m pytest -m compat tests

# The whole list of handlers in both kinds of worker, and CASES generated ones.
parity: $(VENV)/.test $(VENV)/.sdk2
	PARITY_CASES=$(CASES) $(BIN)/python -m pytest -n 0 -m parity tests/parity

# Official workers are killed, and servers over one store, the store itself, their connections: CHAOS_JOBS says for how many jobs.
chaos: $(VENV)/.test
	$(BIN)/python -m pytest -m chaos tests/chaos

soak: $(VENV)/.test
	$(BIN)/python -m pytest -m soak tests

# Takes each protection of the server out of a copy of the project, and expects its tests to fail.
mutants: $(VENV)/.test
	$(BIN)/python -m tests.mutants

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.forwarding

# ScaledObject is no kind of Kubernetes' own.
MANIFESTS := $(filter-out %/keda.yml,$(wildcard docker/kubernetes/*.yml))
lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive emulator
	$(BIN)/kubernetes-validate --quiet --strict -k 1.34 $(MANIFESTS)

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.test
	$(BIN)/python docs/generate.py

# The pictures of the README, of a server with something to see, in Chromium.
screenshots: $(VENV)/.test
	$(BIN)/python -m tests.page.screenshots

# The suite with every interpreter of PYTHONS, each in an environment of its own.
PYTHONS ?= python3.10 python3.11 python3.12 python3.13 python3.14
all-pythons:
	@for python in $(PYTHONS); do \
	    if ! command -v $$python >/dev/null; then echo "$$python: not here"; continue; fi; \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$version:"; $(MAKE) --no-print-directory PYTHON=$$python VENV=.venv-$$version test || exit 1; \
	done

# The suite with the oldest versions that pyproject.toml allows, without what asks for newer ones (the official SDK).
LOWEST := .venv-lowest
lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip compile --quiet --python $(LOWEST)/bin/python --no-deps --resolution lowest-direct pyproject.toml --output-file $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --constraints $(LOWEST)/lowest.txt -e '.[tools]'
	$(LOWEST)/bin/python -m pytest

clean:
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.serve

# The next official SDK, in an environment of its own: the tests run its workers and clients beside the present ones.
$(VENV)/.sdk2: Makefile | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/sdk2
	$(VENV)/sdk2/bin/python -m pip install --quiet --disable-pip-version-check 'runpod==2.0.0rc2'
	@touch $@

# Public clients, in an environment of their own: they need other versions of what the tests need.
PUBLIC := tests/compat/public/requirements.txt
$(VENV)/.public: $(PUBLIC) | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/public
	$(VENV)/public/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(PUBLIC)
	@touch $@

$(VENV)/.lint: pyproject.toml $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@
