# One command each; `make` lists them. Needs make and Python 3.11 or newer, and installs the rest
# into .venv. As root it also installs the distribution packages that are missing; as anybody else
# it says which command does.

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
BIN := .venv/bin
INSTALLED := .venv/.installed

# Without bytecode every Dagster process compiles what it imports anew: seconds per run.
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install servers test tests test-oracle test-sqlserver check faults soak breaks bench demo dev docs format constraints clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install everything into .venv (nothing to do when it is up to date)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || .ci/create-venv "$(PYTHON)" .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m compileall -q replication_assets
	@touch $@

# The types are checked while tests wait for servers, and the other way round. Said once both have ended.
test: servers ## Lint, types and all tests, against real servers; faults and benchmarks in short
	@$(MAKE) --no-print-directory --keep-going --jobs 2 check tests

# One process more than a small machine has cores: tests wait for their servers.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist worksteal
# Threads for products of matrices, of which there are none, look for work as long as they live.
tests faults: export OPENBLAS_NUM_THREADS := 1

tests: install
	$(PYTEST)

test-sqlserver: ## The contracts of sources and targets against the SQL Server at SQLSERVER_URL, which no other test needs
	@test -n "$(SQLSERVER_URL)" || { echo "Set SQLSERVER_URL=sqlserver://user:password@host:1433/database: an empty" \
	  "database of a server that runs nothing else, its owner's login (docs/sqlserver.md)" >&2; exit 2; }
	@$(MAKE) install
	$(BIN)/python -m pytest replication_assets_tests/sources/sqlserver/against_server.py \
	  replication_assets_tests/targets/sql/projection/sqlserver/against_server.py

servers: install
	.ci/install-postgres
	.ci/install-mariadb
	.ci/install-sysbench
	.ci/install-dynamodb-local

test-oracle: install ## The contracts of sources and targets on the Oracle of ORACLE_URL, in users of its own
	@test -n "$$ORACLE_URL" || { \
	  echo "Set ORACLE_URL to oracle://USER:PASSWORD@HOST:PORT/SERVICE, of an account that may create users" >&2; \
	  echo "and has what docs/oracle.md grants." >&2; exit 1; }
	$(BIN)/python -m pytest replication_assets_tests/sources/oracle/server_contract.py \
	  replication_assets_tests/targets/sql/projection/oracle/server_contract.py

faults: servers ## Every fault of docs/guarantees.md, and all else that `make test` runs in short
	$(PYTEST) --full -m 'faults or full'

SOAK ?= 600
SEED ?=
soak: servers ## Faults mixed at random for SOAK seconds (600) from SEED, and what survived
	$(BIN)/python -m replication_assets_tests.soak --seconds $(SOAK) $(if $(SEED),--seed $(SEED))

breaks: servers ## Each promise broken on purpose in a copy: does its test notice?
	$(BIN)/python -m replication_assets_tests.breaks

BENCH ?=
bench: servers ## Measure against peers and limits, and rewrite docs/benchmarks.md; BENCH="load fold" for some
	$(BIN)/python -m benchmarks $(BENCH)

check: install ## Lint, format and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: install ## The whole job on a real system with live traffic, and what came of it
	$(BIN)/python -m replication_assets.demo run

dev: install ## The same system, left running with the Dagster UI open
	$(BIN)/python -m replication_assets.demo dev

docs: install ## Rewrite the parts of the documents that are made from the program itself
	$(BIN)/python -m replication_assets.cli.reference docs/command-line.md
	$(BIN)/python -m replication_assets.cli.configuration docs/configuration.md
	$(BIN)/python -m replication_assets.cli.configuration docs/masking.md

format: install ## Rewrite the code as the formatter wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ## Pin the newest versions that pyproject.toml allows
	rm -rf .venv
	: > constraints.txt
	$(MAKE) install
	{ echo "# Every version that the tests ran with. Rewritten by \`make constraints\`; read by \`make install\`."; \
	  $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | grep -vE '^(pip|setuptools)=='; } > constraints.new
	mv constraints.new constraints.txt
	touch $(INSTALLED)

clean: ## Remove .venv, caches and the data of the demonstration
	rm -rf .venv .demo .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find replication_assets replication_assets_tests -name __pycache__ -prune -exec rm -rf {} +
