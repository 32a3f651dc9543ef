# One line each. `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
LOCK ?= requirements.lock
VENV := .venv
UV := $(VENV)/bin/uv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# torch: the CPU build, from PIP_FIND_LINKS where that is set, else from PyTorch's own index. GPU: make LOCK=... TORCH_BACKEND=auto
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
else
export UV_TORCH_BACKEND := $(or $(TORCH_BACKEND),cpu)
endif

.PHONY: help env demo test faults nightly up down stack unstack lint bench audit lock clean
help: ## what there is to make
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

env: $(VENV)/installed ## the environment, from the lock, in .venv
$(VENV)/installed: $(LOCK) pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Luthier needs Python 3.11: install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' $(LOCK))
	$(UV) pip sync --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes $(LOCK)
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: env ## the default, from raw data to a reviewed model, through Airflow
	luthier demo

test: env ## every test that needs no outside service, but for the longest; two files at once
	python -m pytest -n 2 --dist loadfile -m "not long"

faults: env ## deliver every fault to real trainings of toy models, and print what came of it
	python -m tests.faults.board

nightly: env ## what takes hours: every service killed in every stage, many runs at once, training on several machines
	python -m pytest -m nightly
	python -m tests.operated together --rounds 20
	python -m tests.stack_kills
	python -m tests.stack_together

up: env ## start Airflow and MLflow on 127.0.0.1 and print where they are
	luthier up

down: env ## stop them
	luthier down

stack: env ## the production stack as processes: PostgreSQL, Redis, object store, MLflow with sign-in, Celery workers
	python -m tasks.stack up

unstack: env ## stop it
	python -m tasks.stack down

lint: env ## the linter and strict type checking
	ruff check . && mypy

bench: env ## side by side with peers, on this machine: intake, expand, near duplicates, training, evaluation
	python -m benchmarks.validate && python -m benchmarks.expand && python -m benchmarks.near_duplicates && python -m benchmarks.train && python -m benchmarks.evaluate

audit: env ## ask for known holes in what the lock names, where a network is
	python -m tasks.audit

lock: ## pin every dependency again, with hashes
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet uv; }
	$(UV) pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock
	$(UV) pip compile pyproject.toml --constraint requirements.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file docker/requirements.lock
	$(VENV)/bin/python -m tasks.sbom

clean: down ## remove the environment and every state of this checkout
	rm -rf $(VENV) .airflow .luthier mlflow.db* mlruns
