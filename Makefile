PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The tests of a file share what they start, so they stay together.
PARALLEL ?= -n auto --dist loadfile
ORACLES := .venv-oracles/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The parts of `test` run one after the other: the slow tests start clusters of their own.
.NOTPARALLEL:
.PHONY: help install demo test lint types fast slow faults oracles constraints clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED) ## Make .venv with everything that demo and test need

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## Evaluate the bundled model on a drawn data set, end to end
	$(BIN)/segscale demo --output work/demo

test: lint types fast slow ## Everything that must pass here; .ci/run runs it, then oracles

lint: $(INSTALLED) ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Types, strict
	$(BIN)/mypy --explicit-package-bases segscale tests examples docs/scripts

fast: $(INSTALLED) ## Tests that start no process, server or model
	$(BIN)/pytest -m "not slow" $(PARALLEL)

slow: $(INSTALLED) ## Tests that do
	$(BIN)/pytest -m slow $(PARALLEL)

faults: $(INSTALLED) ## Play every fault and write docs/faults.md (half an hour; as root, for the full disk)
	$(BIN)/python -m tests.faults.campaign --write docs/faults.md

oracles: $(ORACLES) ## Agreement with other libraries, in an environment of its own (torch, MONAI, ...)
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
