# Every target does the set-up it needs, on a machine with Python >= 3.11 and nothing else of ours.
# PYTHON=... names the interpreter to start from; ARGS=... goes to the command at the end.

SHELL := bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(dir $(wildcard tests/plugins/*/pyproject.toml))
DOCUMENTS := README.md docs resolvers/README.md presets/README.md

ifneq ($(shell command -v uv),)
INSTALL := uv pip install -q --python $(VENV)
else
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check
endif

.PHONY: help demo test lint types docs bench fuzz soak fleet lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(VENV)/.demo ## store a flow over HTTP, fetch it back, secrets resolved at run time
	@$(BIN)/webhook-storage demo $(ARGS)

test: $(VENV)/.dev fleet ## run every test, with the real servers and the coverage gate
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=term $(ARGS)

lint: $(VENV)/.dev ## style, format, and which module may import which
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy $(ARGS)

docs: $(VENV)/.dev fleet ## run the examples in the documents, follow their links
	@$(BIN)/python -m pytest $(wildcard $(DOCUMENTS)) tests/packaging/test_links.py $(ARGS)

bench: $(VENV)/.dev fleet ## measure
	@$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/.dev .fleet/fuzz/.done ## feed every parser with anything, by coverage, for a minute each
	@.fleet/fuzz/bin/python -m tests.fuzz $(ARGS)

soak: $(VENV)/.dev fleet ## store and fetch 20,000 artifacts while requests break
	@$(BIN)/python -m benchmarks.soak $(ARGS)

fleet: $(VENV)/.python ## install the test servers (needs root or sudo for those from Debian)
	@PYTHON=$(BIN)/python tests/fleet/install || [ -z "$$CI" ]

lock: $(VENV)/.python ## write the lock files anew; ARGS=--upgrade takes the newest versions
	@command -v uv >/dev/null || $(INSTALL) uv
	@export PATH="$$PATH:$(BIN)"; lock() { uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --custom-compile-command 'make lock' \
	  $(ARGS) "$$@"; }; \
	lock --all-extras --group dev pyproject.toml -o requirements.lock && \
	lock tests/fleet/servers.in -o tests/fleet/servers.lock && \
	lock tests/fleet/mitm.in -o tests/fleet/mitm.lock && \
	lock tests/fleet/prefect.in -o tests/fleet/prefect.lock && \
	lock -c requirements.lock --extra crypto --extra requests --extra zstd tests/fleet/fuzz.in pyproject.toml \
	  -o tests/fleet/fuzz.lock

clean: ## remove everything that make made
	rm -rf $(VENV) .fleet .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
	  .ruff_cache

# The files below say that a step is done; make repeats it when what it was made from has changed.

$(VENV)/.python:
	@rm -rf $(VENV)
	@for python in $(PYTHON) python3 python python3.14 python3.13 python3.12 python3.11 ''; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if command -v uv >/dev/null; then uv venv -q --python "$${python:->=3.11}" $(VENV); \
	elif [ -n "$$python" ]; then "$$python" -m venv $(VENV); \
	else echo 'webhook-storage needs Python 3.11 or newer, and found none.' >&2; \
	  echo 'Install one, or name it: make PYTHON=/path/to/python3' >&2; exit 1; fi
	@touch $@

# What a user installs, at the versions of the lock.
$(VENV)/.demo: $(VENV)/.python pyproject.toml requirements.lock
	@sed -E '/^ *--hash=/d; s/ *\\$$//; s/\[[^]]*]==/==/' requirements.lock >$(VENV)/constraints.txt
	@export PIP_CONSTRAINT=$(VENV)/constraints.txt UV_BUILD_CONSTRAINT=$(VENV)/constraints.txt; \
	$(INSTALL) -c $(VENV)/constraints.txt -e '.[server]'
	@touch $@

# Atheris has wheels for a few versions of Python only, so it lives alone.
.fleet/fuzz/.done: $(VENV)/.python pyproject.toml tests/fleet/fuzz.lock
	@rm -rf .fleet/fuzz && $(BIN)/python -m venv .fleet/fuzz
	@.fleet/fuzz/bin/pip install -q --disable-pip-version-check --require-hashes -r tests/fleet/fuzz.lock
	@.fleet/fuzz/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Everything, hashes checked, and the plug-ins that only the tests have.
$(VENV)/.dev: $(VENV)/.python pyproject.toml requirements.lock $(PLUGINS:=pyproject.toml)
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation $(addprefix -e ./,. $(PLUGINS))
	@touch $@ $(VENV)/.demo
