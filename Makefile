# Every target works as the only command in a fresh clone: the first one installs into $(VENV).
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
# LOCKED=no installs the newest releases that pyproject.toml admits, by plain pip.
LOCKED ?= yes

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# The installer that reads uv.lock: the one on PATH, else one that pip puts into $(VENV).
UV := $(or $(shell command -v uv),$(BIN)/uv)
SUITE := build/conformance/node_modules/.bin/conformance
# One thread a process: the tiny model is small, and more threads only fight over the cores.
RUN := OMP_NUM_THREADS=1
# Processes of the tests: a core each, at most 4, as each holds up to 3 GB; WORKERS=0 runs them in this one (--pdb).
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))')

.PHONY: help install lock demo test test-integration test-all check lint format docs site conformance clean
.DELETE_ON_ERROR:

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## install the package and the development tools, as uv.lock has them, into $(VENV)

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; say which one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Installing into $(VENV): about 2 minutes and 6 GB (most of it is PyTorch), once."
	$(PYTHON) -m venv $(VENV)
	@test '$(LOCKED)' != yes || test -x '$(UV)' || $(PIP) --quiet uv || \
		echo "warning: uv is not to be had: installing the newest releases instead of those of uv.lock" >&2
	@if test '$(LOCKED)' = yes && test -x '$(UV)'; then \
		UV_PROJECT_ENVIRONMENT=$(VENV) '$(UV)' sync --locked --inexact --extra dev --python $(BIN)/python; \
	else $(PIP) --editable '.[dev]'; fi
	@touch $(STAMP)

lock:  ## renew uv.lock: the newest releases that pyproject.toml admits
	@test -x '$(UV)' || { $(PYTHON) -m venv $(VENV) && $(PIP) --quiet uv; }
	'$(UV)' lock --upgrade --no-config --default-index https://pypi.org/simple

demo: $(STAMP)  ## draw a scene, ask three questions about it, write pictures and traces to $(OUT)
	$(BIN)/sam3-agent demo --out $(OUT)

test: $(STAMP)  ## run the quick tests, within 3 minutes (ARGS='-m slow' runs the slow ones, ARGS=tests/cli some)
	$(RUN) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-integration: $(STAMP)  ## run the tests that start many processes, kill, train or wait
	$(RUN) $(BIN)/python -m pytest -m "integration and not slow" -n $(WORKERS) --dist loadfile $(ARGS)

test-all: test test-integration  ## run all tests but the slow ones

check: lint test  ## everything a change must pass

lint: $(STAMP)  ## formatting, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python
	$(RUN) $(BIN)/python -m pytest -q tests/test_architecture.py

format: $(STAMP)  ## let ruff format and repair what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## write the generated parts of README.md and docs/ anew
	PYTHONPATH=.:mcp_server:evals $(BIN)/python docs/generate.py

site: $(STAMP)  ## build the manual as a site in build/site; a broken link is an error
	@$(BIN)/python -c 'import mkdocs, mkdocstrings' 2>/dev/null || $(PIP) --quiet --editable '.[docs]'
	$(BIN)/python docs/build_site.py

conformance: $(STAMP) $(SUITE)  ## run the official MCP conformance suite against the server (needs npm)
	PATH="$(CURDIR)/build/conformance/node_modules/.bin:$$PATH" PYTHONPATH=.:mcp_server:evals $(BIN)/python -m benchmarks.mcp.conformance $(SUITE)

$(SUITE):
	npm install --no-audit --no-fund --prefix build/conformance node@24 @modelcontextprotocol/conformance@0.2.0-alpha.12 \
		@modelcontextprotocol/sdk@1 @modelcontextprotocol/inspector@2.12.0

clean:  ## remove what these targets made
	test ! -e $(STAMP) || rm -rf $(VENV)
	rm -rf demo build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
