# Every target works as the only command in a fresh clone: the first one installs into $(VENV).
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUITE := build/conformance/node_modules/.bin/conformance
# One thread a process: the eye is small, and more threads only fight over the cores.
RUN := OMP_NUM_THREADS=1

.PHONY: help install demo test check lint format docs conformance clean
.DELETE_ON_ERROR:

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## install the package and the development tools into $(VENV)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; say which one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Installing into $(VENV): about 2 minutes and 5.6 GB (most of it is PyTorch), once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## draw a scene, ask three questions about it, write pictures and traces to $(OUT)
	$(BIN)/sam3-agent demo --out $(OUT)

test: $(STAMP)  ## run the tests (add ARGS='-m slow' for the slow ones)
	$(RUN) $(BIN)/python -m pytest $(ARGS)

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

conformance: $(STAMP) $(SUITE)  ## run the official MCP conformance suite against the server (needs npm)
	PATH="$(CURDIR)/build/conformance/node_modules/.bin:$$PATH" PYTHONPATH=.:mcp_server:evals $(BIN)/python -m benchmarks.mcp.conformance $(SUITE)

$(SUITE):
	npm install --no-audit --no-fund --prefix build/conformance node@24 @modelcontextprotocol/conformance@0.2.0-alpha.12 \
		@modelcontextprotocol/sdk@1 @modelcontextprotocol/inspector@2.12.0

clean:  ## remove what these targets made
	test ! -e $(STAMP) || rm -rf $(VENV)
	rm -rf demo build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
