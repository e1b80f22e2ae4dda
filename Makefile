# Each target sets up what it needs by itself: a fresh clone needs Python 3.11, make and nothing else.

PYTHON_IN_VENV := .venv/bin/python
SOURCES := libs services deploy tools tests bench
STACK := $(PYTHON_IN_VENV) -m deploy.local

# What `make run` runs.
CONFIG ?= tillstream.yaml

# Options for pytest, the bench and the others: make test ARGS="-k ledger"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup up down run status test check fmt demo bench chaos failpoints mutants schemas clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install Python packages into .venv (at once if nothing changed)
	@sh deploy/local/bootstrap.sh

up: setup ## start Kafka and PostgreSQL on this machine, without containers or root
	@$(STACK) up $(ARGS)

down: setup ## stop them; their data stays
	@$(STACK) down $(ARGS)

status: setup ## show what runs and where it listens
	@$(STACK) status $(ARGS)

test: setup ## run all tests (they start their own Kafka and PostgreSQL)
	@.venv/bin/pytest $(ARGS)

check: setup ## lint, formatting, types and the import rules
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/mypy $(SOURCES)
	.venv/bin/lint-imports

fmt: setup ## format the code and fix what can be fixed by itself
	.venv/bin/ruff check --fix $(SOURCES)
	.venv/bin/ruff format $(SOURCES)

run: setup ## run all services of a configuration here: make run CONFIG=tillstream.yaml
	@$(PYTHON_IN_VENV) -m deploy.local.run $(CONFIG)

demo: setup ## play the days of 20 stores through the whole system, with an outage, and check every cent
	@$(PYTHON_IN_VENV) -m tools.demo $(ARGS)

bench: setup ## measure throughput and latency on this machine
	@$(PYTHON_IN_VENV) -m bench $(ARGS)

chaos: setup ## break everything while sales flow, and count (MINUTES= for long, SCENARIO= for one, SEED= to repeat)
	@$(PYTHON_IN_VENV) -m tests.chaos $(SCENARIO) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(SAMPLES),--samples $(SAMPLES)) $(ARGS)

failpoints: setup ## end a sink and the books at every dangerous place, and count effects (EXITS= and KILLS= at each)
	@$(PYTHON_IN_VENV) -m tests.failpoints $(if $(EXITS),--exits $(EXITS)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: setup ## break the code on purpose, promise by promise, and check that a test notices
	@$(PYTHON_IN_VENV) -m tools.mutants $(ARGS)

schemas: setup ## write the published schemas from the code
	@$(PYTHON_IN_VENV) -m tools.schemas $(ARGS)

clean: ## stop the stack and remove .local and .venv
	@for memory in .local/*/stack.json; do if [ -e "$$memory" ]; then \
		sh deploy/local/bootstrap.sh && $(STACK) wipe --dir "$$(dirname "$$memory")" || exit 1; fi; done
	rm -rf .local .venv
