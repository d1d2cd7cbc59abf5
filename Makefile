# `make help` lists what there is. TORCH_INDEX chooses the build of torch: on Linux the default index serves the CUDA build,
# `make run TORCH_INDEX=https://download.pytorch.org/whl/cpu` the small one for CPUs.
PYTHON ?= python3
TORCH_INDEX ?=
DATA ?=
VENV := .venv
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check
TORCH := $(shell grep -E '^torch==' requirements.txt)

.DEFAULT_GOAL := help
.PHONY: help install run test bench load soak chaos lint clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=..."; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "installing torch (the largest part)"
	@$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@echo "installing the other packages"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "installing what tests need"
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-chaos: $(VENV)/.installed-dev requirements-chaos.txt
	@echo "installing a Milvus server"
	@$(PIP) -r requirements-chaos.txt
	@touch $@

install: $(VENV)/.installed ## Make the environment .venv

run: install ## Migrate the database and start the service on 127.0.0.1:8000
	@$(VENV)/bin/advanced-rag migrate
	@$(VENV)/bin/advanced-rag serve || test $$? -eq 130

test: $(VENV)/.installed-dev ## Run the tests, two files at once
	@$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

bench: $(VENV)/.installed-dev ## Measure on evaluation sets in BEIR layout: make bench DATA=FOLDER (ten minutes)
	@test -n "$(DATA)" || { echo "make bench DATA=FOLDER, a folder with scifact/ and cranfield/ in it"; exit 1; }
	@$(VENV)/bin/python -m benchmarks "$(DATA)"

load: $(VENV)/.installed-dev ## Send a crowd of users, then a spike, to a service started for it (two minutes)
	@$(VENV)/bin/python -m tests.load

soak: $(VENV)/.installed-dev ## Send a steady crowd for twenty minutes, and compare memory and open files (25 minutes)
	@$(VENV)/bin/python -m tests.load --soak 1200

chaos: $(VENV)/.installed-chaos ## Break dependencies and the network under load (ten minutes)
	@$(VENV)/bin/python -m pytest -m chaos

lint: $(VENV)/.installed-dev ## Check style and types, and packages for known weaknesses (that asks PyPI)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip --progress-spinner off

clean: ## Remove the environment and caches, never data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
