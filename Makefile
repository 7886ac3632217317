# Everything a developer or CI runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
ENV_STAMP := $(VENV)/.synced
TEST_PROCESSES ?= 2
KAFKA := build/kafka
KAFKA_STAMP := $(KAFKA)/.fetched
TOOLS := build/bin
STRIPE_MOCK_VERSION := v0.197.0
ALERTMANAGER_VERSION := $(shell sed -n 's|.*prom/alertmanager:||p' docker/compose.yaml)
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)

# $(call packages,COMMAND THAT SUCCEEDS WHEN THEY ARE THERE,DEBIAN PACKAGES)
define packages
if ! { $(1); } >/dev/null 2>&1; then \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(2); \
  else echo "missing: $(2). Run: sudo apt-get install -y $(2)" >&2; exit 1; fi; fi
endef

# A shim of a version manager may exist and refuse to run, so each is asked.
define find_python
for python in python3 python3.12 python3.11; do \
  if $$python -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; \
  then break; fi; python=; done; \
if [ -z "$$python" ]; then echo "Python 3.11 or 3.12 with venv is needed and was not found" >&2; exit 1; fi
endef

java_is_new_enough = java -version 2>&1 | grep -Eq 'version "(1[7-9]|[2-9][0-9])'

.PHONY: help setup browser test-tools demo up down test lint format types check bench faults screenshots env-example metrics-page prometheus-rule docs clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(ENV_STAMP) $(KAFKA_STAMP) ## Install what `make demo` needs (Python packages, Java, Kafka)

$(ENV_STAMP): requirements.lock pyproject.toml
	@$(call packages,python3 -c 'import ensurepip',python3-venv)
	@if [ ! -x $(BIN)/python ]; then $(find_python); $$python -m venv $(VENV); fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@[ "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = "$(UV_VERSION)" ] \
	  || $(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	@# Compiled once here, each of the processes of `up` starts a second earlier.
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(KAFKA_STAMP): stack/kafka/pom.xml
	@$(call packages,$(java_is_new_enough),openjdk-17-jre-headless)
	@$(call packages,command -v mvn,maven)
	@rm -rf $(KAFKA) $(KAFKA).partial
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(KAFKA).partial
	@mv $(KAFKA).partial $(KAFKA)
	@touch $@

browser: ## Install Chromium, which the browser tests drive
	@$(call packages,command -v chromium,chromium)

test-tools: $(addprefix $(TOOLS)/,stripe-mock alertmanager prometheus) ## Install what only tests need, and they do without

$(TOOLS)/stripe-mock: module := github.com/stripe/stripe-mock@$(STRIPE_MOCK_VERSION)
$(TOOLS)/alertmanager: module := github.com/prometheus/alertmanager/cmd/alertmanager@$(ALERTMANAGER_VERSION)
$(TOOLS)/stripe-mock $(TOOLS)/alertmanager:
	@GOBIN=$(CURDIR)/$(@D) go install $(module) || echo "no $(@F) (it needs Go >= 1.22): tests with it are skipped" >&2

$(TOOLS)/prometheus:
	@# Out of Debian's package, which would start a server if it were installed.
	@mkdir -p $(@D)/debian && cd $(@D)/debian && get="apt-get download -q prometheus" \
	  && { $$get || { apt-get update -q && $$get; }; } && dpkg-deb --extract prometheus_*.deb . \
	  && mv usr/bin/promtool usr/bin/prometheus .. || echo "no prometheus: tests with it are skipped" >&2
	@rm -rf $(@D)/debian

demo: setup ## Start everything, drive traffic, show the result (ARGS="…" is passed on)
	@$(BIN)/runmeter demo $(ARGS)

up: setup ## Start the stack in the background
	@$(BIN)/runmeter up --detach $(ARGS)

down: ## Stop the stack
	@$(BIN)/runmeter down $(ARGS)

test: setup browser test-tools ## Run every test (ARGS="-k name" is passed on)
	@# Much of a test is waiting. The order is that of `tests/whole_stack.py`.
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder $(ARGS)

lint: $(ENV_STAMP) ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(ENV_STAMP) ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(ENV_STAMP) ## Check types
	@$(BIN)/mypy

check: lint types test ## Everything CI runs

bench: setup browser ## Measure, beside peers (ARGS="metering" for one part)
	@$(BIN)/python tests/benchmarks/run.py $(ARGS)

faults: setup ## Break a running stack in every way there is, and count (ARGS="--list" names the faults)
	@-$(call packages,ls /usr/lib/*/faketime/libfaketimeMT.so.1,libfaketime)
	@$(BIN)/python tests/faults/run.py $(ARGS)

screenshots: setup browser ## Take pictures of every page into docs/images
	@PYTHONPATH=tests $(BIN)/python e2e/screenshots.py

env-example: $(ENV_STAMP) ## Write .env.example from kit/settings
	@$(BIN)/python -m stack.env_example > .env.example

metrics-page: $(ENV_STAMP) ## Write docs/metrics.md from the registry of metrics
	@$(BIN)/python -m stack.metrics_page > docs/metrics.md

prometheus-rule: $(ENV_STAMP) ## Write the alerts for Kubernetes from docker/prometheus/alerts.yaml
	@$(BIN)/python -m stack.prometheus_rule > docker/k8s/monitoring/rules.yaml

docs: $(ENV_STAMP) ## Build the documentation's site into build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

clean: ## Remove what was built and cached; the data in .runmeter stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
