# Every command of the project. The work is done by scripts/; nothing here needs more than python3.
SHELL := /bin/bash
.DEFAULT_GOAL := help

MINUTES ?= 10
DEMO_ARGS ?=
INVENTORY ?= local
PLAYBOOK ?= site.yml
DEPLOY_ARGS ?=
DEB_ARGS ?=
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/reasond

.PHONY: help setup demo deploy check lint format test test-faults test-hosts acceptance bench-flow bench-boards bench-simulation deb dashboards docs changelog pictures scenarios reference lock clean-cache

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make the virtual environments (a minute, once; the other targets do it themselves)
	@scripts/in-venv runtime true
	@scripts/in-venv lint true

demo: ## see the agents work, without a broker, a key or root (DEMO_ARGS=... for options)
	@echo "reasond demo; the first time its virtual environment is made, which takes about a minute" >&2
	@scripts/in-venv runtime reasond demo $(DEMO_ARGS)

deploy: ## install everything on the hosts of INVENTORY=local, by Ansible (PLAYBOOK=upgrade.yml and so on; DEPLOY_ARGS=... for options)
	@scripts/in-venv ansible env --chdir=ansible ansible-playbook -i inventories/$(INVENTORY) $(PLAYBOOK) $(DEPLOY_ARGS)

check: ## lint, types, import rules, unit and contract tests: offline, under a minute
	@scripts/run-tests check

lint: ## ruff, mypy, import-linter, yamllint and ansible-lint; the site and the change log
	@scripts/run-tests lint

format: ## format the Python code and fix what ruff can fix
	@scripts/in-venv lint ruff format .
	@scripts/in-venv lint ruff check --fix-only .

test: ## everything this machine allows, on Python 3.8 and the newest, with real services
	@scripts/run-tests test

test-faults: ## services and agents killed, frozen and filled up under load (about 4 minutes)
	@scripts/run-tests faults

test-hosts: ## bare systemd hosts made the running system by Ansible, as root (an hour or more)
	@scripts/run-tests hosts

acceptance: ## run the whole system for MINUTES=10 and judge it by its own records (PICTURES=folder: draw the boards)
	@PYTHONPATH=. scripts/in-venv lint python -m tests.acceptance --minutes $(MINUTES) $(if $(PICTURES),--pictures $(PICTURES))

bench-flow: ## measure how fast messages flow
	@PYTHONPATH=. scripts/in-venv lint python -m tests.bench.flow

bench-boards: ## measure how fast every panel answers over 30 days of data (10 minutes)
	@PYTHONPATH=. scripts/in-venv lint python -m tests.bench.boards

bench-simulation: ## measure how fast the simulation runs seven agents for a day, and 200 (a minute)
	@PYTHONPATH=. scripts/in-venv lint python -m tests.bench.simulation

deb: ## build the .deb for the release of Debian or Ubuntu that this runs on, into dist/ (DEB_ARGS=... for options)
	@packaging/build-deb $(DEB_ARGS)

dashboards: ## write grafana/dashboards/ and grafana/alerting/ anew from grafana/boards/
	@scripts/in-venv lint python -m grafana.boards

docs: ## make the documentation's site, without a warning, and print where it begins
	@scripts/in-venv docs python scripts/make-docs

changelog: ## show what the change log's next release would say (from changelog.d/)
	@scripts/in-venv docs towncrier build --draft --version "$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' agents/reasond/__init__.py)"

pictures: ## draw the boards over a simulated day into docs/pictures/, by real Grafana and Chromium (a minute)
	@PYTHONPATH=. scripts/in-venv lint python -m tests.pictures

scenarios: ## write the table of docs/simulation.md anew: every scenario, 30 seeds (minutes)
	@scripts/in-venv runtime scripts/make-scenarios

reference: ## write anew from the code: docs/settings.md, and the tables of metrics.md, messages.md and free-tier.md
	@scripts/in-venv lint python scripts/make-reference

lock: ## write requirements/*.txt anew from pyproject.toml
	@scripts/in-venv lint scripts/lock

clean-cache: ## remove everything built or downloaded (virtual environments, influxd)
	rm -rf -- "$(CACHE)"
