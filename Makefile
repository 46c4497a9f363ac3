# What people type. The work is done by cargo, by runtime/testkit/install/install.sh and by the binaries ticket-stack and
# ticket-bench.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The recipes start servers and share one target folder; cargo uses all cores by itself.
.NOTPARALLEL:

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
STACK := $(TARGET)/debug/ticket-stack
HELM := .stack/bin/helm
TEST_STACK := $(STACK) --dir .stack/test
# A test run that hangs ends after this time.
TEST_LIMIT_S ?= 2400

# What `make profile` samples: processor, api or operator.
BIN ?= processor

.PHONY: help install install-all build image demo test fuzz chaos bench bench-micro profile lint generate stack-up stack-down stack-status stack-clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Install what is missing for the local stack
	@runtime/testkit/install/install.sh

install-all: ## The same, also where a variable points at a server: tests need servers to kill
	@runtime/testkit/install/install.sh --all

# Everything with one set of features: building single packages would compile their dependencies once more.
build: ## Build all programs
	@$(CARGO) build --workspace

# With ticket-stack, which writes them: one build for all four.
SHIPPED := ticket-runtime ticket-operator ticketctl
image: ## Write an OCI image of each program into target/image, without Docker
	@$(CARGO) build --release -p ticket-testkit $(addprefix -p ,$(SHIPPED))
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} \
	$(TARGET)/release/ticket-stack image --out $(TARGET)/image $(addprefix $(TARGET)/release/,$(SHIPPED))

demo: install build ## Sell out an event, from nothing, and prove that nothing was oversold (BUYERS=n SEED=n KEEP=1)
	@$(TARGET)/debug/ticket-bench demo

# Building the tests builds the programs, too. `build` before it would compile many dependencies twice: tests want more of their
# features.
test: install-all ## Run every test against real servers
	@$(CARGO) test --workspace --no-run
	@trap '$(TEST_STACK) down' EXIT; \
	$(TEST_STACK) clean; \
	$(TEST_STACK) up --servers-only; \
	timeout --kill-after=30 $(TEST_LIMIT_S) $(CARGO) test --workspace --no-fail-fast

fuzz: install-all build ## Send both APIs what their OpenAPI documents allow and forbid (SEED=n EXAMPLES=n)
	@runtime/testkit/install/install.sh --fuzz
	@trap '$(TEST_STACK) down' EXIT; \
	$(TEST_STACK) clean; \
	$(TEST_STACK) up --servers-only; \
	timeout --kill-after=30 $(TEST_LIMIT_S) $(CARGO) test --workspace --test it fuzzed -- --ignored --nocapture

chaos: install-all build ## Break everything in the middle of sales and prove that nothing is lost; report in target/chaos (SEED=n RUNS=n ONLY=fault,fault)
	@$(TARGET)/debug/ticket-bench chaos --control
	@$(TARGET)/debug/ticket-bench chaos

bench: install ## Measure everything beside its baselines; report in target/bench (QUICK=1, ONLY=word,word)
	@$(CARGO) build --release -p ticket-bench -p ticket-runtime
	@$(TARGET)/release/ticket-bench suite

bench-micro: ## Measure what is pure and hot, and the sandbox, without other servers; report in target/criterion
	@$(CARGO) bench -p ticket-core -p ticket-plan -p ticket-payments -p ticketctl --bench words --bench plan --bench sandbox --bench frame

profile: install ## Where a program spends its CPU time: BIN=processor, api or operator; report in target/profile
	@$(CARGO) build --release -p ticket-bench -p ticket-runtime $(if $(filter operator,$(BIN)),-p ticket-operator)
	@$(TARGET)/release/ticket-bench profile $(BIN)

lint: ## Formatting and lints, warnings as errors; charts where Helm is installed (make install-all)
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if [ -x $(HELM) ]; then \
		$(HELM) lint --quiet --strict charts/ticket-crds; \
		for values in charts/ticket-platform/ci/*.yaml; do \
			$(HELM) lint --quiet --strict charts/ticket-platform --values "$$values"; \
		done; \
	fi

generate: ## Write the generated files again
	@UPDATE=1 $(CARGO) test --workspace generated

stack-up: install build ## Start the local stack, or what of it does not run (ROLES=split: a process per role)
	@$(STACK) up

stack-down: ## Stop the local stack; its data stays
	@$(call if_built,$(STACK) down)

stack-status: ## Show what of the local stack runs
	@$(call if_built,$(STACK) status)

stack-clean: ## Stop the local stack and the servers of the tests and remove their data
	@$(call if_built,$(STACK) clean && $(TEST_STACK) clean)

# Whoever wants to look or to stop does not want to wait for a build.
if_built = if [ -x $(STACK) ]; then $(1); else echo "nothing is built here, so nothing runs"; fi
