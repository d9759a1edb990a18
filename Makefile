# `make` alone lists the targets. Everything is installed into .venv; nothing else on the machine is touched.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
UV := .ci/uv $(BIN)
UV_LOCK := $(UV) pip compile --quiet --universal --generate-hashes --no-header
UV_COMPILE := $(UV_LOCK) --extra server --group model --group build
UV_INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps
INSTALL = $(PYTHON) .ci/alone.py Makefile $(MAKE) --silent
PYTEST_PARALLEL := $(BIN)/python -m pytest --numprocesses 3 --dist worksteal
TIMED := tests/faults/test_serve_process.py tests/faults/test_timed_figures.py
PROTOS := $(wildcard protos/commontrace/v1/*.proto)

# Where it is set, every process compiles every module anew: two seconds for each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test test-slow tools examples check format generate lock fresh bench profile quality faults clean \
  installed installed-dev installed-uv

help: ## Lists what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: installed ## Starts the server on an embedded Postgres, fixtures loaded.
	@exec $(BIN)/commontrace serve

test: installed-dev ## Runs the quick tests, or those of ARGS.
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@# Pure tests first: they fail within seconds.
	@$(PYTEST_PARALLEL) -m "not slow" tests/unit
	@$(PYTEST_PARALLEL) -m "not slow" --ignore tests/unit --ignore tests/examples
endif

test-slow: installed-dev ## Runs the tests that are long by nature: kills, random runs, processes, image, wheel, Postgres 16.
	@$(PYTEST_PARALLEL) -m slow $(TIMED:%=--ignore %) --ignore tests/examples
	@# Timed tests have the machine for themselves.
	@$(BIN)/python -m pytest $(TIMED)

tools: installed-dev ## Installs the development tools into .venv, among them buf.

examples: installed-dev ## Builds the programs of examples/ (Go, Node.js) and runs them against a server.
	@$(BIN)/python -m pytest tests/examples

check: installed-dev ## Checks format, lint, types, import rules, contract, drift of what is generated, pins, image.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint
	$(BIN)/buf breaking --exclude-imports --against tests/compatibility/0.1.0.binpb
	$(BIN)/lint-imports
	$(BIN)/mypy
	.ci/stub-drift $(BIN)/python
	$(BIN)/python .ci/api_reference.py --check docs/api.md
	$(BIN)/python .ci/settings_reference.py --check docs/settings.md
	$(BIN)/python .ci/pins.py
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

format: installed-dev ## Formats the Python and the protobuf sources.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write protos

generate: installed-dev ## Generates the stubs, the synchronous client, docs/{api,settings,commands}.md.
	.ci/generate $(BIN)/python src
	$(BIN)/python .ci/api_reference.py docs/api.md
	$(BIN)/python .ci/settings_reference.py docs/settings.md
	$(BIN)/python .ci/commands.py > docs/commands.md

lock: installed-uv ## Compiles the hash-pinned locks anew (UPGRADE=--upgrade for newer versions).
	$(UV_LOCK) $(UPGRADE) --group uv -o requirements-uv.lock
	$(UV_COMPILE) $(UPGRADE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) $(UPGRADE) --group dev pyproject.toml -o requirements-dev.lock

bench: installed-dev ## Measures searches and much else beside raw asyncpg, in one run.
	@$(BIN)/python -m bench.run

profile: installed-dev ## Measures where a search's processor time goes in the server (py-spy: as root).
	@$(BIN)/python -m bench.profile

quality: installed ## Measures how often searches find what they should (ARGS=--misses lists what they did not).
	@$(BIN)/python -m bench.quality $(ARGS)

faults: installed-dev ## Breaks what the service stands on, counts what is lost, writes faults.json (takes long).
	@$(BIN)/python -m tests.faults.run $(ARGS)

fresh: ## Clones into an empty directory with an empty home; runs both commands and every README example.
	@$(PYTHON) .ci/fresh.py

clean: ## Removes the environment and the caches; keeps .data.
	rm -rf .venv dist examples/*/gen examples/*/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Checked under the lock, so a waiting make finds the work done.
installed: ; @$(INSTALL) .venv/ready

installed-dev: ; @$(INSTALL) .venv/ready-dev

installed-uv: ; @$(INSTALL) .venv/uv

.venv/uv: requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CommonTrace needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv
	@# By the pip that Python brings along, checked against the lock's hashes like everything else.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
	  -r requirements-uv.lock
	@touch $@

.venv/ready: .venv/uv requirements.lock pyproject.toml
	@echo "installing CommonTrace into .venv ..."
	@$(UV_INSTALL) --require-hashes -r requirements.lock
	@$(UV_INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.lock
	@echo "installing the development tools into .venv ..."
	@$(UV_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
