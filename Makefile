# `make run` starts Yeoul, `make test` proves it. Both set up what they need first, once.
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test quick check gates fmt docs bench faults constraints clean setup-run setup-dev

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# exec: Ctrl-C then reaches the server once, and make has nothing to add when it has stopped well.
run: setup-run ## set up and start everything; PORT=8000, YEOUL_DATA_DIR=.yeoul
	@YEOUL_DATA_DIR="$${YEOUL_DATA_DIR:-$(CURDIR)/.yeoul}" exec .venv/bin/yeoul serve $(if $(PORT),--port $(PORT))

test: setup-dev ## set up, then every gate and every test; ARGS="-k name" for pytest
	@scripts/system_packages.sh
	@$(PY) scripts/check.py
	@$(PY) -m pytest -n auto --maxprocesses 8 --dist loadgroup --durations 20 $(ARGS)

quick: setup-dev ## the gates, and the tests that start no servers, browsers or brokers: minutes
	@$(PY) scripts/check.py
	@$(PY) -m pytest -n auto --maxprocesses 8 --dist loadgroup tests/core tests/rls tests/console tests/scripts tests/test_docs.py \
		--ignore tests/core/jobs/doorbells $(ARGS)

check: test ## the same: what must be green before a change is shared

gates: setup-dev ## only the gates: format, lint, types, layers, dependencies, sizes, docs
	@$(PY) scripts/check.py

fmt: setup-dev ## format, mend what can be mended, write the generated pages
	@$(PY) -m ruff check --fix-only --quiet
	@$(PY) -m ruff format --quiet
	@$(PY) scripts/messages.py
	@$(PY) scripts/reference.py

docs: setup-dev ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet && echo "Built: site/index.html"

bench: setup-dev ## measure beside raw loops and peers (minutes)
	@scripts/system_packages.sh
	@$(PY) -m benchmarks $(ARGS)

faults: setup-dev ## kill 1,000 processes under load, count what is lost (half an hour); ARGS="--kills 100 --seed 7"
	@scripts/system_packages.sh
	@$(PY) -m tests.faults.long --report docs/faults.md $(ARGS)

constraints: ## write constraints.txt anew: the newest versions pyproject.toml allows (needs uv)
	@scripts/constraints.sh

clean: ## remove what was built and cached; keeps .venv and data
	@rm -rf build dist site htmlcov test-results .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev
