# Everything a developer runs. `make help` lists it.
#
# .venv is made from hash-pinned locks. torch is pinned by version only, because its build depends on the machine.
# Where the platform's usual build of torch is the CUDA one and you have no GPU, name an index of CPU builds:
#     make demo TORCH_INDEX_URL=…

SHELL := /bin/bash
# Tests start some hundred processes, which would each compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
# What `make bench` is given, for instance BENCH="--out results" for the whole of it.
BENCH ?= --quick --out .lethe/bench/results
# What `make bench-gpu` is given, for instance BENCH_GPU="--instances 1000 --rank 16".
BENCH_GPU ?=

.PHONY: help demo bench bench-gpu up down test test-fast test-contract test-faults soak test-mlflow test-vllm check check-deps \
  sbom format openapi readme lock clean

TORCH_VERSION := 2.13.0
TORCH_INDEX_URL ?=
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python3.13 python3.14; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/pip --disable-pip-version-check -qq
MLFLOW_VERSION := 3.17.2
MLFLOW_VENV := .venv-mlflow
MLFLOW := $(MLFLOW_VENV)/bin/mlflow
AUDIT_VENV := .venv-audit
AUDIT := $(AUDIT_VENV)/bin/pip-audit
PIP_AUDIT_VERSION := 2.10.1
CYCLONEDX_VERSION := 7.5.0
SBOM := $(AUDIT_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON
OPENAPI := tests/contracts/openapi.json
# vLLM cannot share an environment with us: its bounds on FastAPI exclude ours.
VLLM_VENV ?= .venv-vllm
VLLM_PLUGIN := service/hotswap/vllm_plugin
VLLM_INSTALLED := $(VLLM_VENV)/.installed
VLLM_PIP := $(VLLM_VENV)/bin/pip --disable-pip-version-check -qq

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Train, forget, hot-swap and compare with retraining, on real parts
	$(BIN)/python -m workers.demo

bench: $(INSTALLED) ## Every method's fidelity to retraining against its cost, as one table and one plot
	$(BIN)/lethe bench $(BENCH)

bench-gpu: $(INSTALLED) ## Time, memory and arithmetic of preparing and answering on a random 8B base; needs a GPU
	$(BIN)/python -m workers.bench.gpu $(BENCH_GPU)

up: $(INSTALLED) ## Run the whole service on this machine until Ctrl-C
	@$(BIN)/lethe up

down: $(INSTALLED) ## Stop the service that `make up` started in another terminal
	@$(BIN)/lethe down

test: $(INSTALLED) ## Run the tests, two files at a time; test-faults, test-vllm and test-mlflow have more
	$(BIN)/pytest -n 2 --dist loadfile

test-fast: $(INSTALLED) ## Run the tests of the inner loop (SQLite only), in some three minutes on two cores
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not e2e and not faults and not postgres" --timeout 60

# One process for each database, so that each trains its line once.
test-faults: $(INSTALLED) ## Kill, freeze and starve every part at every step, on both databases
	$(BIN)/pytest tests/faults tests/workers/test_isolation.py tests/load/test_soak.py -n 2 --dist loadgroup -m "faults or slow" --timeout 600

# What `make soak` is given; SOAK="--requests 300 --lines 6 --coalesce 10" takes some two minutes.
SOAK ?=
soak: $(INSTALLED) ## 10,000 requests on 200 lines while processes are killed by chance; ends by itself, with figures
	$(BIN)/python -m tests.load.soak $(SOAK)

# Some five minutes for both databases and twenty examples, seven thousand calls each, on two cores.
CONTRACT_EXAMPLES ?= 20
test-contract: $(INSTALLED) ## Try the live service against its OpenAPI document for long (schemathesis)
	CONTRACT_EXAMPLES=$(CONTRACT_EXAMPLES) $(BIN)/pytest -n 2 tests/contracts/test_schemathesis.py -rP

# MLflow brings some sixty packages that nothing else here needs.
$(MLFLOW): | $(INSTALLED)
	@test -x $(dir $@)python || $(PYTHON) -m venv $(MLFLOW_VENV)
	@$(dir $@)pip --disable-pip-version-check -qq install mlflow==$(MLFLOW_VERSION)

# Tools that look at the dependencies, apart from them.
$(AUDIT):
	@test -x $(dir $@)python || $(PYTHON) -m venv $(AUDIT_VENV)
	@$(dir $@)pip --disable-pip-version-check -qq install pip-audit==$(PIP_AUDIT_VERSION) cyclonedx-bom==$(CYCLONEDX_VERSION)

test-mlflow: $(INSTALLED) $(MLFLOW) ## Run the tests of the mirror against a real MLflow server too
	MLFLOW=$(CURDIR)/$(MLFLOW) $(BIN)/pytest tests/service/control/mlflow

test-vllm: $(INSTALLED) $(VLLM_INSTALLED) ## Run the tests that need a real vLLM server, on the CPU
	VLLM_PYTHON=$(abspath $(VLLM_VENV))/bin/python $(BIN)/pytest tests/vllm -m vllm

check: $(INSTALLED) ## Lint, format, types, import directions, OpenAPI drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m service.api.openapi --check $(OPENAPI)

# What runs in production: the locks, and torch. --strict: what cannot be looked up, as without a network, is a failure.
check-deps: $(AUDIT) ## Look the locked dependencies up in the database of known vulnerabilities; needs the network
	@mkdir -p build && (cat requirements.lock; echo "torch==$(TORCH_VERSION)") > build/audited.txt
	$(AUDIT_VENV)/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r build/audited.txt

sbom: $(AUDIT) ## Write what the images are made of, as CycloneDX, to build/
	@mkdir -p build
	$(SBOM) requirements-service.lock -o build/service.cdx.json
	(cat requirements.lock; echo "torch==$(TORCH_VERSION)") | $(SBOM) - -o build/worker.cdx.json

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(INSTALLED) ## Write the OpenAPI document anew
	$(BIN)/python -m service.api.openapi > $(OPENAPI).new
	mv $(OPENAPI).new $(OPENAPI)

readme: $(INSTALLED) ## Write the settings table of the README anew
	$(BIN)/python -c 'from pathlib import Path; from service.settings import with_settings_table; \
	readme = Path("README.md"); readme.write_text(with_settings_table(readme.read_text()))'

# LOCKFLAGS=--upgrade takes newer releases; without it only what pyproject.toml demands changes.
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --group build $(LOCKFLAGS)
lock: ## Resolve the locks anew from pyproject.toml
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(PIP) install uv; }
	$(LOCK) --all-extras --group dev -o requirements-dev.lock
	$(LOCK) --all-extras -c requirements-dev.lock -o requirements.lock
	$(LOCK) --extra s3 -c requirements-dev.lock -o requirements-service.lock
	cd $(VLLM_PLUGIN) && $(abspath $(BIN))/uv pip compile pyproject.toml --quiet --group test $(LOCKFLAGS) -o requirements-test.lock

# Nothing here resolves: the locks are complete, so --no-deps cannot miss a package, and torch comes last, when all
# that it needs of a general kind is there in its locked version. A library names torchvision, which is left out on
# purpose, and pip would call that an error.
$(INSTALLED): requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "Lethe needs Python 3.11 or newer with venv; none was found on PATH." \
		"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON), which takes about a minute …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-warn-conflicts $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch==$(TORCH_VERSION)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# About two minutes and 2.5 GB.
$(VLLM_INSTALLED): $(VLLM_PLUGIN)/requirements-test.lock $(VLLM_PLUGIN)/pyproject.toml
	@echo "setting up $(VLLM_VENV) with vLLM for the CPU, which takes some minutes …"
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_PIP) install --no-deps --require-hashes -r $(VLLM_PLUGIN)/requirements-test.lock
	@$(VLLM_PIP) install $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch==$(TORCH_VERSION)
	@$(VLLM_PIP) install --no-deps --no-build-isolation --editable $(VLLM_PLUGIN)
	@touch $@

clean: ## Remove .venv, caches and build products; .lethe, the service's data, stays
	rm -rf $(VENV) $(MLFLOW_VENV) $(AUDIT_VENV) .venv-vllm build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	  .hypothesis
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +
