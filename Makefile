# Needs only python3 (3.11 or newer) and make; uses uv where it is there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

.PHONY: help demo test check lint types bench clean install

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

demo: $(VENV)/.demo  ## a phone call answered by a talking bot, offline (CARRIER=name for another carrier)
	$(BIN)/trunkline demo $(if $(CARRIER),--carrier $(CARRIER))

test: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=
	$(BIN)/python tests/coverage_gate.py

check: lint types test  ## exactly what CI runs

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## pyright, strict over src
	$(BIN)/pyright

bench: $(VENV)/.dev  ## every benchmark, side by side in one run
	$(BIN)/python -m benchmarks

install: $(VENV)/.dev  ## the development environment

clean:  ## remove what was made
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Trunkline needs Python 3.11 or newer; say which with PYTHON=python3.12"; exit 1; }
ifdef UV
	$(UV) venv -q --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

PIP := $(if $(UV),$(UV) pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q --disable-pip-version-check)

define install
	@echo "Installing $(1) into $(VENV) (once; a minute or two) …"
	$(PIP) -e '.[$(1)]'
	@touch $(2)
endef

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(call install,demo,$@)

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(call install,dev,$@)
# It names a Pipecat of before 1.0 as the only one it works with, which is not so: no extra can hold it.
	$(PIP) --no-deps 'pipecat-wavix==1.1.0; python_version < "3.14"'
	@touch $(VENV)/.demo
