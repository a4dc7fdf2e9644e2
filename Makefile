# `make` alone lists the targets. Everything installs into .venv, again only when its inputs change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
INPUTS := pyproject.toml constraints.txt
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help generate test lint check docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

generate: $(VENV)/.installed  ## derive every op, write generated/, verify it against autograd
	$(BIN)/derive generate
	$(BIN)/derive verify

test: $(VENV)/.installed  ## run all tests, those under Triton's interpreter by themselves
	$(PYTEST) --ignore=tests/interpreter --ignore=tests/sharding -n 2
	TRITON_INTERPRET=1 $(PYTEST) tests/interpreter tests/sharding -n 2

lint: $(VENV)/.linters  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: $(VENV)/.installed  ## is generated/ up to date?
	$(BIN)/derive check

docs: $(VENV)/.docs  ## build the site of docs/ into site/; a dead link is an error
	$(BIN)/mkdocs build --quiet

clean:  ## remove what can be made again (not generated/)
	rm -rf $(VENV) build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[torch,triton,test]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(INSTALL) -e '.[docs]'
	touch $@

$(VENV)/.linters: $(VENV)/.installed
	$(INSTALL) -e '.[dev]'
	touch $@
