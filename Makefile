PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The parts of `test` run one after the other: the slow tests start clusters of their own.
.NOTPARALLEL:
.PHONY: help install demo test lint types fast slow constraints clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED) ## Make .venv with everything that demo and test need

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## Evaluate the bundled model on a drawn data set, end to end
	$(BIN)/segscale demo --output work/demo

test: lint types fast slow ## Everything that must pass: what .ci/run runs

lint: $(INSTALLED) ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Types, strict
	$(BIN)/mypy --explicit-package-bases flows tasks storage tests examples

fast: $(INSTALLED) ## Tests that start no process, server or model
	$(BIN)/pytest -m "not slow"

slow: $(INSTALLED) ## Tests that do
	$(BIN)/pytest -m slow

constraints: ## Resolve pyproject.toml anew in an environment of its own and write constraints.txt
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(PYTHON) -m venv "$$folder/venv" && \
	"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade setuptools -e '.[dev,s3]' && \
	{ \
	  echo '# Tested versions of everything that the extras dev and s3 install, on Linux x86-64 with Python 3.11.'; \
	  echo '# Made by `make constraints` in a fresh environment; not edited by hand.'; \
	  "$$folder/venv/bin/python" -m pip freeze --all --exclude pip --exclude segscale; \
	} > "$$folder/constraints.txt" && \
	if grep -vnE '^(#.*|[A-Za-z0-9._-]+==[^@:; ]+)$$' "$$folder/constraints.txt"; then \
	  echo 'constraints: expected names and versions only, see the lines above' >&2; exit 1; \
	fi && \
	cp "$$folder/constraints.txt" constraints.txt

clean: ## Remove what the tools leave behind; .venv, work and reports stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
