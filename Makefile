# Needs only python3 (3.11 or newer) and make; uses uv where it is there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The oldest Pipecat that is supported has an environment of its own; .venv has the newest.
OLDEST := .venv-pipecat-oldest
NEED_PIPECAT := tests/adapters tests/crosschecks tests/test_examples_pipecat.py tests/test_migrating.py
PYTEST := python -m pytest -n 2 --dist worksteal
UV := $(shell command -v uv 2>/dev/null)

.PHONY: help demo test oldest check lint types bench clean install

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

demo: $(VENV)/.demo  ## a phone call answered by a talking bot, offline (CARRIER=name for another carrier)
	$(BIN)/trunkline demo $(if $(CARRIER),--carrier $(CARRIER))

test: $(VENV)/.dev $(OLDEST)/.dev  ## every test; what needs Pipecat on the newest and the oldest
	$(BIN)/$(PYTEST) --cov --cov-report=
	$(OLDEST)/bin/$(PYTEST) --cov --cov-append --cov-report= $(NEED_PIPECAT)
	$(BIN)/python tests/coverage_gate.py

oldest: $(OLDEST)/.dev  ## what needs Pipecat, on the oldest only
	$(OLDEST)/bin/$(PYTEST) $(NEED_PIPECAT)

check: lint types test  ## exactly what CI runs

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## pyright, strict over src
	$(BIN)/pyright

bench: $(VENV)/.dev  ## every benchmark, side by side in one run; make bench-calls: that one
	$(BIN)/python -m benchmarks

bench-%: $(VENV)/.dev
	$(BIN)/python -m benchmarks $*

install: $(VENV)/.dev  ## the development environment

clean:  ## remove what was made
	rm -rf $(VENV) $(OLDEST) .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Trunkline needs Python 3.11 or newer; say which with PYTHON=python3.12"; exit 1; }
ifdef UV
	$(UV) venv -q --python $(PYTHON) $*
else
	$(PYTHON) -m venv $*
endif

# Into the environment whose stamp is being made.
PIP = $(if $(UV),$(UV) pip install -q --python $(@D)/bin/python,$(@D)/bin/python -m pip install -q --disable-pip-version-check)

define install
	@echo "Installing $(1) into $(@D) (once; a minute or two) …"
	$(PIP) -e '.[$(1)]' $(2)
	@touch $@
endef

# It names a Pipecat of before 1.0 as the only one it works with, which is not so: no extra can hold it.
define install_wavix
	$(PIP) --no-deps 'pipecat-wavix==1.1.0; python_version < "3.14"'
endef

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(call install,demo)

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(install_wavix)
	$(call install,dev)
	@touch $(VENV)/.demo

$(OLDEST)/.dev: $(OLDEST)/bin/python pyproject.toml Makefile
	$(install_wavix)
	$(call install,demo,'pipecat-ai==1.4.0; python_version < "3.14"' \
	  'pipecat-bandwidth; python_version < "3.14"' hypothesis pytest pytest-cov pytest-xdist)
