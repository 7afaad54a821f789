# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-test run test check lint units docs format test-vm vm vm-shell bench chaos soak soak-vm \
	install uninstall lock clean

PYTHON := .venv/bin/python
# Options of the agent, of pytest and of the benchmark: make run ARGS="--engine tracepoint"
ARGS :=
# Of the guest: make vm KERNEL=6.1 ARGS="tests/kernel -k anon"
KERNEL := 6.12
CHAOS := 100:23
SOAK := 1200:2000
PREFIX ?= /usr/local
DESTDIR ?=
UV := uv==0.13.9
LOCK := build/lock/bin/uv --no-cache pip compile pyproject.toml --group build --universal --fork-strategy fewest \
	--python /usr/bin/python3 --python-version 3.11 --upgrade --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet
SOURCES := '*.py' '*.c' '*.h' '*.sh' '*.toml' '*.yaml' '*.yml' '*.service' '*.socket' '*.slice' '*.mk' Makefile .ci/run \
	.clang-format

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 14

setup: ## install what the agent needs, and the agent into .venv (as root where Debian packages are missing)
	@deploy/setup.sh run

setup-dev:
	@deploy/setup.sh dev

setup-test:
	@deploy/setup.sh test

run: setup ## set up what is missing and run the agent in the foreground (as root)
	@exec .venv/bin/containeragent run $(ARGS)

# In guests only what tests/vm/suite.py has for it, so that it stays short; make test-vm runs all. Of a part, as ARGS
# names it, there is no run in guests: that is make vm.
test: lint docs $(if $(ARGS),,setup-test) ## set up what is missing, then run the checks and every test, here and in guests (as root)
	$(PYTHON) -m pytest -q -ra $(ARGS)
	$(if $(ARGS),,$(PYTHON) -m tests.vm test --short)

check: lint docs ## the fast part: lint, types, layout, documentation, unit tests
	$(PYTHON) -m pytest -q tests/unit $(ARGS)

lint: setup-dev units
	.venv/bin/ruff check --quiet --output-format concise
	.venv/bin/ruff format --check --output-format concise
	$(PYTHON) -m mypy --no-error-summary
	.venv/bin/clang-format --dry-run -Werror bpf/*.[ch]
	@missing=$$(git grep --no-index --exclude-standard -L SPDX-License-Identifier -- $(SOURCES) || true); \
	[ -z "$$missing" ] || { printf 'no SPDX-License-Identifier line: %s\n' $$missing; exit 1; }

test-vm: setup-test ## run all tests in guests with Debian's kernels 6.1 and 6.12, side by side: hours, emulated (as root)
	$(PYTHON) -m tests.vm test --timeout 14400 $(ARGS)

vm: setup-test ## the same in one guest: make vm KERNEL=6.1 ARGS="tests/kernel -k anon"
	$(PYTHON) -m tests.vm test --kernel $(KERNEL) -- $(ARGS)

vm-shell: setup-test ## a root shell in a guest, in a copy of this checkout: make vm-shell KERNEL=6.1
	@$(PYTHON) -m tests.vm shell --kernel $(KERNEL)
# Copies that name the command of .venv, because systemd-analyze wants one that is there.
units: setup-dev
	@! command -v systemd-analyze > /dev/null || { rm -rf build/units; mkdir -p build/units; \
	for unit in deploy/systemd/*.service deploy/systemd/*.slice; do \
		sed 's,/usr/local/bin/,$(CURDIR)/.venv/bin/,' $$unit > build/units/$${unit##*/}; done; \
	systemd-analyze --man=no verify build/units/*; }

docs: setup-dev ## build the documentation into build/docs; a broken link or reference is an error
	@$(PYTHON) -m sphinx -W --keep-going -q -E -b html docs build/docs

format: setup-dev ## lay every source file out as check wants it
	.venv/bin/ruff check --quiet --fix --select I
	.venv/bin/ruff format
	.venv/bin/clang-format -i bpf/*.[ch]

bench: setup ## measure the cost of counting and of reading, beside peers (as root)
	@exec $(PYTHON) -m bench $(ARGS)

chaos: setup-dev ## kill the agent, and who replaces programs, in storms: CHAOS=KILLS:SEED (as root, 20 minutes)
	CONTAINERAGENT_CHAOS=$(CHAOS) $(PYTHON) -m pytest -q tests/e2e/test_chaos.py

soak: setup-dev ## 2 000 containers come and go in 20 minutes: SOAK=SECONDS:CONTAINERS (as root)
	CONTAINERAGENT_SOAK=$(SOAK) $(PYTHON) -m pytest -q -s tests/e2e/test_soak.py

soak-vm: setup-test ## the same in an emulated guest: make soak-vm KERNEL=6.1 (as root, an hour)
	$(PYTHON) -m tests.vm run --kernel $(KERNEL) --timeout 7200 -- \
		env CONTAINERAGENT_SOAK=$(SOAK) python -m pytest -q -s tests/e2e/test_soak.py

install: setup ## install under PREFIX (/usr/local) with systemd units; with DESTDIR, for a package (as root)
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) deploy/install.sh install

uninstall: ## stop it and take everything away that install put there (as root)
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) deploy/install.sh uninstall

lock: ## bring requirements.lock and requirements-dev.lock to the newest versions that pyproject.toml allows
	@/usr/bin/python3 -m venv build/lock
	@build/lock/bin/pip --disable-pip-version-check install --quiet $(UV)
	$(LOCK) -o requirements.lock
	$(LOCK) -o requirements-dev.lock --extra dev --constraints requirements.lock

clean: ## remove .venv, build results and caches
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
