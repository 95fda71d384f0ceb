PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The tests of a file share what they start, so they stay together; files come in the order of tests/conftest.py.
PARALLEL ?= -n auto --dist loadfile --no-loadscope-reorder
ORACLES := .venv-oracles/.installed

# The parts of `nightly`, the shortest first; each is a target. Most are tests that carry its name as their marker.
MARKED := slurm docs deploy poison page clusters fuzz wheel prefect drivers stores scores models benchmarks
PARTS := $(MARKED) properties oracles campaign

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One part after the other: tests start clusters and servers of their own.
.NOTPARALLEL:
.PHONY: help install demo test lint types fast gate nightly $(PARTS) services faults constraints site clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo '  Parts of nightly, each a target (CONTRIBUTING.md says what is in them):'
	@echo '    $(PARTS)'

install: $(INSTALLED) ## Make .venv with everything that demo and test need

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## Evaluate the bundled model on a drawn data set, end to end
	$(BIN)/segscale demo --output work/demo

test: lint types gate ## Everything that must pass before a change goes in, in 20 minutes on 2 cores

site: $(INSTALLED) ## The pages of docs/ as a site in build/site, links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(INSTALLED) ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Types, strict
	$(BIN)/mypy --explicit-package-bases segscale tests examples docs/scripts

fast: $(INSTALLED) ## Tests that start no process, server or model
	$(BIN)/pytest -m "not slow and not nightly" $(PARALLEL)

gate: $(INSTALLED) ## All tests but those of nightly
	$(BIN)/pytest -m "not nightly" $(PARALLEL)

nightly: ## Everything else, in 90 minutes: all parts, whichever fails, and at the end what became of each
	@code=0; report=; \
	for part in $(PARTS); do \
	  start=$$(date +%s); \
	  if $(MAKE) --no-print-directory $$part; then word=passed; else word=FAILED code=1; fi; \
	  report="$$report$$word  $$part, $$(( ($$(date +%s) - start + 30) / 60 )) min\n"; \
	done; \
	printf "\nnightly:\n$$report"; exit $$code

$(MARKED): $(INSTALLED)
	$(BIN)/pytest -m 'nightly(part="$@")' $(PARALLEL)

# These need programs that no Python package brings. Without CI in the environment a test without its server is skipped,
# and whoever asks for this part wants it run.
slurm prefect page: services
slurm prefect: export CI := true

services:
	.ci/services

properties: $(INSTALLED)
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -m "hypothesis and not nightly" $(PARALLEL)

campaign: $(INSTALLED)
	$(BIN)/python -m tests.faults.campaign

faults: $(INSTALLED) ## The campaign of the nightly, written to docs/faults.md (as root, for the full disk)
	$(BIN)/python -m tests.faults.campaign --write docs/faults.md

oracles: $(ORACLES)
	.venv-oracles/bin/pytest tests/oracles -m oracle

# A small part of what is installed here is imported: that part alone is compiled, when it is (--no-compile).
$(ORACLES): pyproject.toml constraints-oracles.txt
	$(PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints-oracles.txt -e '.[oracles]'
	touch $@

constraints: ## Resolve pyproject.toml anew in fresh environments and write the constraints files
	$(call resolve,dev$(comma)s3$(comma)kubernetes$(comma)prefect-workers,--upgrade setuptools,constraints.txt)
	$(call resolve,oracles,-c constraints.txt,constraints-oracles.txt)
	$(resolve_gpu)

comma := ,
# $(1): extras, $(2): more arguments of pip install, $(3): the file. A version's local part (torch's +cpu) names one
# build of it and stays away, so that the file holds for any.
define resolve
@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
$(PYTHON) -m venv "$$folder/venv" && \
"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check $(2) -e '.[$(1)]' && \
{ \
  echo '# Tested versions of everything that the extras $(1) install, on Linux x86-64 with Python 3.11.'; \
  echo '# Made by `make constraints` in a fresh environment; not edited by hand.'; \
  "$$folder/venv/bin/python" -m pip freeze --all --exclude pip --exclude segscale | sed 's/+[A-Za-z0-9.]*$$//'; \
} > "$$folder/constraints.txt" && \
if grep -vnE '^(#.*|[A-Za-z0-9._-]+==[^@:; ]+)$$' "$$folder/constraints.txt"; then \
  echo '$(3): expected names and versions only, see the lines above' >&2; exit 1; \
fi && \
cp "$$folder/constraints.txt" $(3)
endef

# CUDA's libraries are gigabytes: what pip would install is asked for, and nothing installed.
define resolve_gpu
@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
$(PYTHON) -m venv "$$folder/venv" && \
"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --dry-run --report "$$folder/report.json" \
  -c constraints.txt -e '.[gpu]' && \
{ \
  echo '# Tested versions of what the extra gpu installs beside constraints.txt, on Linux x86-64 with Python 3.11.'; \
  echo '# Made by `make constraints` from what pip resolves; not edited by hand.'; \
  $(PYTHON) -c 'import json, sys; [print(one["metadata"]["name"] + "==" + one["metadata"]["version"]) \
    for one in json.load(open(sys.argv[1]))["install"] if one["metadata"]["name"].startswith("nvidia-")]' \
    "$$folder/report.json" | sort; \
} > "$$folder/constraints.txt" && \
cp "$$folder/constraints.txt" constraints-gpu.txt
endef

clean: ## Remove what the tools leave behind; environments, work and reports stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
